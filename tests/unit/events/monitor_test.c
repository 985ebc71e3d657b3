// SPDX-License-Identifier: Apache-2.0
#include "events/monitor.h"

#include "base/file.h"
#include "base/limits.h"
#include "scene.h"
#include "sys/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

static json_t *record(size_t i)
{
	json_t *list = monitor_crashes_to_json(scene.monitor);
	json_t *found = json_incref(json_array_get(list, i));

	json_decref(list);
	assert_non_null(found);
	return found;
}

static void a_crash_is_reported_and_kept(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 1), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("restarting", 3, -60, 1, 2), FAKE_CLOSE, 0},
		{LOGS, "HTTP/1.0 200 OK\r\n\r\nfirst\nlast\n", FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	assert_int_equal(scene.n, 0);
	scene_push(scene_die(1, 3));
	scene_wait_kept(1);
	assert_int_equal(scene.n, 1);
	scene_assert(0, EVENT_DIED, 3);
	const struct container_event *r = &scene.reports[0];
	assert_true(r->crash);
	assert_int_equal(r->uptime_s, 61);
	assert_int_equal(r->oom_killed, 0);
	assert_int_equal(r->count, 1);
	assert_true(r->memory_free > 0 && r->disk_free > 0);
	assert_string_equal(r->image, "web:1");
	lm_auto_json json_t *kept = record(0);
	assert_int_equal(json_get_int(kept, "exit_code", -1), 3);
	assert_int_equal(json_get_int(kept, "restart_count", -1), 2);
	const json_t *log = json_object_get(kept, "log");
	assert_int_equal(json_array_size(log), 2);
	assert_string_equal(json_string_value(json_array_get(log, 1)), "last");
}

/// Of a1, in the engine's folder, which is that of the scene.
static void write_log(void)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/containers/a1", scene.folder);
	assert_int_equal(lm_dir_make(path, 0700, NULL), LM_OK);
	(void)snprintf(path, sizeof(path), "%s/containers/a1/a1-json.log", scene.folder);
	assert_int_equal(lm_file_replace(AT_FDCWD, path,
				 LM_STR("{\"log\":\"out of cargo\\n\",\"stream\":\"stderr\"}\n"),
				 0600, NULL),
		LM_OK);
}

static void the_log_is_read_from_the_file_of_the_default_driver(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 0},
		{INFO, scene_text(OK "{\"DockerRootDir\":\"%s\"}", scene.folder), FAKE_CLOSE, 0},
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, "", FAKE_HANG, 0}};

	write_log();
	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_die(1, 4));
	scene_wait(1); // although the engine does not answer
	assert_int_equal(json_array_size(scene.reports[0].log), 1);
	assert_string_equal(
		json_string_value(json_array_get(scene.reports[0].log, 0)), "out of cargo");
	assert_int_equal(scene.reports[0].restart_count, 0);
}

static void a_message_does_not_wait_for_an_engine_that_is_slow(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, "", FAKE_HANG, 0}, {LOGS, "", FAKE_HANG, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_die(1, 3));
	scene_wait(1);
	assert_null(scene.reports[0].log);
	assert_int_equal(scene.reports[0].exit_code, 3);
	// What is known is kept, also if lightermand ends first.
	scene_restart();
	scene_wait_kept(1);
	assert_int_equal(scene.n, 1);
}

static void what_the_engine_never_answers_is_kept_without(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, "", FAKE_HANG, 0}, {LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene.hurry_answer = true;
	scene_push(scene_die(1, 3));
	scene_wait_kept(1);
	lm_auto_json json_t *kept = record(0);
	assert_true(json_is_null(json_object_get(kept, "log")));
	assert_int_equal(json_get_int(kept, "uptime_seconds", -1), 61);
}

static void an_exit_with_code_0_is_reported_and_not_kept(void **unused)
{
	(void)unused;
	scene_start_running(0);
	scene_push(scene_die(1, 0));
	scene_wait(1);
	scene_assert(0, EVENT_DIED, 0);
	assert_false(scene.reports[0].crash);
	scene_settle();
	lm_auto_json json_t *list = monitor_crashes_to_json(scene.monitor);
	assert_int_equal(json_array_size(list), 0);
}

static void starts_restarts_and_health_are_reported(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {
		VERSION, {EVENTS, OK, FAKE_HANG, 0}, {LIST, OK "[]", FAKE_CLOSE, 0}, NO_INFO};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_event(1, "create"));
	scene_push(scene_event(2, "start"));
	scene_push(scene_event(3, "health_status: healthy"));
	scene_push(scene_event(4, "health_status: unhealthy"));
	scene_push(scene_die(5, 0));
	scene_push(scene_event(6, "start"));
	scene_wait(5);
	scene_assert(0, EVENT_STARTED, EVENT_UNKNOWN);
	scene_assert(1, EVENT_HEALTHY, EVENT_UNKNOWN);
	scene_assert(2, EVENT_UNHEALTHY, EVENT_UNKNOWN);
	scene_assert(3, EVENT_DIED, 0);
	scene_assert(4, EVENT_RESTARTED, EVENT_UNKNOWN);
	assert_int_equal(scene.reports[0].restart_count, 0);
	assert_int_equal(scene.reports[3].uptime_s, 3);
	assert_int_equal(scene.reports[4].restart_count, 1);
}

static void killed_for_memory_is_known_also_if_that_event_is_late(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, "", FAKE_HANG, 0}, {LOGS, "", FAKE_HANG, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_event(1, "oom"));
	scene_push(scene_die(1.1, 137));
	scene_wait(2);
	scene_assert(0, EVENT_OOM, EVENT_UNKNOWN);
	scene_assert(1, EVENT_DIED, 137);
	assert_int_equal(scene.reports[1].oom_killed, 1);
	scene_push(scene_event(2, "start"));
	scene_push(scene_text("%s%s", scene_die(3, 137), scene_event(3.1, "oom")));
	scene_wait(5);
	scene_assert(3, EVENT_OOM, EVENT_UNKNOWN);
	scene_assert(4, EVENT_DIED, 137);
	assert_int_equal(scene.reports[4].oom_killed, 1);
}

static void one_reported_early_is_kept_with_what_the_engine_answers_late(void **unused)
{
	(void)unused;
	const char *answer = scene_inspect("restarting", 137, -60, 1, 4);
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 0},
		{INFO, scene_text(OK "{\"DockerRootDir\":\"%s\"}", scene.folder), FAKE_CLOSE, 0},
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, OK, FAKE_HANG, 0},
		{"GET /v1.41/containers/b2/", NOT_FOUND, FAKE_CLOSE, 0}};

	write_log();
	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_text("%s%s", scene_die(1, 137), scene_event(1.1, "oom")));
	scene_wait(2);
	assert_int_equal(scene.reports[1].oom_killed, 1);
	// Another that dies later is kept, so that no time of the first can still run.
	scene_push(scene_text("{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"b2\","
			      "\"Attributes\":{\"exitCode\":\"1\"}},\"timeNano\":%lld}\n",
		(long long)event_cursor_now_ns()));
	scene_wait_kept(1);
	fake_engine_push(scene.engine, INSPECT, answer + strlen(OK));
	fake_engine_push(scene.engine, INSPECT, NULL);
	scene_wait_kept(2);
	lm_auto_json json_t *kept = record(0);
	assert_int_equal(json_get_int(kept, "exit_code", -1), 137);
	assert_int_equal(json_get_int(kept, "restart_count", -1), 4);
}

static void what_a_task_of_ours_stops_is_not_reported(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true);
	scene.now_ns = event_cursor_now_ns();
	scene_push(scene_event(0, "kill"));
	scene_push(scene_die(0.001, 137));
	scene_push(scene_event(0.002, "start"));
	scene_wait(1);
	scene_assert(0, EVENT_RESTARTED, EVENT_UNKNOWN);
	// A crash is one, whatever we do meanwhile: nobody stopped it.
	scene_push(scene_die(0.003, 1));
	scene_wait(2);
	scene_assert(1, EVENT_DIED, 1);
	monitor_set_busy(scene.monitor, false);
	scene_push(scene_event(60, "start"));
	scene_push(scene_event(61, "kill"));
	scene_push(scene_die(62, 143));
	scene_wait(4);
	scene_assert(3, EVENT_DIED, 143);
}

static void a_signal_in_a_task_of_ours_hides_no_later_crash(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true);
	scene_push(scene_event(1, "kill")); // HUP
	scene_push(scene_event(1.1, "health_status: healthy"));
	scene_wait(1);
	monitor_set_busy(scene.monitor, false);
	scene_push(scene_die(7200, 3));
	scene_wait_kept(1);
	assert_int_equal(scene.n, 2);
	scene_assert(1, EVENT_DIED, 3);
}

static void what_a_task_stops_may_exit_soon_after_it(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true);
	scene_push(scene_event(0.1, "kill"));
	scene_push(scene_event(0.2, "health_status: healthy"));
	scene_wait(1);
	monitor_set_busy(scene.monitor, false);
	monitor_set_busy(scene.monitor, true); // the next one follows at once
	monitor_set_busy(scene.monitor, false);
	scene_push(scene_die(10, 143));
	scene_push(scene_event(11, "start"));
	scene_wait(2);
	scene_assert(1, EVENT_RESTARTED, EVENT_UNKNOWN);
}

static void our_restart_of_an_unhealthy_container_is_reported_and_its_exit_is_not(void **unused)
{
	(void)unused;
	scene_start_running(2);
	monitor_begin_restart(scene.monitor, "a1", 70000);
	scene.now_ns = event_cursor_now_ns();
	scene_push(scene_kill(0.001, 15));
	scene_push(scene_die(0.002, 143));
	scene_push(scene_event(0.003, "start"));
	scene_wait(1);
	scene_assert(0, EVENT_RESTARTED, EVENT_UNKNOWN);
	assert_true(scene.reports[0].unhealthy);
	assert_int_equal(scene_look_up().restart_count, 0); // as the engine counts
	scene_push(scene_die(0.004, 1));                    // what it does then is its own
	scene_push(scene_event(0.005, "start"));
	scene_wait(3);
	assert_int_equal(scene_count(EVENT_DIED), 1);
	assert_int_equal(scene_count(EVENT_RESTARTED), 2);
	assert_false(scene.reports[2].unhealthy && scene.reports[1].unhealthy);
}

static void a_restart_that_did_not_come_hides_no_crash(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_begin_restart(scene.monitor, "a1", 70000);
	monitor_end_restart(scene.monitor, "a1");
	scene.now_ns = event_cursor_now_ns();
	scene_push(scene_die(0.1, 143));
	scene_push(scene_event(0.2, "start"));
	scene_wait(2);
	monitor_begin_restart(scene.monitor, "a1", 1000);
	scene_push(scene_die(30, 137)); // long after it was to be over
	scene_wait(3);
	assert_int_equal(scene_count(EVENT_DIED), 2);
	assert_false(scene.reports[0].unhealthy || scene.reports[1].unhealthy);
}

static void our_restart_is_known_after_a_kill_of_ours(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};
	lm_auto_buf struct lm_buf before = LM_BUF(LIMIT_EVENTS_FILE);
	char path[80];

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	(void)snprintf(path, sizeof(path), "%s/events.json", scene.folder);
	monitor_begin_restart(scene.monitor, "a1", 70000);
	assert_int_equal(lm_file_read(path, &before, NULL), LM_OK);
	monitor_destroy(lm_take(scene.monitor));
	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_buf_str(&before), 0600, NULL), LM_OK);
	scene.now_ns = event_cursor_now_ns();
	scene_restart();
	scene_settle();
	scene_push(scene_kill(0.001, 15));
	scene_push(scene_die(0.002, 137));
	scene_push(scene_event(0.003, "start"));
	scene_wait(1);
	scene_assert(0, EVENT_RESTARTED, EVENT_UNKNOWN);
	assert_true(scene.reports[0].unhealthy);
}

static void our_restart_that_no_event_shows_is_found_by_comparing(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("running", 0, 5, 4, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	monitor_begin_restart(scene.monitor, "a1", 70000);
	scene_break();
	scene_wait(1);
	scene_settle();
	assert_int_equal(scene.n, 1);
	scene_assert(0, EVENT_RESTARTED, EVENT_UNKNOWN);
	assert_true(scene.reports[0].unhealthy);
}

static void events_sent_again_after_a_break_are_reported_once(void **unused)
{
	(void)unused;
	const char *first = scene_event(2, "health_status: unhealthy");
	const char *second = scene_event(3, "health_status: healthy");
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 1},
		{EVENTS, scene_text(OK "%s%s", first, second), FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(first);
	scene_wait(1);
	scene_push(NULL);
	scene_wait(2);
	scene_settle();
	assert_int_equal(scene.n, 2);
	assert_int_equal(scene.lost, 1);
	assert_int_equal(scene.found, 1);
	assert_string_equal(scene.why, "the Docker daemon closed its event stream");
	scene_assert(1, EVENT_HEALTHY, EVENT_UNKNOWN);
	fake_engine_stop(scene.engine);
	char since[64];
	(void)snprintf(since, sizeof(since), EVENTS "since=%lld.%09lld&",
		(long long)(scene.now_ns / 1000000000 + 1), (long long)(scene.now_ns % 1000000000));
	bool asked = false; // from a second before the last one on
	for (size_t i = 0; i < scene.engine->requests_n; i++)
		asked |= strncmp(scene.engine->requests[i], since, strlen(since)) == 0;
	assert_true(asked);
}

static void an_exit_without_an_event_is_found(void **unused)
{
	(void)unused;
	const char *late = scene_die(2.001, 5);
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1},
		{LIST, scene_list("exited"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("exited", 5, -60, 2, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(NULL);
	scene_wait_kept(1);
	scene_assert(0, EVENT_DIED, 5);
	assert_int_equal(scene.reports[0].uptime_s, 62);
	assert_true(scene.reports[0].crash);
	// Its event comes after all, and then a true one.
	scene_push(late);
	scene_push(scene_event(3, "start"));
	scene_push(scene_die(4, 6));
	scene_wait(3);
	scene_assert(1, EVENT_RESTARTED, EVENT_UNKNOWN);
	scene_assert(2, EVENT_DIED, 6);
}

static void a_restart_without_an_event_is_found(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, -70, 1), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("running", 0, 3, 2, 4), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(NULL);
	scene_wait(2);
	size_t died = scene.reports[0].kind == EVENT_DIED ? 0 : 1;
	scene_assert(died, EVENT_DIED, EVENT_UNKNOWN);
	assert_int_equal(scene.reports[died].count, 3);
	assert_true(scene.reports[died].crash);
	scene_assert(1 - died, EVENT_RESTARTED, EVENT_UNKNOWN);
	// The events of it come after all.
	scene_push(scene_die(2.001, 5));
	scene_push(scene_event(3.001, "start"));
	scene_push(scene_event(4, "health_status: healthy"));
	scene_wait(3);
	scene_assert(2, EVENT_HEALTHY, EVENT_UNKNOWN);
}

static void one_that_was_removed_unseen_is_reported_as_died(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1}, {LIST, OK "[]", FAKE_CLOSE, 0},
		NO_INFO, {INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(NULL);
	scene_wait(1);
	scene_assert(0, EVENT_DIED, EVENT_UNKNOWN);
	assert_false(scene.reports[0].crash);
	scene_settle();
	assert_int_equal(scene_containers(), 0);
}

static void the_first_start_reports_nothing_of_what_was_before(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("exited"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("exited", 3, -60, -1, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	assert_int_equal(scene.n, 0);
	assert_int_equal(scene.lost + scene.found + scene.troubles, 0);
}

static void what_exited_while_lightermand_was_away_is_reported(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1},
		{LIST, scene_list("exited"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("exited", 5, -60, 2, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_restart();
	scene_wait_kept(1);
	scene_assert(0, EVENT_DIED, 5);
	scene_restart();
	scene_settle();
	assert_int_equal(scene.n, 1);
}

static void a_crash_in_the_log_is_not_reported_again(void **unused)
{
	(void)unused;
	const char *events = scene_text(OK "%s%s%s", scene_die(1, 3), scene_event(2, "start"),
		scene_event(3, "health_status: healthy"));
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 1},
		{EVENTS, events, FAKE_HANG, 0}, {LIST, scene_list("running"), FAKE_CLOSE, 0},
		NO_INFO, {INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};
	char path[80];

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	(void)snprintf(path, sizeof(path), "%s/events.json", scene.folder);
	lm_auto_buf struct lm_buf before = LM_BUF(LIMIT_EVENTS_FILE);
	monitor_set_busy(scene.monitor, true); // writes it
	monitor_set_busy(scene.monitor, false);
	assert_int_equal(lm_file_read(path, &before, NULL), LM_OK);
	scene.now_ns = event_cursor_now_ns();
	scene_push(scene_text("%s", events + strlen(OK)));
	scene_wait_kept(1);
	assert_int_equal(scene.n, 3);
	// As after a kill, before it was noted how far the events were read.
	monitor_destroy(lm_take(scene.monitor));
	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_buf_str(&before), 0600, NULL), LM_OK);
	scene_restart();
	scene_wait(5);
	scene_settle();
	assert_int_equal(scene.n, 5); // reported twice, but with the same id: only what is no crash
	char ids[2][CONTAINER_EVENT_ID_SIZE];
	size_t found = 0;
	for (size_t i = 0; i < scene.n; i++)
		if (scene.reports[i].kind == EVENT_HEALTHY && found < 2)
			(void)container_event_id(&scene.reports[i], ids[found++]);
	assert_int_equal(found, 2);
	assert_string_equal(ids[0], ids[1]);
}

/// How far the events were read, as the next start would know it.
static int64_t written_since(void)
{
	lm_auto_close int dir = open(scene.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_json json_t *j = NULL;

	assert_int_equal(record_json_read(dir, "events.json", LIMIT_EVENTS_FILE, &j, NULL), LM_OK);
	return json_get_int(j, "since", -1);
}

static void a_crash_that_is_not_reported_yet_is_not_saved_as_reported(void **unused)
{
	(void)unused;
	const int64_t five_s = 5 * (int64_t)1000000000;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, "", FAKE_HANG, 0}, {LOGS, "", FAKE_HANG, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_die(-5, 3)); // late: it waits for the answers
	scene_wait_changed(2);
	assert_int_equal(scene.n, 0);
	monitor_set_busy(scene.monitor, true); // writes the file
	assert_true(written_since() < scene.now_ns - five_s);
	assert_true(written_since() > scene.now_ns - 2 * five_s);
	monitor_destroy(lm_take(scene.monitor)); // reports it
	assert_int_equal(scene.n, 1);
	assert_true(written_since() >= scene.now_ns);
}

/// The end of a lightermand as if it was killed in a task: nobody noted that it finished.
static void set_busy_since(int64_t time_ns)
{
	lm_auto_close int dir = open(scene.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_json json_t *j = NULL;

	assert_int_equal(record_json_read(dir, "events.json", LIMIT_EVENTS_FILE, &j, NULL), LM_OK);
	json_object_set_new(j, "busy_from", json_integer(time_ns));
	json_object_set_new(j, "busy_to", json_integer(0));
	assert_int_equal(
		record_json_replace(dir, "events.json", LIMIT_EVENTS_FILE, j, NULL), LM_OK);
}

/// A lightermand is killed in a task that began a moment ago, and the next one gets these events.
static void kill_in_a_job(const char *events, unsigned expected)
{
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 1},
		{EVENTS, events, FAKE_HANG, 0}, {LIST, scene_list("running"), FAKE_CLOSE, 0},
		NO_INFO, {INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	monitor_set_busy(scene.monitor, true);
	(void)scene_stop();
	set_busy_since(scene.now_ns); // it began just before the end
	scene_restart();
	scene_wait(expected);
	scene_settle();
	assert_int_equal(scene.n, expected);
}

static void what_a_task_of_a_killed_lightermand_stopped_is_not_reported(void **unused)
{
	(void)unused;
	kill_in_a_job(scene_text(OK "%s%s%s", scene_kill(0.4, 15), scene_die(0.5, 137),
			      scene_event(200, "health_status: healthy")),
		1);
	scene_assert(0, EVENT_HEALTHY, EVENT_UNKNOWN);
}

static void a_crash_in_a_task_of_a_killed_lightermand_is_reported(void **unused)
{
	(void)unused;
	kill_in_a_job(scene_text(OK "%s", scene_die(0.5, 3)), 1);
	scene_assert(0, EVENT_DIED, 3);
}

static void a_notice_in_a_task_of_ours_excuses_no_crash(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true);
	scene.now_ns = event_cursor_now_ns();
	scene_push(scene_kill(0, 1)); // HUP; the engine stops it by TERM
	scene_push(scene_die(0.001, 129));
	scene_wait_kept(1);
	scene_assert(0, EVENT_DIED, 129);
}

/// It was started since the containers were compared: how it is stopped is not known until asked.
static void end_by_usr1(const char *stop_signal, size_t died)
{
	const char *state = scene_text(OK "{\"Id\":\"b2\",\"Config\":{\"StopSignal\":\"%s\"},"
					  "\"State\":{\"Status\":\"exited\",\"ExitCode\":138}}",
		stop_signal);
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0},
		{"GET /v1.41/containers/b2/json ", state, FAKE_CLOSE, 0},
		{"GET /v1.41/containers/b2/logs?", NOT_FOUND, FAKE_CLOSE, 0}};
	static const char *const events[] = {"start\"", "kill\"", "die\""};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	monitor_set_busy(scene.monitor, true);
	scene.now_ns = event_cursor_now_ns();
	for (size_t i = 0; i < LM_ARRAY_SIZE(events); i++)
		scene_push(scene_text(
			"{\"Type\":\"container\",\"Action\":\"%s,\"Actor\":{\"ID\":\"b2\","
			"\"Attributes\":{\"name\":\"app_web_1\",\"com.docker.compose.service\":"
			"\"web\",\"image\":\"web:1\",\"signal\":\"10\",\"exitCode\":\"138\"}},"
			"\"timeNano\":%"
			"lld}\n",
			events[i], (long long)scene.now_ns + (long long)i));
	scene_push(scene_event(1, "health_status: healthy"));
	scene_wait(2);
	scene_settle();
	assert_int_equal(scene_count(EVENT_DIED), died);
}

static void the_stop_signal_of_an_image_stops_it(void **unused)
{
	(void)unused;
	end_by_usr1("SIGUSR1", 0);
}

static void a_signal_that_is_not_the_images_own_excuses_no_crash(void **unused)
{
	(void)unused;
	end_by_usr1("", 1);
}

static void many_crashes_are_reported_as_a_number(void **unused)
{
	(void)unused;
	scene_start_running(0);
	for (int i = 0; i < 20; i++) {
		scene_push(scene_die(i + 0.1, 3));
		scene_push(scene_event(i + 0.2, "start"));
		scene_push(scene_event(i + 0.3, "health_status: healthy"));
		if (i < 5)
			scene_wait(3 * (size_t)(i + 1));
	}
	scene_push(scene_event(21, "health_status: unhealthy")); // is reported all the same
	scene_wait(16);
	size_t before = scene.n;
	assert_int_equal(before, 5 * 3 + 1);
	scene_end_minute(); // of the crashes
	scene_wait_kept(6);
	assert_int_equal(scene.n, before + 1);
	scene_assert(before, EVENT_DIED, 3);
	assert_int_equal(scene.reports[before].count, 15);
	lm_auto_json json_t *kept = record(0);
	assert_int_equal(json_get_int(kept, "count", 0), 15);
}

/// So many of an event within a second, then the end of the minute.
static void flood_with(const char *action, size_t n)
{
	for (size_t i = 0; i < n; i++)
		scene_push(scene_event(1 + 0.01 * (double)i, action));
	scene_push(scene_die(3, 0));
	scene_wait(6);
	assert_int_equal(scene.n, 6); // five of them, and the end
	scene_end_minute();
	scene_wait(7);
	assert_int_equal(scene.reports[6].count, n - 5);
	assert_int_equal(scene.reports[6].kind, scene.reports[0].kind);
}

static void a_server_at_the_limit_of_its_memory_is_reported_as_a_number(void **unused)
{
	(void)unused;
	scene_start_running(0);
	flood_with("oom", 35);
	scene_assert(6, EVENT_OOM, EVENT_UNKNOWN);
}

static void health_that_flaps_is_reported_as_a_number(void **unused)
{
	(void)unused;
	scene_start_running(0);
	for (int i = 0; i < 35; i++) {
		scene_push(scene_event(1 + 0.02 * i, "health_status: unhealthy"));
		scene_push(scene_event(1.01 + 0.02 * i, "health_status: healthy"));
	}
	scene_push(scene_die(3, 0));
	scene_wait(11);
	assert_int_equal(scene_count(EVENT_UNHEALTHY), 5);
	assert_int_equal(scene_count(EVENT_HEALTHY), 5);
	scene_end_minute();
	scene_wait(12);
	scene_assert(11, EVENT_UNHEALTHY, EVENT_UNKNOWN);
	assert_int_equal(scene.reports[11].count, 30);
}

/// Podman has an event for each check.
static void health_that_stays_as_it_is_is_reported_once(void **unused)
{
	(void)unused;
	scene_start_running(0);
	for (int i = 0; i < 4; i++)
		scene_push(scene_event(1 + i, "health_status: unhealthy"));
	scene_push(scene_event(5, "health_status: healthy"));
	scene_wait(2);
	scene_assert(0, EVENT_UNHEALTHY, EVENT_UNKNOWN);
	scene_assert(1, EVENT_HEALTHY, EVENT_UNKNOWN);
}

static void exits_without_a_crash_are_reported_as_a_number_and_starts_are_not(void **unused)
{
	(void)unused;
	scene_start_running(0);
	for (int i = 0; i < 20; i++) {
		scene_push(scene_die(i + 0.1, 0));
		scene_push(scene_event(i + 0.2, "start"));
	}
	scene_push(scene_event(21, "health_status: healthy"));
	scene_wait(11);
	assert_int_equal(scene_count(EVENT_DIED), 5);
	assert_int_equal(scene_count(EVENT_RESTARTED), 5);
	// Removed, what was held back is reported.
	scene_push(scene_event(22, "destroy"));
	scene_wait(12);
	scene_assert(11, EVENT_DIED, 0);
	assert_int_equal(scene.reports[11].count, 15);
}

static void an_engine_that_is_away_is_asked_again_with_growing_pauses(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {{"GET /version ", "", FAKE_CLOSE, 8}, VERSION,
		{EVENTS, OK, FAKE_HANG, 0}, {LIST, OK "[]", FAKE_CLOSE, 0}, NO_INFO};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	assert_int_equal(scene.lost, 1); // reported once
	assert_int_equal(scene.found, 1);
	uint64_t bound = 200;
	size_t pauses = 0;
	for (size_t i = 0; i < scene.delays_n; i++) {
		if (scene.delays[i] == SCENE_ANSWER_MS || scene.delays[i] > 9999)
			continue;
		if (pauses++ < 8)
			assert_true(scene.delays[i] <= bound);
		bound *= 2;
	}
	assert_true(pauses >= 8);
}

static void what_cannot_be_read_stops_nothing(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION,
		{EVENTS,
			scene_text(OK "{\"no\":\"event\"}\n{\"x\":\"\xff\"}\n%s",
				scene_event(1, "health_status: healthy")),
			FAKE_PIECES, 1},
		{EVENTS, OK, FAKE_HANG, 0}, {LIST, OK "rubbish", FAKE_CLOSE, 1},
		{LIST, scene_list("running"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, OK "[]", FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_wait(1);
	scene_settle();
	assert_int_equal(scene.n, 1);
	assert_int_equal(scene.lost, 1);
}

static void an_event_that_is_too_large_does_not_come_for_ever(void **unused)
{
	(void)unused;
	enum { MUCH = 300 << 10 };
	char *much = malloc(MUCH + 1);

	memset(much, 'x', MUCH);
	much[MUCH] = '\0';
	const struct fake_answer answers[] = {VERSION,
		{EVENTS, scene_text(OK "{\"a\":\"%s\"}", much), FAKE_CLOSE, 1},
		{EVENTS, OK, FAKE_HANG, 0}, {LIST, OK "[]", FAKE_CLOSE, 0}, NO_INFO};
	free(much);
	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	assert_int_equal(scene.lost, 1);
	assert_non_null(strstr(scene.why, "over 262144 bytes"));
}

static void count_container(void *ctx, const struct monitor_container *c)
{
	size_t *n = ctx;

	(*n)++;
	assert_string_equal(c->name, "app_web_1");
	assert_string_equal(c->service, "web");
	assert_string_equal(c->state, "paused");
	assert_int_equal(c->health, ENGINE_UNHEALTHY);
	assert_int_equal(c->restart_count, 7);
}

static void others_see_the_containers_as_they_are_known(void **unused)
{
	(void)unused;
	size_t n = 0;

	scene_start_running(7);
	scene_push(scene_event(1, "pause"));
	scene_push(scene_event(2, "health_status: unhealthy"));
	scene_wait(1);
	monitor_each(scene.monitor, count_container, &n);
	assert_int_equal(n, 1);
}

/// Crashes with exit code 3 and is started again, three times.
static void crash_three_times(void)
{
	for (int i = 0; i < 3; i++) {
		scene_push(scene_die(i + 0.1, 3));
		scene_push(scene_event(i + 0.2, "start"));
	}
	scene_wait(6);
}

static void three_crashes_soon_after_each_other_are_a_loop(void **unused)
{
	(void)unused;
	struct monitor_container ignored;

	scene_start_running(0);
	assert_false(scene_look_up().loops);
	assert_in_range(scene_look_up().uptime_s, 59, 120);
	assert_false(monitor_look_up(scene.monitor, "b2", &ignored));
	crash_three_times();
	assert_true(scene_look_up().loops);
	assert_true(scene_look_up().last_crashed);
	assert_int_equal(scene_look_up().last_exit_code, 3);
	assert_int_equal(
		scene_look_up().last_end_ms, (scene.now_ns + INT64_C(2100000000)) / 1000000);
	assert_in_range(scene_look_up().uptime_s, 0, 30);
	// It is known to the next lightermand, too.
	scene_wait_kept(3);
	scene_restart();
	assert_false(monitor_look_up(scene.monitor, "a1", &ignored));
	scene_settle();
	assert_true(scene_look_up().loops);
	assert_true(scene_look_up().last_crashed);
	assert_int_equal(scene_look_up().last_exit_code, EVENT_UNKNOWN);
}

static void one_that_exits_at_once_again_and_again_loops_too(void **unused)
{
	(void)unused;
	scene_start_running(0);
	// After a minute it was no short run.
	scene_push(scene_die(0, 0));
	scene_push(scene_event(0.1, "start"));
	for (int i = 1; i < 3; i++) {
		scene_push(scene_die(i, 0));
		scene_push(scene_event(i + 0.1, "start"));
	}
	scene_wait(6);
	assert_false(scene_look_up().loops);
	scene_push(scene_die(3, 0));
	scene_wait(7);
	assert_true(scene_look_up().loops);
	assert_false(scene_look_up().last_crashed);
	assert_int_equal(scene_look_up().last_exit_code, 0);
	assert_int_equal(scene_look_up().uptime_s, EVENT_UNKNOWN);
}

static void what_a_person_restarts_is_in_no_loop_and_counts_from_0(void **unused)
{
	(void)unused;
	scene_start_running(7);
	for (int i = 0; i < 4; i++) {
		scene_push(scene_kill(i + 0.1, 15));
		scene_push(scene_die(i + 0.2, 0));
		scene_push(scene_event(i + 0.3, "start"));
	}
	scene_wait(8);
	assert_false(scene_look_up().loops);
	assert_int_equal(scene_look_up().restart_count, 0);
}

static void each_event_is_another_revision_and_a_lost_engine_is_none(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {
		RUNNING, {INSPECT, scene_inspect("running", 0, -60, 0, 7), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	assert_int_equal(monitor_revision(scene.monitor), 0);
	scene_settle();
	uint64_t quiet = monitor_revision(scene.monitor);
	assert_int_not_equal(quiet, 0);
	scene_push(scene_event(1, "pause")); // is not reported
	scene_push(scene_event(2, "health_status: unhealthy"));
	scene_wait(1);
	uint64_t changed = monitor_revision(scene.monitor);
	assert_int_not_equal(changed, quiet);
	scene_break();
	assert_int_equal(monitor_revision(scene.monitor), 0);
	scene_settle();
	assert_int_not_equal(monitor_revision(scene.monitor), 0);
	assert_int_not_equal(monitor_revision(scene.monitor), changed);
}

static void changes_that_are_not_reported_are_notified(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, 7), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("restarting", 3, -60, 3, 8), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	assert_int_equal(scene.changes, 1); // compared
	const char *pause = scene_event(1, "pause");
	scene_push(pause);
	scene_wait_changed(2);
	scene_push(pause); // sent again it changes nothing
	scene_push(scene_event(2, "unpause"));
	scene_wait_changed(3);
	assert_int_equal(scene.n, 0);
	uint64_t quiet = monitor_revision(scene.monitor);
	scene_push(scene_die(3, 3));
	scene_wait_changed(5); // and what the engine answers about it
	assert_int_equal(scene_look_up().restart_count, 8);
	assert_string_equal(scene_look_up().state, "restarting");
	assert_true(monitor_revision(scene.monitor) >= quiet + 2);
	scene_push(scene_event(4, "destroy"));
	scene_wait_changed(6);
	assert_int_equal(scene_containers(), 0);
}

static void nothing_wakes_it_while_nothing_happens(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true); // what is to be written is written
	assert_true(scene_is_idle());
}

static void a_state_directory_that_cannot_be_used_is_an_error(void **unused)
{
	(void)unused;
	const struct monitor_settings settings = {.engine_socket = "/nonexistent",
		.project = "app",
		.state_directory = "/dev/null",
		.damage = &scene.damage};
	const struct monitor_callbacks callbacks = {0};
	struct lm_err err = {LM_OK};

	assert_int_not_equal(
		monitor_create(scene.loop, &settings, &callbacks, &scene.monitor, &err), LM_OK);
	assert_non_null(strstr(err.msg, "open the crash log: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(a_crash_is_reported_and_kept),
		MONITOR_TEST(the_log_is_read_from_the_file_of_the_default_driver),
		MONITOR_TEST(a_message_does_not_wait_for_an_engine_that_is_slow),
		MONITOR_TEST(what_the_engine_never_answers_is_kept_without),
		MONITOR_TEST(an_exit_with_code_0_is_reported_and_not_kept),
		MONITOR_TEST(starts_restarts_and_health_are_reported),
		MONITOR_TEST(killed_for_memory_is_known_also_if_that_event_is_late),
		MONITOR_TEST(one_reported_early_is_kept_with_what_the_engine_answers_late),
		MONITOR_TEST(what_a_task_of_ours_stops_is_not_reported),
		MONITOR_TEST(a_signal_in_a_task_of_ours_hides_no_later_crash),
		MONITOR_TEST(what_a_task_stops_may_exit_soon_after_it),
		MONITOR_TEST(our_restart_of_an_unhealthy_container_is_reported_and_its_exit_is_not),
		MONITOR_TEST(a_restart_that_did_not_come_hides_no_crash),
		MONITOR_TEST(our_restart_is_known_after_a_kill_of_ours),
		MONITOR_TEST(our_restart_that_no_event_shows_is_found_by_comparing),
		MONITOR_TEST(events_sent_again_after_a_break_are_reported_once),
		MONITOR_TEST(an_exit_without_an_event_is_found),
		MONITOR_TEST(a_restart_without_an_event_is_found),
		MONITOR_TEST(one_that_was_removed_unseen_is_reported_as_died),
		MONITOR_TEST(the_first_start_reports_nothing_of_what_was_before),
		MONITOR_TEST(what_exited_while_lightermand_was_away_is_reported),
		MONITOR_TEST(a_crash_in_the_log_is_not_reported_again),
		MONITOR_TEST(a_crash_that_is_not_reported_yet_is_not_saved_as_reported),
		MONITOR_TEST(what_a_task_of_a_killed_lightermand_stopped_is_not_reported),
		MONITOR_TEST(a_crash_in_a_task_of_a_killed_lightermand_is_reported),
		MONITOR_TEST(a_notice_in_a_task_of_ours_excuses_no_crash),
		MONITOR_TEST(the_stop_signal_of_an_image_stops_it),
		MONITOR_TEST(a_signal_that_is_not_the_images_own_excuses_no_crash),
		MONITOR_TEST(many_crashes_are_reported_as_a_number),
		MONITOR_TEST(a_server_at_the_limit_of_its_memory_is_reported_as_a_number),
		MONITOR_TEST(health_that_flaps_is_reported_as_a_number),
		MONITOR_TEST(health_that_stays_as_it_is_is_reported_once),
		MONITOR_TEST(exits_without_a_crash_are_reported_as_a_number_and_starts_are_not),
		MONITOR_TEST(an_engine_that_is_away_is_asked_again_with_growing_pauses),
		MONITOR_TEST(what_cannot_be_read_stops_nothing),
		MONITOR_TEST(an_event_that_is_too_large_does_not_come_for_ever),
		MONITOR_TEST(others_see_the_containers_as_they_are_known),
		MONITOR_TEST(three_crashes_soon_after_each_other_are_a_loop),
		MONITOR_TEST(one_that_exits_at_once_again_and_again_loops_too),
		MONITOR_TEST(what_a_person_restarts_is_in_no_loop_and_counts_from_0),
		MONITOR_TEST(each_event_is_another_revision_and_a_lost_engine_is_none),
		MONITOR_TEST(changes_that_are_not_reported_are_notified),
		MONITOR_TEST(nothing_wakes_it_while_nothing_happens),
		MONITOR_TEST(a_state_directory_that_cannot_be_used_is_an_error),
	};

	return cmocka_run_group_tests_name("events/monitor", tests, NULL, NULL);
}
