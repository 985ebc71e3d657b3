// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_json.h"

#include "docker/engine.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

static void reads_the_platform_that_the_engine_runs(void **state)
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

static void classes_follow_the_engines_message(void **state)
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

static void finds_the_engines_message_in_any_body(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"{\"message\":\"no such image\"}", "no such image"},
		{"client is newer than server\n", "client is newer than server"},
		{"", "no reason given"}, {"{\"error\":1}", "{\"error\":1}"}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(4096);
		assert_int_equal(engine_error_text(lm_str(cases[i][0]), &out), i == 0);
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

static struct engine_container_state parse(const char *body)
{
	struct engine_container_state state = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_parse_container_state(lm_str(body), &state, &err), LM_OK);
	return state;
}

static void reads_one_that_runs(void **unused)
{
	(void)unused;
	struct engine_container_state s = parse(
		"{\"Id\":\"c1\",\"RestartCount\":3,\"State\":{\"Running\":true,\"ExitCode\":0,"
		"\"StartedAt\":\"2020-08-11T13:39:04.909876543Z\"}}");
	assert_int_equal(s.restart_count, 3);
	assert_int_equal(s.exit_code, -1);
	assert_int_equal(s.started_ms, 1597153144909);
}

static void reads_one_that_has_ended(void **unused)
{
	(void)unused;
	struct engine_container_state s = parse("{\"State\":{\"Running\":false,\"ExitCode\":137,"
						"\"StartedAt\":\"2020-08-11T13:39:04Z\"}}");
	assert_int_equal(s.restart_count, 0);
	assert_int_equal(s.exit_code, 137);
}

static void reads_how_it_ended(void **unused)
{
	(void)unused;
	struct engine_container_state s =
		parse("{\"State\":{\"Status\":\"exited\",\"Running\":false,\"ExitCode\":137,"
		      "\"OOMKilled\":true,\"StartedAt\":\"2020-08-11T13:39:04Z\","
		      "\"FinishedAt\":\"2020-08-11T13:39:05.5Z\","
		      "\"Health\":{\"Status\":\"unhealthy\"}}}");
	assert_string_equal(s.state, "exited");
	assert_true(s.oom_killed);
	assert_int_equal(s.ended_ms - s.started_ms, 1500);
	assert_int_equal(s.health, ENGINE_UNHEALTHY);
}

static void reads_its_restart_policy(void **unused)
{
	static const struct {
		const char *name;
		enum engine_restart policy;
	} cases[] = {{"", ENGINE_RESTART_NO}, {"no", ENGINE_RESTART_NO},
		{"on-failure", ENGINE_RESTART_ON_FAILURE}, {"always", ENGINE_RESTART_ALWAYS},
		{"unless-stopped", ENGINE_RESTART_ALWAYS}};
	(void)unused;
	assert_int_equal(parse("{\"State\":{}}").restart_policy, ENGINE_RESTART_NO);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char body[160];
		(void)snprintf(body, sizeof(body),
			"{\"State\":{},\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"%s\","
			"\"MaximumRetryCount\":0}}}",
			cases[i].name);
		assert_int_equal(parse(body).restart_policy, cases[i].policy);
	}
}

static void one_that_waits_for_its_restart_has_ended(void **unused)
{
	(void)unused;
	struct engine_container_state s =
		parse("{\"State\":{\"Running\":true,\"Restarting\":true,\"ExitCode\":3,"
		      "\"StartedAt\":\"2020-08-11T13:39:04Z\"}}");
	assert_string_equal(s.state, "restarting");
	assert_int_equal(s.exit_code, 3);
	assert_int_equal(s.health, ENGINE_HEALTH_NONE);
}

static void the_state_of_an_old_engine_follows_from_its_flags(void **unused)
{
	(void)unused;
	assert_string_equal(
		parse("{\"State\":{\"Running\":true,\"Paused\":true}}").state, "paused");
	assert_string_equal(parse("{\"State\":{\"Running\":true}}").state, "running");
	assert_string_equal(parse("{\"State\":{}}").state, "exited");
}

static void one_that_never_ran_has_neither_time_nor_code(void **unused)
{
	(void)unused;
	struct engine_container_state s =
		parse("{\"RestartCount\":-1,\"State\":{\"Running\":false,\"ExitCode\":0,"
		      "\"StartedAt\":\"0001-01-01T00:00:00Z\"}}");
	assert_int_equal(s.restart_count, 0);
	assert_int_equal(s.exit_code, -1);
	assert_int_equal(s.started_ms, 0);
}

static void refuses_what_is_no_container(void **unused)
{
	(void)unused;
	static const char *const bodies[] = {"", "[]", "{}", "{\"State\":\"running\"}"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bodies); i++) {
		struct engine_container_state state = {0};
		struct lm_err err = {LM_OK};
		assert_int_equal(engine_parse_container_state(lm_str(bodies[i]), &state, &err),
			LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "the Docker daemon's container details "));
	}
}

static void an_age_is_the_least_that_the_status_can_mean(void **unused)
{
	(void)unused;
	static const struct {
		const char *status;
		int64_t age_s;
	} cases[] = {
		{"Up Less than a second", 0},
		{"Up 1 second", 1},
		{"Up 42 seconds (health: starting)", 42},
		{"Up About a minute", 60},
		{"Up 5 minutes (healthy)", 300},
		{"Up 5 minutes (Paused)", 300},
		{"Up About an hour", 3600},
		{"Up 2 hours", 5400},
		{"Up 2 days", 48 * 3600 - 1800},
		{"Up 3 weeks", 21 * 24 * 3600 - 1800},
		{"Up 2 months", 60 * 24 * 3600 - 1800},
		{"Up 3 years", 3 * 365 * 24 * 3600 - 1800},
		{"Exited (137) 2 minutes ago", 120},
		{"Exited (0) Less than a second ago", 0},
		{"Restarting (1) 3 seconds ago", 3},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(engine_status_age_s(cases[i].status), cases[i].age_s);
}

static void a_status_without_a_time_has_no_age(void **unused)
{
	(void)unused;
	static const char *const statuses[] = {"", "Created", "Dead", "Up", "Up ", "Up many days",
		"Up 3 parsecs", "Exited (1", "Removal In Progress", "Up 5"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(statuses); i++)
		assert_int_equal(engine_status_age_s(statuses[i]), -1);
}

static void a_target_cannot_be_led_elsewhere(void **unused)
{
	(void)unused;
	lm_auto_buf struct lm_buf out = LM_BUF(256);

	assert_true(engine_container_target(&out, 41, "c1"));
	assert_string_equal(lm_buf_cstr(&out), "/v1.41/containers/c1/json");
	lm_buf_clear(&out);
	assert_true(engine_container_target(&out, 41, "../x?a b"));
	assert_string_equal(lm_buf_cstr(&out), "/v1.41/containers/..%2Fx%3Fa%20b/json");
	lm_buf_clear(&out);
	assert_false(engine_container_target(&out, 41, ""));
}

static void the_signal_that_stops_it_is_read_in_each_spelling(void **state)
{
	static const struct {
		const char *text;
		int signal;
	} cases[] = {{"", 15}, {"SIGTERM", 15}, {"SIGQUIT", 3}, {"quit", 3}, {"9", 9},
		{"SIGUSR1", 10}, {"SIGWINCH", 28}, {"SIGRTMIN+3", 37}, {"RTMAX-2", 62}, {"65", 0},
		{"SIGNONE", 0}, {"SIGRTMIN+x", 0}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *body = lm_xasprintf(
			"{\"Config\":{\"StopSignal\":\"%s\"},\"State\":{}}", cases[i].text);
		struct engine_container_state s = {0};
		assert_int_equal(engine_parse_container_state(lm_str(body), &s, NULL), LM_OK);
		assert_int_equal(s.stop_signal, cases[i].signal);
	}
}

static void knows_how_long_a_container_may_take_to_stop(void **state)
{
	static const struct {
		const char *config;
		unsigned seconds;
	} cases[] = {{"", ENGINE_STOP_DEFAULT_S}, {"\"StopTimeout\":null", ENGINE_STOP_DEFAULT_S},
		{"\"StopTimeout\":0", 0}, {"\"StopTimeout\":90", 90},
		{"\"StopTimeout\":-1", ENGINE_STOP_UNLIMITED},
		{"\"StopTimeout\":99999999999", ENGINE_STOP_UNLIMITED}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *body =
			lm_xasprintf("{\"Config\":{%s},\"State\":{}}", cases[i].config);
		struct engine_container_state s = {0};
		assert_int_equal(engine_parse_container_state(lm_str(body), &s, NULL), LM_OK);
		assert_int_equal(s.stop_timeout_s, cases[i].seconds);
	}
}

/// As an engine 20.10 answers.
static const char CONTAINERS[] =
	"[{\"Id\":\"c1\",\"Names\":[\"/other/db\",\"/db\"],\"State\":\"running\",\"Labels\":{"
	"\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"db\","
	"\"com.docker.compose.oneoff\":\"False\"},\"Ports\":[{\"IP\":\"0.0.0.0\",\"PrivatePort\":"
	"80,\"PublicPort\":8080,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}],"
	"\"NetworkSettings\":{\"Networks\":{\"backnet\":{\"NetworkID\":\"n1\"},\"fresh\":{"
	"\"NetworkID\":\"\"}}}},"
	"{\"Id\":\"c2\",\"Names\":[\"/run\"],\"State\":\"exited\",\"Labels\":{"
	"\"com.docker.compose.project\":\"p\",\"com.docker.compose.oneoff\":\"True\"},"
	"\"Ports\":[],\"NetworkSettings\":{\"Networks\":{}}},"
	"{\"Id\":\"c3\"}]";
static const char NETWORKS[] =
	"[{\"Id\":\"n1\",\"Name\":\"backnet\",\"Labels\":{\"com.docker.compose.project\":\"p\","
	"\"com.docker.compose.network\":\"back\"},\"IPAM\":{\"Config\":[{\"Subnet\":"
	"\"172.28.0.0/16\"}]}},{\"Id\":\"n2\",\"Name\":\"host\",\"IPAM\":{\"Config\":null}}]";

static void reads_what_each_holds(void **state)
{
	(void)state;
	lm_auto(engine_inventory_finish) struct engine_inventory all = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(
		engine_parse_containers(lm_str(CONTAINERS), NULL, &all.containers, &err), LM_OK);
	assert_int_equal(engine_parse_networks(lm_str(NETWORKS), NULL, &all.networks, &err), LM_OK);
	assert_int_equal(all.containers.n, 3);
	const struct engine_container *c = &all.containers.items[0];
	assert_string_equal(c->name, "db");
	assert_string_equal(c->project, "p");
	assert_string_equal(c->service, "db");
	assert_int_equal(c->ports_n, 1);
	assert_string_equal(c->ports[0].ip, "0.0.0.0");
	assert_int_equal(c->ports[0].port, 8080);
	assert_string_equal(c->ports[0].protocol, "tcp");
	assert_int_equal(c->networks_n, 1);
	assert_string_equal(c->network_names[0], "backnet");
	assert_true(engine_container_is_attached(c, "n1"));
	assert_false(engine_container_is_attached(c, ""));
	assert_true(engine_container_is_active(c));
	assert_true(all.containers.items[1].oneoff);
	assert_false(engine_container_is_active(&all.containers.items[1]));
	assert_string_equal(all.containers.items[2].name, "");
	assert_string_equal(all.containers.items[2].project, "");
	assert_int_equal(all.networks.n, 2);
	assert_string_equal(all.networks.items[0].key, "back");
	assert_string_equal(all.networks.items[0].subnets[0], "172.28.0.0/16");
	assert_int_equal(all.networks.items[1].subnets_n, 0);
}

static void refuses_what_is_no_list_of_objects(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "{}", "[1]", "[{}"};
	struct engine_inventory all = {0};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(
			engine_parse_containers(lm_str(bad[i]), NULL, &all.containers, &err),
			LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "list of containers"));
		assert_int_equal(engine_parse_networks(lm_str(bad[i]), NULL, &all.networks, &err),
			LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "list of networks"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speaks_what_the_engine_offers_up_to_1_44),
		cmocka_unit_test(reads_the_platform_that_the_engine_runs),
		cmocka_unit_test(refuses_an_engine_below_1_9_1_by_name),
		cmocka_unit_test(refuses_what_is_no_version),
		cmocka_unit_test(lists_only_the_projects_containers),
		cmocka_unit_test(derives_the_state_where_an_old_engine_gives_none),
		cmocka_unit_test(takes_health_from_the_member_of_api_1_52),
		cmocka_unit_test(lists_only_the_projects_networks),
		cmocka_unit_test(refuses_lists_that_are_none),
		cmocka_unit_test(classes_follow_the_engines_message),
		cmocka_unit_test(finds_the_engines_message_in_any_body),
		cmocka_unit_test(asks_for_containers_by_label),
		cmocka_unit_test(the_signal_that_stops_it_is_read_in_each_spelling),
		cmocka_unit_test(knows_how_long_a_container_may_take_to_stop),
		cmocka_unit_test(reads_one_that_runs),
		cmocka_unit_test(reads_one_that_has_ended),
		cmocka_unit_test(reads_how_it_ended),
		cmocka_unit_test(reads_its_restart_policy),
		cmocka_unit_test(one_that_waits_for_its_restart_has_ended),
		cmocka_unit_test(the_state_of_an_old_engine_follows_from_its_flags),
		cmocka_unit_test(one_that_never_ran_has_neither_time_nor_code),
		cmocka_unit_test(refuses_what_is_no_container),
		cmocka_unit_test(an_age_is_the_least_that_the_status_can_mean),
		cmocka_unit_test(a_status_without_a_time_has_no_age),
		cmocka_unit_test(a_target_cannot_be_led_elsewhere),
		cmocka_unit_test(reads_what_each_holds),
		cmocka_unit_test(refuses_what_is_no_list_of_objects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
