// SPDX-License-Identifier: Apache-2.0
#include "aws/service_error.h"

#include "base/cleanup.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_code(const char *body, const char *header, const char *expected)
{
	struct service_error e;

	service_error_parse(lm_str(body), lm_str(header), &e);
	assert_string_equal(e.code, expected);
}

static void assert_message(const char *body, const char *expected)
{
	struct service_error e;

	service_error_parse(lm_str(body), LM_STR(""), &e);
	assert_string_equal(e.message, expected);
}

static void reads_the_type_without_namespace_and_address(void **state)
{
	(void)state;
	assert_code("{\"__type\":\"ThrottlingException\"}", "", "ThrottlingException");
	assert_code("{\"__type\":\"com.amazonaws.secretsmanager#DecryptionFailure\"}", "",
		"DecryptionFailure");
	assert_code("{\"__type\":\"a.b#c#Code:http://internal.example/coral#x\"}", "", "Code");
	assert_code("{\"code\":\"ServerException\"}", "", "ServerException");
}

static void reads_both_spellings_of_message(void **state)
{
	(void)state;
	assert_message("{\"__type\":\"X\",\"message\":\"small\"}", "small");
	assert_message("{\"__type\":\"X\",\"Message\":\"large\"}", "large");
}

static void takes_the_header_where_the_body_has_no_type(void **state)
{
	(void)state;
	assert_code("{\"message\":\"no\"}", "UnrecognizedClientException:http://x.example/", //
		"UnrecognizedClientException");
	assert_code("", "ThrottlingException", "ThrottlingException");
	assert_code("{\"__type\":\"Body\"}", "Header", "Body");
}

static void is_not_fooled_by_rubbish(void **state)
{
	static const char *const rubbish[] = {"", "{", "[]", "null", "\"__type\"", "<html></html>",
		"{\"__type\":1}", "{\"__type\":[\"X\"],\"message\":{}}", "{\"__type\":\"\"}",
		"{\"__type\":\"#\"}", "{\"__type\":\":http\"}",
		"{\"__type\":\"A\",\"__type\":\"B\"}"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(rubbish); i++) {
		assert_code(rubbish[i], "", "");
		assert_message(rubbish[i], "");
	}
}

static void cuts_long_texts_between_characters(void **state)
{
	lm_auto_free char *body =
		lm_xasprintf("{\"__type\":\"%0*d\",\"message\":\"%0*d\xC3\xBC\"}", 5000, 7, 510, 7);
	struct service_error e;

	(void)state;
	service_error_parse(lm_str(body), LM_STR(""), &e);
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_int_equal(strlen(e.message), 510);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_type_without_namespace_and_address),
		cmocka_unit_test(reads_both_spellings_of_message),
		cmocka_unit_test(takes_the_header_where_the_body_has_no_type),
		cmocka_unit_test(is_not_fooled_by_rubbish),
		cmocka_unit_test(cuts_long_texts_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
