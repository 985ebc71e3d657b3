// SPDX-License-Identifier: Apache-2.0
#include "docker/answer.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PROJECT "greengrassdockerapplicationdeployment"

static lm_rc version(const char *json, struct engine_version *v, struct lm_err *err)
{
	*v = (struct engine_version){0};
	*err = (struct lm_err){0};
	return engine_parse_version(lm_str(json), v, err);
}

static void speaks_what_the_engine_offers_up_to_1_44(void **state)
{
	(void)state;
	struct engine_version v;
	struct lm_err err;
	assert_int_equal(version("{\"Version\":\"20.10.24+dfsg1\",\"ApiVersion\":\"1.41\","
				 "\"MinAPIVersion\":\"1.12\"}",
				 &v, &err),
		LM_OK);
	assert_int_equal(v.minor, 41);
	assert_string_equal(v.platform, "linux/");
	assert_string_equal(v.engine, "20.10.24+dfsg1");
	assert_int_equal(version("{\"Version\":\"29.3.0\",\"ApiVersion\":\"1.54\","
				 "\"MinAPIVersion\":\"1.40\"}",
				 &v, &err),
		LM_OK);
	assert_int_equal(v.minor, 44);
	assert_int_equal(v.offered_min, 40);
	assert_int_equal(v.offered_max, 54);
	assert_int_equal(
		version("{\"Version\":\"1.9.1\",\"ApiVersion\":\"1.21\"}", &v, &err), LM_OK);
	assert_int_equal(v.minor, 21);
	assert_int_equal(version("{\"Version\":\"dev\",\"ApiVersion\":\"1.44\"}", &v, &err), LM_OK);
}

static void tells_the_platform_that_the_engine_runs(void **state)
{
	(void)state;
	struct engine_version v;
	struct lm_err err;
	assert_int_equal(version("{\"Version\":\"20.10\",\"ApiVersion\":\"1.41\","
				 "\"Os\":\"linux\",\"Arch\":\"arm64\"}",
				 &v, &err),
		LM_OK);
	assert_string_equal(v.platform, "linux/arm64");
}

static void refuses_an_engine_below_1_9_1_by_name(void **state)
{
	(void)state;
	struct engine_version v;
	struct lm_err err;
	static const char *const old[] = {"{\"Version\":\"1.9.0\",\"ApiVersion\":\"1.21\"}",
		"{\"Version\":\"1.8.3\",\"ApiVersion\":\"1.20\"}",
		"{\"Version\":\"0.11.1\",\"ApiVersion\":\"1.12\"}"};
	static const char *const names[] = {"Docker Engine 1.9.0 is too old",
		"Docker Engine 1.8.3 is too old", "Docker Engine 0.11.1 is too old"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(old); i++) {
		assert_int_equal(version(old[i], &v, &err), LM_E_REFUSED);
		assert_non_null(strstr(err.msg, names[i]));
		assert_non_null(strstr(err.msg, "1.9.1 or later"));
	}
	assert_int_equal(version("{\"Version\":\"40.0\",\"ApiVersion\":\"1.80\","
				 "\"MinAPIVersion\":\"1.60\"}",
				 &v, &err),
		LM_E_REFUSED);
	assert_non_null(strstr(err.msg, "1.60"));
}

static void refuses_what_is_no_version(void **state)
{
	(void)state;
	struct engine_version v;
	struct lm_err err;
	static const char *const bad[] = {"", "[]", "{}", "{\"Version\":1,\"ApiVersion\":\"1.41\"}",
		"{\"Version\":\"20\",\"ApiVersion\":\"2.0\"}", "{\"Version\":\"20"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++)
		assert_int_equal(version(bad[i], &v, &err), LM_E_PROTOCOL);
}

static void lists_only_the_projects_containers(void **state)
{
	(void)state;
	const char *json =
		"[{\"Id\":\"aa\",\"Names\":[\"/other/alias\",\"/p_web_1\"],\"Image\":\"web:1\","
		"\"ImageID\":\"sha256:1d\",\"State\":\"running\",\"Status\":\"Up 2 minutes "
		"(healthy)\",\"Created\":1700000000,"
		"\"Labels\":{\"com.docker.compose.project\":\"" PROJECT "\","
		"\"com.docker.compose.service\":\"web\",\"com.docker.compose.oneoff\":\"False\","
		"\"com.docker.compose.config-hash\":\"0a\","
		"\"com.docker.compose.version\":\"1.29.2\"}},"
		"{\"Id\":\"bb\",\"Names\":[\"/stranger\"],\"Labels\":{}},"
		"{\"Id\":\"cc\",\"Names\":[\"/p_db_1\"],\"State\":\"exited\","
		"\"Status\":\"Exited (137) 3 hours ago\","
		"\"Labels\":{\"com.docker.compose.project\":\"" PROJECT "\"}}]";
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_parse_containers(lm_str(json), PROJECT, &list, &err), LM_OK);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0].name, "p_web_1");
	assert_string_equal(list.items[0].service, "web");
	assert_string_equal(list.items[0].state, "running");
	assert_int_equal(list.items[0].health, ENGINE_HEALTHY);
	assert_int_equal(list.items[0].exit_code, -1);
	assert_int_equal(list.items[0].created, 1700000000);
	assert_false(list.items[0].oneoff);
	assert_string_equal(list.items[0].image_id, "sha256:1d");
	assert_string_equal(list.items[0].config_hash, "0a");
	assert_string_equal(list.items[0].compose_version, "1.29.2");
	assert_string_equal(list.items[1].config_hash, "");
	assert_string_equal(list.items[1].id, "cc");
	assert_string_equal(list.items[1].service, "");
	assert_int_equal(list.items[1].exit_code, 137);
	assert_int_equal(list.items[1].health, ENGINE_HEALTH_NONE);
}

static void derives_the_state_where_an_old_engine_gives_none(void **state)
{
	(void)state;
	static const struct {
		const char *status;
		const char *state;
	} cases[] = {{"Up 3 days", "running"}, {"Up 3 days (Paused)", "paused"},
		{"Exited (0) 1 second ago", "exited"},
		{"Restarting (1) 2 seconds ago", "restarting"}, {"Created", "created"},
		{"Removal In Progress", "removing"}, {"Dead", "dead"}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_buf struct lm_buf json = LM_BUF(1000);
		(void)lm_buf_printf(&json,
			"[{\"Status\":\"%s\",\"Labels\":{\"com.docker.compose.project\":\"p\"}}]",
			cases[i].status);
		lm_auto(engine_containers_finish) struct engine_containers list = {0};
		struct lm_err err = {0};
		assert_int_equal(
			engine_parse_containers(lm_buf_str(&json), "p", &list, &err), LM_OK);
		assert_int_equal(list.n, 1);
		assert_string_equal(list.items[0].state, cases[i].state);
	}
}

static void takes_health_from_the_member_of_api_1_52(void **state)
{
	(void)state;
	const char *json = "[{\"Health\":{\"Status\":\"unhealthy\"},\"Status\":\"Up\","
			   "\"Labels\":{\"com.docker.compose.project\":\"p\"}}]";
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_parse_containers(lm_str(json), "p", &list, &err), LM_OK);
	assert_int_equal(list.items[0].health, ENGINE_UNHEALTHY);
}

static void lists_only_the_projects_networks(void **state)
{
	(void)state;
	const char *json = "[{\"Id\":\"n1\",\"Name\":\"bridge\",\"Labels\":{}},"
			   "{\"Id\":\"n2\",\"Name\":\"p_default\","
			   "\"Labels\":{\"com.docker.compose.project\":\"p\"}},{\"Id\":\"n3\","
			   "\"Labels\":null}]";
	lm_auto(engine_networks_finish) struct engine_networks list = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_parse_networks(lm_str(json), "p", &list, &err), LM_OK);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.items[0].id, "n2");
	assert_string_equal(list.items[0].name, "p_default");
}

static void refuses_lists_that_are_none(void **state)
{
	(void)state;
	static const char *const bad[] = {"{}", "\"x\"", "[", ""};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct engine_containers list = {0};
		struct lm_err err = {0};
		assert_int_equal(
			engine_parse_containers(lm_str(bad[i]), "p", &list, &err), LM_E_PROTOCOL);
		assert_null(list.items);
	}
	struct engine_containers list = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_parse_containers(LM_STR("null"), "p", &list, &err), LM_OK);
	assert_int_equal(list.n, 0);
	engine_containers_finish(&list);
}

static void chooses_the_digest_of_the_repository(void **state)
{
	(void)state;
	const char *json = "{\"Id\":\"sha256:1d\",\"Size\":7,\"RepoDigests\":"
			   "[\"a/b@sha256:aa\",\"localhost:5000/demo/web@sha256:bb\"]}";
	lm_auto(engine_image_finish) struct engine_image image = {0};
	struct lm_err err = {0};
	assert_int_equal(
		engine_parse_image(lm_str(json), "localhost:5000/demo/web", &image, &err), LM_OK);
	assert_string_equal(image.id, "sha256:1d");
	assert_string_equal(image.digest, "sha256:bb");
	assert_int_equal(image.size, 7);
	lm_auto(engine_image_finish) struct engine_image local = {0};
	assert_int_equal(engine_parse_image(
				 LM_STR("{\"Id\":\"x\",\"RepoDigests\":null}"), NULL, &local, &err),
		LM_OK);
	assert_null(local.digest);
	assert_int_equal(engine_parse_image(LM_STR("{}"), NULL, &local, &err), LM_E_PROTOCOL);
}

static void classes_follow_the_engines_words(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *text;
		lm_rc rc;
	} cases[] = {
		// As Engine 20.10 words them.
		{500,
			"login attempt to http://localhost:5051/v2/ failed with status: 401 "
			"Unauthorized",
			LM_E_DENIED},
		{500,
			"Get \"http://localhost:5999/v2/\": dial tcp 127.0.0.1:5999: connect: "
			"connection refused",
			LM_E_NETWORK},
		{500,
			"Head \"http://localhost:5051/v2/demo/web/manifests/1\": no basic auth "
			"credentials",
			LM_E_DENIED},
		{404,
			"manifest for localhost:5051/demo/none:1 not found: manifest unknown: "
			"manifest unknown",
			LM_E_NOT_FOUND},
		{404,
			"pull access denied for nix, repository does not exist or may require "
			"'docker login'",
			LM_E_DENIED},
		{401, "anything", LM_E_DENIED},
		{409, "Conflict. The container name is in use", LM_E_CONFLICT},
		{500, "no space left on device", LM_E_REFUSED},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(
			engine_error_class(cases[i].status, lm_str(cases[i].text)), cases[i].rc);
}

static void finds_the_engines_words_in_any_body(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"{\"message\":\"no such image\"}", "no such image"},
		{"client is newer than server\n", "client is newer than server"},
		{"", "no reason given"}, {"{\"error\":1}", "{\"error\":1}"}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(4096);
		engine_error_text(lm_str(cases[i][0]), &out);
		assert_string_equal(lm_buf_cstr(&out), cases[i][1]);
	}
}

static void asks_for_containers_by_label(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(4096);
	assert_true(engine_containers_target(&out, 41, "p"));
	assert_string_equal(lm_buf_cstr(&out),
		"/v1.41/containers/json?all=1&filters="
		"%7B%22label%22%3A%5B%22com.docker.compose.project%3Dp%22%5D%7D");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speaks_what_the_engine_offers_up_to_1_44),
		cmocka_unit_test(tells_the_platform_that_the_engine_runs),
		cmocka_unit_test(refuses_an_engine_below_1_9_1_by_name),
		cmocka_unit_test(refuses_what_is_no_version),
		cmocka_unit_test(lists_only_the_projects_containers),
		cmocka_unit_test(derives_the_state_where_an_old_engine_gives_none),
		cmocka_unit_test(takes_health_from_the_member_of_api_1_52),
		cmocka_unit_test(lists_only_the_projects_networks),
		cmocka_unit_test(refuses_lists_that_are_none),
		cmocka_unit_test(chooses_the_digest_of_the_repository),
		cmocka_unit_test(classes_follow_the_engines_words),
		cmocka_unit_test(finds_the_engines_words_in_any_body),
		cmocka_unit_test(asks_for_containers_by_label),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
