// SPDX-License-Identifier: Apache-2.0
#include "daemon/restarts.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void adds_up_by_service(void **state)
{
	lm_auto(restarts_finish) struct restarts r = {0};

	(void)state;
	restarts_add(&r, "web", 1);
	restarts_add(&r, "db", 0);
	restarts_add(&r, "web", 2);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.items[0].service, "web");
	assert_int_equal(r.items[0].n, 3);
	assert_string_equal(r.items[1].service, "db");
	assert_int_equal(r.items[1].n, 0);
}

static void names_that_are_never_the_same_take_no_more_memory(void **state)
{
	lm_auto(restarts_finish) struct restarts r = {0};
	char name[32];

	(void)state;
	for (unsigned i = 0; i < LIMIT_SERVICES + 50; i++) {
		(void)snprintf(name, sizeof(name), "service%u", i);
		restarts_add(&r, name, 1);
	}
	restarts_add(&r, "service0", 1);
	assert_int_equal(r.n, LIMIT_SERVICES + 1);
	assert_int_equal(r.items[0].n, 2);
	assert_string_equal(r.items[LIMIT_SERVICES].service, "");
	assert_int_equal(r.items[LIMIT_SERVICES].n, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_up_by_service),
		cmocka_unit_test(names_that_are_never_the_same_take_no_more_memory),
	};

	return cmocka_run_group_tests_name("daemon/restarts", tests, NULL, NULL);
}
