// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_join(const char *a, const char *b, const char *expected)
{
	char *path = lm_path_join(a, b);

	assert_string_equal(path, expected);
	free(path);
}

static void join_puts_exactly_one_slash(void **state)
{
	(void)state;
	assert_join("a", "b", "a/b");
	assert_join("a/", "b", "a/b");
	assert_join("a//", "//b", "a/b");
	assert_join("/", "b", "/b");
	assert_join("/a/b", "c/d", "/a/b/c/d");
	assert_join("a", "", "a/");
}

static void base_is_behind_the_last_slash(void **state)
{
	(void)state;
	assert_string_equal(lm_path_base("/a/b.c"), "b.c");
	assert_string_equal(lm_path_base("b.c"), "b.c");
	assert_string_equal(lm_path_base("a/"), "");
	assert_string_equal(lm_path_base(""), "");
}

static void absolute_begins_with_a_slash(void **state)
{
	(void)state;
	assert_true(lm_path_is_absolute(LM_STR("/")));
	assert_false(lm_path_is_absolute(LM_STR("a/b")));
	assert_false(lm_path_is_absolute(LM_STR("")));
	assert_false(lm_path_is_absolute((struct lm_str){NULL, 0}));
}

static void sees_what_escapes(void **state)
{
	(void)state;
	assert_true(lm_path_escapes(LM_STR("..")));
	assert_true(lm_path_escapes(LM_STR("../a")));
	assert_true(lm_path_escapes(LM_STR("a/../b")));
	assert_true(lm_path_escapes(LM_STR("a/..")));
	assert_true(lm_path_escapes(LM_STR("/..")));
	assert_true(lm_path_escapes(LM_STR("a//../")));
	assert_true(lm_path_escapes(LM_STR("")));
	assert_true(lm_path_escapes(LM_STR("a\0b")));
	assert_true(lm_path_escapes((struct lm_str){NULL, 0}));
}

static void dots_in_names_do_not_escape(void **state)
{
	(void)state;
	assert_false(lm_path_escapes(LM_STR("...")));
	assert_false(lm_path_escapes(LM_STR("..a/b..")));
	assert_false(lm_path_escapes(LM_STR("./a/.")));
	assert_false(lm_path_escapes(LM_STR("a..b")));
	assert_false(lm_path_escapes((struct lm_str){"a/..", 3})); // only what is inside counts
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join_puts_exactly_one_slash),
		cmocka_unit_test(base_is_behind_the_last_slash),
		cmocka_unit_test(absolute_begins_with_a_slash),
		cmocka_unit_test(sees_what_escapes),
		cmocka_unit_test(dots_in_names_do_not_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
