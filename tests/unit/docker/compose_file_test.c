// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_file.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"

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
		"services: {a: {image: a}}\n---\nservices: {a: {labels: [x]}}\n",
		"x-a: 1\n---\nservices: {a: {image: a}}\n...\n# end\n",
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		struct lm_err err = {0};
		lm_rc rc = compose_file_check(lm_str(good[i]), 2, &err);
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
		assert_int_equal(compose_file_check(lm_str(bad[i][0]), 2, &err), LM_E_INVALID);
		if (!strstr(err.msg, bad[i][1]))
			print_message("%zu: %s\n", i, err.msg);
		assert_non_null(strstr(err.msg, bad[i][1]));
	}
}

static void only_docker_compose_2_takes_several_documents(void **state)
{
	(void)state;
	struct lm_str two = LM_STR("services: {a: {image: a}}\n---\nx-b: 1\n");
	struct lm_err err = {0};

	assert_int_equal(compose_file_check(two, 0, &err), LM_OK);
	assert_int_equal(compose_file_check(two, 2, &err), LM_OK);
	assert_int_equal(compose_file_check(two, 1, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "line 3, column 1: a second YAML document"));
	assert_int_equal(
		compose_file_check(LM_STR("services: {a: {image: a}}\n---\n- x\n"), 2, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "line 3, column 1"));
}

static void takes_utf_16_with_a_mark(void **state)
{
	(void)state;
	static const char text[] = "{\"services\":{\"a\":{\"image\":\"b\"}}}";
	lm_auto_buf struct lm_buf wide = LM_BUF(1000);
	struct lm_err err = {0};

	(void)lm_buf_add(&wide, "\xff\xfe", 2);
	for (size_t i = 0; text[i]; i++) {
		(void)lm_buf_putc(&wide, text[i]);
		(void)lm_buf_putc(&wide, '\0');
	}
	assert_int_equal(compose_file_check(lm_buf_str(&wide), 1, &err), LM_OK);
}

static void parse(const char *config, struct compose_services *ret)
{
	struct lm_err err = {0};
	if (compose_services_parse(lm_str(config), ret, &err) != LM_OK)
		fail_msg("%s", err.msg);
}

static void make_images(
	const struct compose_services *services, unsigned generation, struct compose_images *ret)
{
	const struct compose_images_options options = {.project = "p", .generation = generation};
	compose_images_make(services, &options, ret);
}

static void lists_each_image_once_with_who_builds_it(void **state)
{
	(void)state;
	const char *config = "services:\n"
			     "  a: {image: 'x:1'}\n"
			     "  b: {image: 'x:1', pull_policy: always}\n"
			     "  c: {image: 'x:1', platform: linux/arm64}\n"
			     "  d: {build: {context: /srv}, image: 'mine', pull_policy: build}\n"
			     "  e: {build: .}\n"
			     "  f: {image: 'y@sha256:12', build: null}\n"
			     "  g: {image: 'docker.io/library/mine:latest', pull_policy: never}\n"
			     "version: '3.9'\n";
	lm_auto(compose_services_finish) struct compose_services services = {0};
	lm_auto(compose_images_finish) struct compose_images images = {0};
	static const struct {
		const char *name, *platform, *builder;
		unsigned policies;
	} expected[] = {
		{"x:1", NULL, NULL, 1U << COMPOSE_PULL_DEFAULT | 1U << COMPOSE_PULL_ALWAYS},
		{"x:1", "linux/arm64", NULL, 1U << COMPOSE_PULL_DEFAULT},
		{"mine", NULL, "d", 1U << COMPOSE_PULL_BUILD | 1U << COMPOSE_PULL_NEVER},
		{"p-e", NULL, "e", 1U << COMPOSE_PULL_DEFAULT},
		{"y@sha256:12", NULL, NULL, 1U << COMPOSE_PULL_DEFAULT},
	};
	parse(config, &services);
	make_images(&services, 2, &images);
	assert_int_equal(images.n, LM_ARRAY_SIZE(expected));
	for (size_t i = 0; i < images.n; i++) {
		const struct compose_image *image = &images.items[i];
		assert_string_equal(image->name, expected[i].name);
		assert_string_equal(image->platform ? image->platform : "",
			expected[i].platform ? expected[i].platform : "");
		assert_string_equal(image->builder ? image->builder : "",
			expected[i].builder ? expected[i].builder : "");
		assert_int_equal(image->policies, expected[i].policies);
		assert_int_equal(image->is_named, i != 3);
	}
}

static void a_default_platform_is_of_services_that_ask_for_none(void **state)
{
	(void)state;
	const char *config = "services:\n  a: {image: x}\n  b: {image: x, platform: arm64}\n";
	lm_auto(compose_services_finish) struct compose_services services = {0};
	lm_auto(compose_images_finish) struct compose_images images = {0};
	const struct compose_images_options options = {
		.project = "p", .generation = 1, .default_platform = "linux/386"};
	parse(config, &services);
	compose_images_make(&services, &options, &images);
	assert_int_equal(images.n, 2);
	assert_string_equal(images.items[0].platform, "linux/386");
	assert_string_equal(images.items[1].platform, "arm64");
}

static void reads_what_decides_about_a_service(void **state)
{
	(void)state;
	const char *config = "services:\n"
			     "  a:\n"
			     "    image: x\n"
			     "    pull_policy: if_not_present\n"
			     "    scale: 0\n"
			     "    profiles: [field, debug]\n"
			     "    depends_on: {b: {condition: service_started}}\n"
			     "    links: ['c:alias']\n"
			     "    volumes_from: ['d:ro', 'container:other']\n"
			     "    network_mode: service:e\n"
			     "    pid: host\n"
			     "  b: {build: {context: ., platforms: [linux/amd64, linux/arm64]}, "
			     "deploy: {replicas: 3}}\n"
			     "  c: {image: x, pull_policy: whatever, profiles: []}\n";
	static const char *const needs[] = {"b", "c", "d", "e"};
	lm_auto(compose_services_finish) struct compose_services services = {0};
	parse(config, &services);
	const struct compose_service *a = &services.items[0], *b = a + 1, *c = b + 1;
	assert_int_equal(a->pull_policy, COMPOSE_PULL_MISSING);
	assert_int_equal(a->replicas, 0);
	assert_int_equal(a->profiles_n, 2);
	assert_string_equal(a->profiles[1], "debug");
	assert_int_equal(a->needs_n, LM_ARRAY_SIZE(needs));
	for (size_t i = 0; i < a->needs_n; i++)
		assert_string_equal(a->needs[i], needs[i]);
	assert_int_equal(b->replicas, 3);
	assert_true(b->builds_for_many);
	assert_false(b->has_profiles);
	assert_true(c->has_profiles);
	assert_int_equal(c->replicas, 1);
	assert_int_equal(c->pull_policy, COMPOSE_PULL_DEFAULT);
	assert_true(a->active && b->active && c->active);
}

static void reads_who_is_checked_and_who_is_restarted(void **state)
{
	(void)state;
	static const struct {
		const char *more;
		enum compose_health health;
		bool restarts;
	} cases[] = {
		{"", COMPOSE_HEALTH_OF_IMAGE, false},
		{"healthcheck: {test: [CMD, 'true']}", COMPOSE_HEALTH_ON, false},
		{"healthcheck: {test: 'curl localhost'}", COMPOSE_HEALTH_ON, false},
		{"healthcheck: {test: [NONE]}", COMPOSE_HEALTH_OFF, false},
		{"healthcheck: {test: NONE}", COMPOSE_HEALTH_OFF, false},
		{"healthcheck: {disable: true}", COMPOSE_HEALTH_OFF, false},
		{"healthcheck: {interval: 5s}", COMPOSE_HEALTH_OF_IMAGE, false},
		{"healthcheck: 7", COMPOSE_HEALTH_OF_IMAGE, false},
		{"restart: always", COMPOSE_HEALTH_OF_IMAGE, true},
		{"restart: on-failure:3", COMPOSE_HEALTH_OF_IMAGE, true},
		{"restart: 'no'", COMPOSE_HEALTH_OF_IMAGE, false},
		{"restart: no", COMPOSE_HEALTH_OF_IMAGE, false},
		{"restart: false", COMPOSE_HEALTH_OF_IMAGE, false},
		{"deploy: {restart_policy: {condition: any}}", COMPOSE_HEALTH_OF_IMAGE, true},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(compose_services_finish) struct compose_services services = {0};
		lm_auto_free char *text =
			lm_xasprintf("services:\n  web:\n    image: a\n    %s\n", cases[i].more);

		parse(text, &services);
		assert_int_equal(services.items[0].health, cases[i].health);
		assert_int_equal(services.items[0].restarts, cases[i].restarts);
	}
}

static void replicas_count_as_each_generation_counts_them(void **state)
{
	(void)state;
	const char *config =
		"services:\n"
		"  plain: {deploy: {mode: replicated, replicas: 3}}\n"
		"  global: {deploy: {mode: global, replicas: 3}}\n"
		"  placed: {deploy: {replicas: 3, placement: {max_replicas_per_node: 2}}}\n"
		"  scaled: {scale: 2, deploy: {placement: {max_replicas_per_node: 9}}}\n"
		"  none: {scale: 0}\n"
		"  odd: {deploy: {mode: [x], placement: [y]}}\n"
		"  empty:\n";
	static const unsigned of_1[] = {3, 1, 2, 2, 0, 1, 1}, of_2[] = {3, 3, 3, 2, 0, 1, 1};

	for (unsigned generation = 1; generation <= 2; generation++) {
		lm_auto(compose_services_finish) struct compose_services services = {0};
		const unsigned *expected = generation == 1 ? of_1 : of_2;

		parse(config, &services);
		assert_int_equal(
			compose_services_activate(&services, generation, LM_STR(""), NULL), LM_OK);
		for (size_t i = 0; i < services.n; i++)
			assert_int_equal(services.items[i].replicas, expected[i]);
	}
}

static void generation_1_starts_services_by_their_profiles(void **state)
{
	(void)state;
	const char *config = "services:\n"
			     "  a: {image: a}\n"
			     "  b: {image: b, profiles: [field]}\n"
			     "  c: {image: c, profiles: [debug, field]}\n"
			     "  d: {image: d, profiles: []}\n";
	static const struct {
		unsigned generation;
		const char *profiles, *active;
	} cases[] = {
		{1, "", "a"}, {1, "field", "abc"}, {1, "debug", "ac"}, {1, "x,debug", "ac"},
		{1, "x, debug", "a"},                          // a blank is part of the name
		{1, "*", "a"}, {1, ",", "a"}, {2, "", "abcd"}, // it prints no others
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(compose_services_finish) struct compose_services services = {0};
		lm_auto(compose_images_finish) struct compose_images images = {0};
		char active[8] = "";
		struct lm_err err = {0};
		parse(config, &services);
		assert_int_equal(compose_services_activate(&services, cases[i].generation,
					 lm_str(cases[i].profiles), &err),
			LM_OK);
		make_images(&services, cases[i].generation, &images);
		for (size_t k = 0; k < images.n; k++)
			active[k] = *images.items[k].name;
		assert_string_equal(active, cases[i].active);
	}
}

static void profiles_that_cannot_work_are_explained(void **state)
{
	(void)state;
	static const struct {
		const char *config, *profiles, *message;
	} cases[] = {
		{"services:\n  a: {image: a, profiles: [field]}\n"
		 "  b: {image: b, profiles: [debug, field]}\n",
			"",
			"COMPOSE_PROFILES in the file .env beside the compose file to one or "
			"more of: field, debug"},
		{"services:\n  a: {image: a, depends_on: [b]}\n"
		 "  b: {image: b, profiles: [field]}\n",
			"", "service 'a' needs service 'b', none of whose profiles is active"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(compose_services_finish) struct compose_services services = {0};
		struct lm_err err = {0};
		parse(cases[i].config, &services);
		assert_int_equal(
			compose_services_activate(&services, 1, lm_str(cases[i].profiles), &err),
			LM_E_INVALID);
		assert_non_null(strstr(err.msg, cases[i].message));
	}
}

static void an_empty_result_is_explained_by_the_profiles_of_the_file(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_explained;
	} cases[] = {
		{"services:\n  a: {image: x, profiles: [field]}\n", true},
		{"services:\n  a: {image: x, profiles: [field]}\n  b: {image: y}\n", false},
		{"services:\n  a: {image: x, profiles: []}\n", false},
		{"services: 1\n", false},
		{"services: [", false},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct lm_err err = {.rc = LM_E_INVALID, .msg = "no services"};
		compose_file_explain_inactive(lm_str(cases[i].text), &err);
		assert_int_equal(err.rc, LM_E_INVALID);
		assert_int_equal(
			strstr(err.msg, "one or more of: field") != NULL, cases[i].is_explained);
	}
}

static void built_images_are_called_as_docker_compose_does(void **state)
{
	(void)state;
	lm_auto_free char *first = compose_built_name("p", "web", 1);
	lm_auto_free char *second = compose_built_name("p", "web", 2);
	assert_string_equal(first, "p_web");
	assert_string_equal(second, "p-web");
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

static void take(void *ctx, const char *message)
{
	(void)lm_buf_printf(ctx, "%s\n", message);
}

static void assert_found(const char *text, unsigned generation, const char *found)
{
	lm_auto_buf struct lm_buf messages = LM_BUF(4000);

	compose_lint(lm_str(text), generation, take, &messages);
	assert_string_equal(lm_buf_cstr(&messages), found);
}

static void finds_numbers_of_base_60(void **state)
{
	(void)state;
	static const char text[] = "services:\n"
				   "  web:\n"
				   "    ports:\n"
				   "      - 22:22\n"
				   "      - 8080:80\n"
				   "      - \"23:23\"\n"
				   "      - 127.0.0.1:24:24\n"
				   "      - 25:25/udp\n"
				   "    labels: {at: 1:02:03, not: 0:10, nor: '1:1'}\n";

	assert_found(text, 1,
		"line 4, column 9: port 22:22 is not in quotes, and docker-compose 1 reads it as "
		"the "
		"number 1342 (of base 60): put it in quotes\n"
		"line 9, column 18: a value is not in quotes, and docker-compose 1 reads it as a "
		"base-60 number: put it in quotes\n");
	assert_found(text, 2, "");
}

static void finds_keys_that_stand_twice(void **state)
{
	(void)state;
	static const char text[] = "services:\n"
				   "  web: {image: a, image: b}\n"
				   "  db: {<<: {image: a}, <<: {labels: [x]}}\n"
				   "  web: {image: c}\n";

	assert_found(text, 1,
		"line 2, column 19: 'image' is a duplicate key (first in line 2), and "
		"docker-compose 1 uses only the last one: remove one of them\n"
		"line 4, column 3: 'web' is a duplicate key (first in line 2), and docker-compose "
		"1 uses only the last one: remove one of them\n");
	assert_found(text, 2, "");
}

static void finds_numbers_of_other_bases_where_a_text_is_wanted(void **state)
{
	(void)state;
	static const char text[] =
		"services:\n"
		"  web:\n"
		"    environment: {A: 022, B: '022', C: 089, D: 0, E: 0x1F, F: 0x}\n"
		"    ports: [0010]\n"
		"    secrets: [{source: s, mode: 0440}]\n"
		"---\n"
		"services: {db: {labels: {l: 0o17}}}\n";
	static const char both[] =
		"line 3, column 22: a value that starts with 0 is not in quotes, and "
		"docker-compose reads it as a base-8 number: put it in quotes\n"
		"line 3, column 54: a value that starts with 0 is not in quotes, and "
		"docker-compose reads it as a base-16 number: put it in quotes\n"
		"line 4, column 13: a port that starts with 0 is not in quotes, and docker-compose "
		"reads it as a base-8 number: put it in quotes\n";
	lm_auto_buf struct lm_buf second = LM_BUF(4000);

	(void)lm_buf_printf(&second,
		"%sline 7, column 29: a value that starts with 0 is not in quotes, and "
		"docker-compose reads it as a base-8 number: put it in quotes\n",
		both);
	assert_found(text, 1, both);
	assert_found(text, 2, lm_buf_cstr(&second));
}

static void what_aliases_repeat_is_reported_once_and_many_are_cut(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(10000), messages = LM_BUF(100000);
	size_t lines = 0;

	assert_found("a: &a [1:30]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1,
		"line 1, column 8: a value is not in quotes, and docker-compose 1 reads it as a "
		"base-60 number: put it in quotes\n");
	for (size_t i = 0; i < 1000; i++)
		(void)lm_buf_puts(&text, "- 1:30\n");
	compose_lint(lm_buf_str(&text), 1, take, &messages);
	for (size_t i = 0; i < messages.len; i++)
		lines += messages.data[i] == '\n';
	assert_int_equal(lines, 50);
}

static void finds_nothing_in_what_is_no_yaml(void **state)
{
	(void)state;
	assert_found("", 1, "");
	assert_found("a: [", 1, "");
	assert_found("22:22", 1,
		"line 1, column 1: a value is not in quotes, and docker-compose 1 reads it as a "
		"base-60 number: put it in quotes\n");
	assert_found("[99999999:10, '', ':', 1:, :1, 1:60, 1::2]", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_compose_files_of_every_form),
		cmocka_unit_test(refuses_others_with_their_place),
		cmocka_unit_test(only_docker_compose_2_takes_several_documents),
		cmocka_unit_test(takes_utf_16_with_a_mark),
		cmocka_unit_test(lists_each_image_once_with_who_builds_it),
		cmocka_unit_test(a_default_platform_is_of_services_that_ask_for_none),
		cmocka_unit_test(reads_what_decides_about_a_service),
		cmocka_unit_test(reads_who_is_checked_and_who_is_restarted),
		cmocka_unit_test(replicas_count_as_each_generation_counts_them),
		cmocka_unit_test(generation_1_starts_services_by_their_profiles),
		cmocka_unit_test(profiles_that_cannot_work_are_explained),
		cmocka_unit_test(an_empty_result_is_explained_by_the_profiles_of_the_file),
		cmocka_unit_test(built_images_are_called_as_docker_compose_does),
		cmocka_unit_test(a_config_without_services_is_refused),
		cmocka_unit_test(finds_numbers_of_base_60),
		cmocka_unit_test(finds_keys_that_stand_twice),
		cmocka_unit_test(finds_numbers_of_other_bases_where_a_text_is_wanted),
		cmocka_unit_test(what_aliases_repeat_is_reported_once_and_many_are_cut),
		cmocka_unit_test(finds_nothing_in_what_is_no_yaml),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
