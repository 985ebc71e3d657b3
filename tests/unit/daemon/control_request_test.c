// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_request.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_line_is_complete_with_its_end(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf in = LM_BUF(100);
	bool complete = true;

	assert_int_equal(control_request_add(&in, LM_STR("{\"a\":"), &complete, NULL), LM_OK);
	assert_false(complete);
	assert_int_equal(control_request_add(&in, LM_STR("1}\nmore\n"), &complete, NULL), LM_OK);
	assert_true(complete);
	assert_string_equal(lm_buf_cstr(&in), "{\"a\":1}");
}

static void a_line_may_reach_the_ceiling_and_not_pass_it(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf in = LM_BUF(4);
	bool complete = false;
	struct lm_err err;

	assert_int_equal(control_request_add(&in, LM_STR("1234\n"), &complete, &err), LM_OK);
	assert_true(complete);
	lm_buf_clear(&in);
	assert_int_equal(control_request_add(&in, LM_STR("123"), &complete, &err), LM_OK);
	assert_int_equal(control_request_add(&in, LM_STR("45\n"), &complete, &err), LM_E_TOO_LARGE);
	assert_string_equal(err.msg, "the request is over 4 bytes, the most that is taken");
}

static void only_an_object_is_a_request(void **state)
{
	(void)state;
	lm_auto_json json_t *request = NULL;
	struct lm_err err;

	assert_int_equal(control_request_parse(LM_STR("[1]"), &request, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "the request is not an object but an array");
	assert_int_equal(control_request_parse(LM_STR("hello"), &request, &err), LM_E_INVALID);
	assert_memory_equal(err.msg, "the request is not valid JSON: line 1, column ", 46);
	assert_int_equal(control_request_parse(LM_STR(""), &request, &err), LM_E_INVALID);
	assert_null(request);
	assert_int_equal(control_request_parse(LM_STR("{\"a\":1}\r"), &request, &err), LM_OK);
	assert_int_equal(json_get_int(request, "a", 0), 1);
}

static lm_rc parse_with(size_t values, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	lm_auto_json json_t *request = NULL;

	(void)lm_buf_puts(&text, "{\"x\":[1"); // which json_count takes for 4
	for (size_t i = 4; i < values; i++)
		(void)lm_buf_puts(&text, ",1");
	(void)lm_buf_puts(&text, "]}");
	return control_request_parse(lm_buf_str(&text), &request, err);
}

static void a_request_of_many_values_is_refused_unparsed(void **state)
{
	(void)state;
	lm_auto_json json_t *request = NULL;
	struct lm_err err;

	assert_int_equal(parse_with(LIMIT_CONTROL_VALUES, &err), LM_OK);
	assert_int_equal(parse_with(LIMIT_CONTROL_VALUES + 1, &err), LM_E_INVALID);
	assert_string_equal(
		err.msg, "the request has more than 64 values and keys, as no request has");
	// What a text says is none of its values.
	assert_int_equal(
		control_request_parse(LM_STR("{\"group\":\"[,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
					     ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,]\"}"),
			&request, &err),
		LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_complete_with_its_end),
		cmocka_unit_test(a_line_may_reach_the_ceiling_and_not_pass_it),
		cmocka_unit_test(only_an_object_is_a_request),
		cmocka_unit_test(a_request_of_many_values_is_refused_unparsed),
	};

	return cmocka_run_group_tests_name("daemon/control_request", tests, NULL, NULL);
}
