// SPDX-License-Identifier: Apache-2.0
#include "cli/table.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	(void)state;
	static const char *const cells[] = {"A", "B", "ü-wide", "x", "y", "a long last cell"};
	struct table t = {.columns = 2};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);

	for (size_t i = 0; i < LM_ARRAY_SIZE(cells); i++)
		table_add(&t, lm_xstrdup(cells[i]));
	table_print(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "A       B\n"
					       "ü-wide  x\n"
					       "y       a long last cell\n");
}

static void what_is_empty_is_a_dash(void **state)
{
	(void)state;
	struct table t = {.columns = 3};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);

	table_add(&t, NULL);
	table_add(&t, lm_xstrdup(""));
	table_add(&t, lm_xstrdup("x"));
	table_print(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "-  -  x\n");
	table_print(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "-  -  x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(what_is_empty_is_a_dash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
