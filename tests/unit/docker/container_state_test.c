// SPDX-License-Identifier: Apache-2.0
#include "docker/container_state.h"

#include "base/memory.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

static void the_state_of_an_old_engine_is_told_from_its_flags(void **unused)
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
		assert_non_null(strstr(err.msg, "the Docker daemon's word on a container "));
	}
}

static void an_age_is_the_least_that_the_words_can_mean(void **unused)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_signal_that_stops_it_is_read_in_each_spelling),
		cmocka_unit_test(reads_one_that_runs),
		cmocka_unit_test(reads_one_that_has_ended),
		cmocka_unit_test(reads_how_it_ended),
		cmocka_unit_test(reads_its_restart_policy),
		cmocka_unit_test(one_that_waits_for_its_restart_has_ended),
		cmocka_unit_test(the_state_of_an_old_engine_is_told_from_its_flags),
		cmocka_unit_test(one_that_never_ran_has_neither_time_nor_code),
		cmocka_unit_test(refuses_what_is_no_container),
		cmocka_unit_test(an_age_is_the_least_that_the_words_can_mean),
		cmocka_unit_test(a_status_without_a_time_has_no_age),
		cmocka_unit_test(a_target_cannot_be_led_elsewhere),
	};

	return cmocka_run_group_tests_name("docker/container_state", tests, NULL, NULL);
}
