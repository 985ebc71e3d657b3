// SPDX-License-Identifier: Apache-2.0
#include "events/container_event.h"

#include "base/cleanup.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int64_t TIME_NS = 1597153144909000001; // 2020-08-11T13:39:04.909Z

static struct container_event make(enum container_event_kind event)
{
	return container_event_make(
		event, TIME_NS, "4f2ac0ffee1d4f2ac0ffee1d", "web", "app_web_1", "web:1");
}

static struct container_event make_crash(void)
{
	struct container_event r = make(EVENT_DIED);

	r.exit_code = 137;
	r.oom_killed = 1;
	r.restart_count = 2;
	r.uptime_s = 12;
	r.crash = true;
	r.log = json_pack("[s, s]", "one", "two");
	return r;
}

static void assert_json(json_t *owned, const char *expected)
{
	lm_auto_json json_t *json = owned;
	lm_auto_free char *text = json_dumps(json, JSON_COMPACT);

	assert_string_equal(text, expected);
}

static void a_crash_has_every_key(void **unused)
{
	(void)unused;
	lm_auto(container_event_finish) struct container_event r = make_crash();

	assert_json(container_event_to_message(&r),
		"{\"id\":\"162a3a52be32ed414f2ac0ffee1d0000\",\"time\":\"2020-08-11T13:39:04."
		"909Z\","
		"\"event\":\"died\",\"service\":\"web\",\"container\":\"app_web_1\","
		"\"image\":\"web:1\",\"exit_code\":137,\"signal\":9,\"oom_killed\":true,"
		"\"restart_count\":2,\"uptime_seconds\":12,\"count\":1,\"log\":[\"one\",\"two\"],"
		"\"reason\":null}");
}

static void what_is_not_known_is_null(void **unused)
{
	(void)unused;
	lm_auto(container_event_finish) struct container_event r = make(EVENT_UNHEALTHY);

	assert_json(container_event_to_message(&r),
		"{\"id\":\"162a3a52be32ed414f2ac0ffee1d0002\",\"time\":\"2020-08-11T13:39:04."
		"909Z\","
		"\"event\":\"unhealthy\",\"service\":\"web\",\"container\":\"app_web_1\","
		"\"image\":\"web:1\",\"exit_code\":null,\"signal\":null,\"oom_killed\":null,"
		"\"restart_count\":null,\"uptime_seconds\":null,\"count\":1,\"log\":null,"
		"\"reason\":null}");
}

static void a_restart_of_an_unhealthy_container_has_its_reason(void **unused)
{
	(void)unused;
	lm_auto(container_event_finish) struct container_event r = make(EVENT_RESTARTED);

	r.unhealthy = true;
	lm_auto_json json_t *message = container_event_to_message(&r);
	lm_auto_free char *text = container_event_to_text(&r);
	assert_string_equal(json_get_text(message, "event"), "restarted");
	assert_string_equal(json_get_text(message, "reason"), "unhealthy");
	assert_string_equal(text, "container app_web_1 (service web) restarted by lightermand: it "
				  "was unhealthy");
	assert_false(container_event_is_problem(&r));
}

static void the_record_has_what_the_machine_had_left(void **unused)
{
	(void)unused;
	lm_auto(container_event_finish) struct container_event r = make_crash();

	r.memory_free = 1024;
	lm_auto_json json_t *record = container_event_to_crash(&r);
	assert_null(json_object_get(record, "event"));
	assert_null(json_object_get(record, "reason"));
	assert_int_equal(json_get_int(record, "memory_free_bytes", 0), 1024);
	assert_true(json_is_null(json_object_get(record, "disk_free_bytes")));
	assert_int_equal(json_array_size(json_object_get(record, "log")), 2);
}

static void a_record_that_is_too_large_loses_its_oldest_lines(void **unused)
{
	(void)unused;
	lm_auto(container_event_finish) struct container_event r = make_crash();
	char line[1000];

	memset(line, '"', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 15; i++)
		json_array_append_new(r.log, json_string(line));
	lm_auto_json json_t *record = container_event_to_crash(&r);
	assert_true(json_dumpb(record, NULL, 0, JSON_COMPACT) <= LIMIT_CRASH_FILE);
	const json_t *log = json_object_get(record, "log");
	assert_int_equal(json_array_size(log), 9);
	assert_string_equal(json_string_value(json_array_get(log, 0)), line);
	assert_int_equal(json_array_size(r.log), 17); // the message has them all
}

static void a_signal_follows_from_the_exit_code(void **unused)
{
	(void)unused;
	static const struct {
		int exit_code, signal;
	} cases[] = {{EVENT_UNKNOWN, 0}, {0, 0}, {3, 0}, {128, 0}, {129, 1}, {143, 15}, {192, 64},
		{193, 0}, {255, 0}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(container_event_finish) struct container_event r = make(EVENT_DIED);
		r.exit_code = cases[i].exit_code;
		lm_auto_json json_t *message = container_event_to_message(&r);
		assert_int_equal(json_get_int(message, "signal", 0), cases[i].signal);
	}
}

static void assert_text(struct container_event r, const char *expected, bool bad)
{
	lm_auto_free char *text = container_event_to_text(&r);

	assert_string_equal(text, expected);
	assert_int_equal(container_event_is_problem(&r), bad);
	container_event_finish(&r);
}

static void each_event_is_a_sentence(void **unused)
{
	(void)unused;
	struct container_event many = make_crash(), normal = make(EVENT_DIED),
			       lost = make(EVENT_DIED);

	many.count = 15;
	normal.exit_code = 0;
	normal.restart_count = 1;
	assert_text(many,
		"container app_web_1 (service web) died: exit code 137 (signal 9), "
		"out of memory, after 12 s, restarted 2 times so far; 15 times within a minute",
		true);
	assert_text(normal,
		"container app_web_1 (service web) died: exit code 0, restarted 1 time so far",
		false);
	assert_text(lost, "container app_web_1 (service web) died: unknown exit code", false);
	assert_text(make(EVENT_OOM), "container app_web_1 (service web) ran out of memory", true);
	assert_text(make(EVENT_UNHEALTHY), "container app_web_1 (service web) is unhealthy", true);
	assert_text(make(EVENT_HEALTHY), "container app_web_1 (service web) is healthy", false);
	assert_text(make(EVENT_STARTED), "container app_web_1 (service web) started", false);
	assert_text(make(EVENT_RESTARTED), "container app_web_1 (service web) restarted", false);
}

static void names_are_bounded_and_command_no_terminal(void **unused)
{
	(void)unused;
	char name[5000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	lm_auto(container_event_finish) struct container_event r =
		container_event_make(EVENT_STARTED, 1, "a1", "we\x1b[2Jb", name, "i\n");
	assert_string_equal(r.service, "we\\x1b[2Jb");
	assert_string_equal(r.image, "i\\x0a");
	assert_true(strlen(r.name) < 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_has_every_key),
		cmocka_unit_test(what_is_not_known_is_null),
		cmocka_unit_test(a_restart_of_an_unhealthy_container_has_its_reason),
		cmocka_unit_test(the_record_has_what_the_machine_had_left),
		cmocka_unit_test(a_record_that_is_too_large_loses_its_oldest_lines),
		cmocka_unit_test(a_signal_follows_from_the_exit_code),
		cmocka_unit_test(each_event_is_a_sentence),
		cmocka_unit_test(names_are_bounded_and_command_no_terminal),
	};

	return cmocka_run_group_tests_name("events/container_event", tests, NULL, NULL);
}
