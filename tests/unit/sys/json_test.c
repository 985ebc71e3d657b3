// SPDX-License-Identifier: Apache-2.0
#include "sys/json.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct lm_err err;

static lm_rc parse(struct lm_str text)
{
	lm_auto_json json_t *j = NULL;

	return json_parse(text, &j, &err);
}

static void takes_any_type_at_the_top(void **state)
{
	(void)state;
	assert_int_equal(parse(LM_STR("{}")), LM_OK);
	assert_int_equal(parse(LM_STR("[1]")), LM_OK);
	assert_int_equal(parse(LM_STR("\"a\"")), LM_OK);
	assert_int_equal(parse(LM_STR("null")), LM_OK);
}

static void names_the_place_of_a_fault(void **state)
{
	(void)state;
	assert_int_equal(parse(LM_STR("{\n \"a\": }")), LM_E_INVALID);
	assert_ptr_equal(strstr(err.msg, "line 2, column"), err.msg);
}

static void refuses_what_is_not_one_clean_document(void **state)
{
	(void)state;
	assert_int_equal(parse(LM_STR("")), LM_E_INVALID);
	assert_int_equal(parse(LM_STR("{} {}")), LM_E_INVALID);
	assert_int_equal(parse(LM_STR("{\"a\":1,\"a\":2}")), LM_E_INVALID);
	assert_int_equal(parse(LM_STR("\"a\\u0000b\"")), LM_E_INVALID);
	assert_int_equal(parse(LM_STR("\"\xff\"")), LM_E_INVALID);
	assert_string_equal(err.msg, "it is not UTF-8 text");
}

static lm_rc parse_nested(size_t depth)
{
	lm_auto_buf struct lm_buf text = LM_BUF(64 << 10);

	for (size_t i = 0; i < depth; i++)
		assert_true(lm_buf_putc(&text, '['));
	for (size_t i = 0; i < depth; i++)
		assert_true(lm_buf_putc(&text, ']'));
	return parse(lm_buf_str(&text));
}

static void bounds_the_depth(void **state)
{
	(void)state;
	assert_int_equal(parse_nested(LIMIT_JSON_DEPTH), LM_OK);
	assert_int_equal(parse_nested(LIMIT_JSON_DEPTH + 1), LM_E_INVALID);
	assert_string_equal(err.msg, "it is nested more than 32 levels deep");
	assert_int_equal(parse_nested(10000), LM_E_INVALID);
	assert_string_equal(err.msg, "it is nested more than 32 levels deep");
}

static void writes_compactly_up_to_the_ceiling(void **state)
{
	(void)state;
	lm_auto_json json_t *j = NULL;
	lm_auto_buf struct lm_buf out = LM_BUF(13);
	lm_auto_buf struct lm_buf small = LM_BUF(12);

	assert_int_equal(json_parse(LM_STR("{ \"a\" : [ 1, 2 ] }"), &j, &err), LM_OK);
	assert_true(json_write(j, &out));
	assert_string_equal(lm_buf_cstr(&out), "{\"a\":[1,2]}");
	lm_auto_json json_t *longer = NULL;
	assert_int_equal(json_parse(LM_STR("[1,2,3,4,5,6]"), &longer, &err), LM_OK);
	assert_false(json_write(longer, &small));
}

static void counts_at_least_what_a_parser_makes(void **state)
{
	(void)state;
	assert_int_equal(json_count(LM_STR("")), 1);
	assert_int_equal(json_count(LM_STR("null")), 1);
	assert_int_equal(json_count(LM_STR("[[],[],{}]")), 7);
	assert_int_equal(json_count(LM_STR("{\"a\":1,\"b\":[2,3]}")), 7);
	assert_int_equal(json_count(LM_STR("\",:[{\\\",,\\\\\"")), 1);
	assert_int_equal(json_count(LM_STR("[\",\",1]")), 3);
	assert_int_equal(json_count(LM_STR("\"\\")), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_any_type_at_the_top),
		cmocka_unit_test(names_the_place_of_a_fault),
		cmocka_unit_test(refuses_what_is_not_one_clean_document),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(writes_compactly_up_to_the_ceiling),
		cmocka_unit_test(counts_at_least_what_a_parser_makes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
