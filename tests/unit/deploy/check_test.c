// SPDX-License-Identifier: Apache-2.0
#include "deploy/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add_to_array(void *ctx, json_t *result)
{
	json_array_append_new(ctx, result);
}

static void results_are_the_documented_json(void **state)
{
	lm_auto_json json_t *results = json_array();
	struct check_report r = {.name = "engine", .add = add_to_array, .ctx = results};

	(void)state;
	check_ok(&r, "version %s", "20.10");
	check_warning(&r, "slow", NULL);
	check_problem(&r, "away", "start it");
	check_skip(&r, "not needed: %s", "why");
	lm_auto_free char *text = json_dumps(results, JSON_COMPACT);
	assert_string_equal(text, "[{\"check\":\"engine\",\"ok\":true,\"warning\":false,"
				  "\"message\":\"version 20.10\",\"mend\":null},"
				  "{\"check\":\"engine\",\"ok\":true,\"warning\":true,\"message\":"
				  "\"slow\",\"mend\":null},"
				  "{\"check\":\"engine\",\"ok\":false,\"warning\":false,"
				  "\"message\":\"away\",\"mend\":\"start it\"},"
				  "{\"check\":\"engine\",\"ok\":null,\"warning\":false,\"message\":"
				  "\"not needed: why\",\"mend\":null}]");
	assert_int_equal(r.problems, 1);
	assert_int_equal(r.warnings, 1);
}

static void bytes_that_are_not_utf_8_become_escapes(void **state)
{
	lm_auto_json json_t *results = json_array();
	struct check_report r = {.name = "file", .add = add_to_array, .ctx = results};

	(void)state;
	check_ok(&r, "'%s'", "caf\xe9");
	assert_string_equal(json_get_text(json_array_get(results, 0), "message"), "'caf\\xe9'");
}

static void results_of_another_process_count(void **state)
{
	lm_auto_json json_t *results = json_array();
	struct check_report r = {.name = "mine", .add = add_to_array, .ctx = results};
	const struct {
		const char *text;
		enum check_verdict verdict;
	} cases[] = {
		{"{\"ok\":true}", CHECK_OK},
		{"{\"ok\":true,\"warning\":true}", CHECK_WARNING},
		{"{\"ok\":false}", CHECK_PROBLEM},
		{"{\"ok\":null}", CHECK_SKIPPED},
		{"{\"ok\":1}", CHECK_PROBLEM},
		{"{}", CHECK_PROBLEM},
		{"[]", CHECK_PROBLEM},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		json_t *result = NULL;

		assert_int_equal(json_parse(lm_str(cases[i].text), &result, NULL), LM_OK);
		assert_int_equal(check_verdict_of(result), cases[i].verdict);
		check_forward(&r, result);
	}
	assert_int_equal(json_array_size(results), LM_ARRAY_SIZE(cases));
	assert_int_equal(r.problems, 4);
	assert_int_equal(r.warnings, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_the_documented_json),
		cmocka_unit_test(bytes_that_are_not_utf_8_become_escapes),
		cmocka_unit_test(results_of_another_process_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
