// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_variables.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void reads_what_docker_compose_made_of_them(void **state)
{
	(void)state;
	static const struct {
		const char *config, *profiles, *platform;
	} cases[] = {
		{"services:\n  variables:\n    image: scratch\n    labels:\n      platform: ''\n"
		 "      profiles: field,debug\nversion: '3.0'\n",
			"field,debug", ""},
		{"name: x\nservices:\n  variables:\n    labels:\n      platform: linux/arm64\n"
		 "      profiles: \"a$$b$$$$c$\"\n",
			"a$b$$c$", "linux/arm64"},
		{"services: {variables: {labels: {}}}\n", "", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(compose_variables_finish) struct compose_variables v = {0};
		struct lm_err err = {0};
		assert_int_equal(compose_variables_parse(lm_str(cases[i].config), &v, &err), LM_OK);
		assert_string_equal(v.profiles, cases[i].profiles);
		assert_string_equal(v.platform, cases[i].platform);
	}
}

static void refuses_what_is_no_answer(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "[", "- a\n", "services: {}\n",
		"services: {variables: 1}\n", "services: {variables: {labels: [a]}}\n"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct compose_variables v = {0};
		struct lm_err err = {0};
		assert_int_equal(compose_variables_parse(lm_str(bad[i]), &v, &err), LM_E_PROTOCOL);
		assert_null(v.profiles);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_docker_compose_made_of_them),
		cmocka_unit_test(refuses_what_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
