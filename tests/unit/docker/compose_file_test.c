// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_file.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void accepts_compose_files_of_every_form(void **state)
{
	(void)state;
	static const char *const good[] = {
		"services:\n  web:\n    image: web:1\n",
		"version: '3.7'\r\nservices:\r\n  web: {image: 'web:1'}\r\n",
		"# format 1\nweb:\n  image: web:1\n",
		"include:\n  - other.yml\n",
		"x-common: &c\n  restart: always\nservices:\n  a:\n    <<: *c\n    image: a\n",
		"services:\n  a:\n    image: a\n    command: |\n      sh -c 'x: y'\n",
		"\xef\xbb\xbfservices: {a: {image: a}}\n",
		"{\"services\": {\"a\": {\"image\": \"a\"}}}",
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		struct lm_err err = {0};
		lm_rc rc = compose_file_check(lm_str(good[i]), &err);
		if (rc != LM_OK)
			print_message("%zu: %s\n", i, err.msg);
		assert_int_equal(rc, LM_OK);
	}
}

static void refuses_others_with_their_place(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{"- a\n", "line 1, column 1"},
		{"just text", "line 1, column 1"},
		{"version: '3'\nvolumes: {}\n", "has no 'services'"},
		{"version: '3'\nservices:\n  - web\n",
			"line 3, column 3: 'services' must be a mapping"},
		{"services:\n", "'services' must be a mapping"},
		{"services: {}\n", "line 1, column 11: 'services' is empty"},
		{"services:\n  web:\n    image: [1\n", "line "},
		{"services:\n\tweb: 1\n", "line 2"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct lm_err err = {0};
		assert_int_equal(compose_file_check(lm_str(bad[i][0]), &err), LM_E_INVALID);
		if (!strstr(err.msg, bad[i][1]))
			print_message("%zu: %s\n", i, err.msg);
		assert_non_null(strstr(err.msg, bad[i][1]));
	}
}

static void each_image_is_pulled_once_and_built_ones_never(void **state)
{
	(void)state;
	const char *config = "services:\n"
			     "  a: {image: 'x:1'}\n"
			     "  b: {image: 'x:1'}\n"
			     "  c: {image: 'x:1', platform: linux/arm64}\n"
			     "  d: {build: {context: /srv}, image: 'mine:1'}\n"
			     "  e: {build: .}\n"
			     "  f: {image: 'y@sha256:12', build: null}\n"
			     "version: '3.9'\n";
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct lm_err err = {0};
	assert_int_equal(compose_services_parse(lm_str(config), &services, &err), LM_OK);
	assert_int_equal(services.n, 6);
	assert_string_equal(services.items[3].name, "d");
	assert_true(services.items[3].has_build);
	assert_null(services.items[4].image);
	lm_auto_free struct compose_image *images = NULL;
	assert_int_equal(compose_services_images(&services, 2, &images), 3);
	assert_string_equal(images[0].image, "x:1");
	assert_null(images[0].platform);
	assert_string_equal(images[1].platform, "linux/arm64");
	assert_string_equal(images[2].image, "y@sha256:12");
}

static void only_generation_1_prints_services_that_nobody_asked_for(void **state)
{
	(void)state;
	const char *config = "services:\n  a: {image: x}\n  b: {image: y, profiles: [debug]}\n";
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct lm_err err = {0};
	assert_int_equal(compose_services_parse(lm_str(config), &services, &err), LM_OK);
	lm_auto_free struct compose_image *first = NULL;
	lm_auto_free struct compose_image *second = NULL;
	assert_int_equal(compose_services_images(&services, 1, &first), 1);
	assert_string_equal(first[0].image, "x");
	assert_int_equal(compose_services_images(&services, 2, &second), 2);
}

static void a_config_without_services_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "services: {}\n", "services: 1\n", "- a\n", "a: ["};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct compose_services services = {0};
		struct lm_err err = {0};
		assert_int_equal(
			compose_services_parse(lm_str(bad[i]), &services, &err), LM_E_INVALID);
		assert_null(services.items);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_compose_files_of_every_form),
		cmocka_unit_test(refuses_others_with_their_place),
		cmocka_unit_test(each_image_is_pulled_once_and_built_ones_never),
		cmocka_unit_test(only_generation_1_prints_services_that_nobody_asked_for),
		cmocka_unit_test(a_config_without_services_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
