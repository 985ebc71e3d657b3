// SPDX-License-Identifier: Apache-2.0
#include "events/event_stream.h"

#include "base/cleanup.h"
#include "base/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "4f2ac0ffee1d4f2ac0ffee1d4f2ac0ffee1d4f2ac0ffee1d4f2ac0ffee1d4f2a"

static struct engine_event parse(const char *text, json_t **ret_json)
{
	struct engine_event e = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_event_parse(lm_str(text), ret_json, &e, &err), LM_OK);
	return e;
}

static void reads_events_of_engines_up_to_api_1_51(void **unused)
{
	(void)unused;
	lm_auto_json json_t *json = NULL;
	struct engine_event e = parse(
		"{\"status\":\"die\",\"id\":\"" ID "\",\"from\":\"harbour/web:1\","
		"\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"" ID
		"\",\"Attributes\":{\"com.docker.compose.service\":\"web\",\"exitCode\":\"137\","
		"\"image\":\"harbour/web:1\",\"name\":\"app_web_1\"}},\"scope\":\"local\","
		"\"time\":1597153144,\"timeNano\":1597153144909000001}",
		&json);

	assert_int_equal(e.action, ENGINE_EVENT_DIE);
	assert_int_equal(e.time_ns, 1597153144909000001);
	assert_string_equal(e.id, ID);
	assert_string_equal(e.name, "app_web_1");
	assert_string_equal(e.service, "web");
	assert_string_equal(e.image, "harbour/web:1");
	assert_int_equal(e.exit_code, 137);
}

static void reads_events_of_engines_from_api_1_52_on(void **unused)
{
	(void)unused;
	lm_auto_json json_t *json = NULL;
	struct engine_event e =
		parse("{\"Type\":\"container\",\"Action\":\"health_status: unhealthy\","
		      "\"Actor\":{\"ID\":\"" ID
		      "\",\"Attributes\":{\"name\":\"app-web-1\"}},\"scope\":\"local\","
		      "\"timeNano\":7}",
			&json);

	assert_int_equal(e.action, ENGINE_EVENT_HEALTH);
	assert_int_equal(e.health, ENGINE_UNHEALTHY);
	assert_string_equal(e.name, "app-web-1");
	assert_string_equal(e.service, "");
	assert_int_equal(e.exit_code, -1);
}

static void reads_events_of_engines_before_api_1_22(void **unused)
{
	(void)unused;
	lm_auto_json json_t *json = NULL;
	struct engine_event e =
		parse("{\"status\":\"start\",\"id\":\"" ID "\",\"from\":\"busybox:1\","
		      "\"time\":1597153144}",
			&json);

	assert_int_equal(e.action, ENGINE_EVENT_START);
	assert_int_equal(e.time_ns, 1597153144000000000);
	assert_string_equal(e.image, "busybox:1");
}

static void reads_the_health_in_events_of_podman(void **unused)
{
	(void)unused;
	lm_auto_json json_t *json = NULL;
	struct engine_event e =
		parse("{\"status\":\"health_status\",\"id\":\"" ID "\",\"Type\":\"container\","
		      "\"Action\":\"health_status\",\"Actor\":{\"ID\":\"" ID
		      "\",\"Attributes\":{\"containerExitCode\":\"0\",\"name\":\"app_web_1\"}},"
		      "\"time\":1796060665,\"timeNano\":1796060665082817393,"
		      "\"HealthStatus\":\"unhealthy\"}",
			&json);

	assert_int_equal(e.action, ENGINE_EVENT_HEALTH);
	assert_int_equal(e.health, ENGINE_UNHEALTHY);
}

static void knows_each_action(void **unused)
{
	(void)unused;
	static const struct {
		const char *word;
		enum engine_event_action action;
		enum engine_health health;
	} cases[] = {
		{"create", ENGINE_EVENT_CREATE, ENGINE_HEALTH_NONE},
		{"start", ENGINE_EVENT_START, ENGINE_HEALTH_NONE},
		{"oom", ENGINE_EVENT_OOM, ENGINE_HEALTH_NONE},
		{"kill", ENGINE_EVENT_KILL, ENGINE_HEALTH_NONE},
		{"pause", ENGINE_EVENT_PAUSE, ENGINE_HEALTH_NONE},
		{"unpause", ENGINE_EVENT_UNPAUSE, ENGINE_HEALTH_NONE},
		{"rename", ENGINE_EVENT_RENAME, ENGINE_HEALTH_NONE},
		{"destroy", ENGINE_EVENT_DESTROY, ENGINE_HEALTH_NONE},
		{"health_status: healthy", ENGINE_EVENT_HEALTH, ENGINE_HEALTHY},
		{"health_status: starting", ENGINE_EVENT_HEALTH, ENGINE_HEALTH_STARTING},
		{"exec_start: /bin/sh", ENGINE_EVENT_OTHER, ENGINE_HEALTH_NONE},
		{"died", ENGINE_EVENT_DIE, ENGINE_HEALTH_NONE},
		{"remove", ENGINE_EVENT_DESTROY, ENGINE_HEALTH_NONE},
		{"health_status", ENGINE_EVENT_OTHER, ENGINE_HEALTH_NONE},
		{"exec_died", ENGINE_EVENT_OTHER, ENGINE_HEALTH_NONE},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_json json_t *json = NULL;
		char text[512];

		(void)snprintf(text, sizeof(text),
			"{\"Action\":\"%s\",\"Actor\":{\"ID\":\"a1\"},\"timeNano\":1}",
			cases[i].word);
		struct engine_event e = parse(text, &json);
		assert_int_equal(e.action, cases[i].action);
		assert_int_equal(e.health, cases[i].health);
	}
}

static void an_event_of_a_network_is_none_of_ours(void **unused)
{
	(void)unused;
	lm_auto_json json_t *json = NULL;

	assert_int_equal(parse("{\"Type\":\"network\",\"Action\":\"create\",\"Actor\":{\"ID\":"
			       "\"a1\"},\"timeNano\":1}",
				 &json)
				 .action,
		ENGINE_EVENT_OTHER);
}

static void the_key_differs_for_different_events(void **unused)
{
	(void)unused;
	static const char *const texts[] = {
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a1\"},\"timeNano\":1}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a1\"},\"timeNano\":2}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a2\"},\"timeNano\":1}",
		"{\"Action\":\"oom\",\"Actor\":{\"ID\":\"a1\"},\"timeNano\":1}",
	};
	uint64_t keys[LM_ARRAY_SIZE(texts)];

	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		lm_auto_json json_t *json = NULL, *again = NULL;

		keys[i] = parse(texts[i], &json).key;
		assert_true(keys[i] == parse(texts[i], &again).key);
		for (size_t j = 0; j < i; j++)
			assert_true(keys[i] != keys[j]);
	}
}

static void refuses_what_is_no_event(void **unused)
{
	(void)unused;
	static const char *const texts[] = {"", "[]", "{}", "{\"message\":\"no\"}",
		"{\"Action\":\"die\",\"timeNano\":1}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a1\"}}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a1\"},\"timeNano\":-1}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"a/../b\"},\"timeNano\":1}",
		"{\"Action\":\"die\",\"Actor\":{\"ID\":\"" ID "0\"},\"timeNano\":1}"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		struct engine_event e;
		json_t *json = NULL;
		struct lm_err err = {LM_OK};

		assert_int_equal(
			engine_event_parse(lm_str(texts[i]), &json, &e, &err), LM_E_PROTOCOL);
		assert_null(json);
	}
}

static void asks_for_the_events_of_the_project_since_a_nanosecond(void **unused)
{
	(void)unused;
	lm_auto_buf struct lm_buf target = LM_BUF(4096), plain = LM_BUF(4096);

	assert_true(engine_event_target(&target, 44, "app", 1597153144000000042));
	assert_true(lm_percent_decode(&plain, lm_buf_str(&target)));
	assert_string_equal(lm_buf_cstr(&plain),
		"/v1.44/events?since=1597153144.000000042&filters={\"type\":[\"container\"],"
		"\"label\":[\"com.docker.compose.project=app\"],\"event\":[\"health_status\","
		"\"create\",\"start\",\"die\",\"oom\",\"kill\",\"pause\",\"unpause\",\"rename\","
		"\"destroy\",\"died\",\"remove\"]}");
}

static void an_engine_that_knows_no_types_is_not_asked_for_one(void **unused)
{
	(void)unused;
	lm_auto_buf struct lm_buf target = LM_BUF(4096), tight = LM_BUF(100);

	assert_true(engine_event_target(&target, 21, "app", -5));
	assert_null(strstr(lm_buf_cstr(&target), "type"));
	assert_non_null(strstr(lm_buf_cstr(&target), "/v1.21/events?since=0.000000000&"));
	assert_false(engine_event_target(&tight, 44, "app", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_events_of_engines_up_to_api_1_51),
		cmocka_unit_test(reads_events_of_engines_from_api_1_52_on),
		cmocka_unit_test(reads_events_of_engines_before_api_1_22),
		cmocka_unit_test(reads_the_health_in_events_of_podman),
		cmocka_unit_test(knows_each_action),
		cmocka_unit_test(an_event_of_a_network_is_none_of_ours),
		cmocka_unit_test(the_key_differs_for_different_events),
		cmocka_unit_test(refuses_what_is_no_event),
		cmocka_unit_test(asks_for_the_events_of_the_project_since_a_nanosecond),
		cmocka_unit_test(an_engine_that_knows_no_types_is_not_asked_for_one),
	};

	return cmocka_run_group_tests_name("events/event_stream", tests, NULL, NULL);
}
