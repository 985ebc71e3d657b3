// SPDX-License-Identifier: Apache-2.0
#include "http/wiping_alloc.h"

#include <string.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void keeps_content_when_it_grows_and_shrinks(void **state)
{
	char *p = wiping_strdup("hunter2");

	(void)state;
	p = wiping_realloc(p, 10000);
	assert_string_equal(p, "hunter2");
	p = wiping_realloc(p, 3);
	assert_memory_equal(p, "hun", 3);
	wiping_free(p);
	wiping_free(NULL);
	p = wiping_realloc(NULL, 8);
	assert_non_null(p);
	wiping_free(p);
}

static void gives_zeroed_memory(void **state)
{
	static const char zeros[64];
	char *p = wiping_calloc(8, 8);

	(void)state;
	assert_memory_equal(p, zeros, sizeof(zeros));
	wiping_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_content_when_it_grows_and_shrinks),
		cmocka_unit_test(gives_zeroed_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
