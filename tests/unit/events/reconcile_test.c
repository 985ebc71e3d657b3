// SPDX-License-Identifier: Apache-2.0
#include "events/monitor.h"

#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { HOUR = 3600 };

static const int64_t S = 1000000000;

#define INSPECT_B2 "GET /v1.41/containers/b2/json "
#define DAMAGED                                                                                    \
	"HTTP/1.0 500 Internal Server Error\r\nContent-Type: application/json\r\n\r\n"             \
	"{\"message\":\"RWLayer of container a1 is unexpectedly nil\"}"

/// a1 and b2.
static const char *list_of_two(void)
{
	return scene_text(
		OK "[{\"Id\":\"a1\",\"Names\":[\"/app_web_1\"],\"State\":\"running\",\"Labels\":"
		   "{\"com.docker.compose.project\":\"app\"}},{\"Id\":\"b2\",\"Names\":"
		   "[\"/app_db_1\"],\"State\":\"running\",\"Labels\":"
		   "{\"com.docker.compose.project\":\"app\"}}]");
}

static void assert_others_are_seen(void)
{
	scene_settle();
	assert_int_equal(scene.lost, 0);
	assert_int_equal(scene.n, 0);
	struct monitor_container b2;

	assert_int_equal(scene_containers(), 2);
	assert_true(monitor_look_up(scene.monitor, "b2", &b2));
	assert_int_equal(b2.restart_count, 4);
	assert_string_equal(scene_look_up().state, "running");
	assert_int_equal(monitor_sight(scene.monitor), MONITOR_SEES);
}

static void a_damaged_container_does_not_hide_the_others(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, list_of_two(), FAKE_CLOSE, 0}, NO_INFO, {INSPECT, DAMAGED, FAKE_CLOSE, 0},
		{INSPECT_B2, scene_inspect("running", 0, -60, 0, 4), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	assert_others_are_seen();
}

static void one_that_is_locked_for_ever_does_not_hide_them_either(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, list_of_two(), FAKE_CLOSE, 0}, NO_INFO, {INSPECT, "", FAKE_HANG, 0},
		{INSPECT_B2, scene_inspect("running", 0, -60, 0, 4), FAKE_CLOSE, 0}};

	scene.hurry_answer_at = 5; // behind version, events, list and folders
	scene_start(answers, LM_ARRAY_SIZE(answers));
	assert_others_are_seen();
}

static void what_was_found_is_not_found_again_by_the_next_start(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1},
		{LIST, scene_list("exited"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("exited", 0, -60, -5, 0), FAKE_CLOSE, 0}};

	// As if it had been watched for long: the end is later than what is known.
	const struct event_cursor before = {
		.since_ns = scene.now_ns - 30 * S, .floor_ns = scene.now_ns - 30 * S};
	char boot[EVENT_CURSOR_BOOT_SIZE];
	assert_int_equal(event_cursor_save(scene.folder, event_cursor_boot_id(boot), &before,
				 before.since_ns, NULL),
		LM_OK);
	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(NULL);
	scene_wait(1);
	scene_assert(0, EVENT_DIED, 0);
	scene_settle();
	scene_restart();
	scene_settle();
	assert_int_equal(scene.n, 1);
}

// The clock is set back while containers run: what was noted before lies ahead.

static void crashes_after_the_clock_was_set_back_are_reported(void **unused)
{
	(void)unused;
	scene_start_running(0);
	scene_push(scene_die(HOUR, 3));
	scene_push(scene_event(HOUR + 1, "start"));
	scene_wait(2);
	for (int at = 1; at <= 5; at += 2) {
		scene_push(scene_die(at, 3));
		scene_push(scene_event(at + 1, "start"));
	}
	scene_push(scene_die(9, 3));
	scene_wait(9);
	assert_int_equal(scene_count(EVENT_DIED), 5);
	assert_int_equal(scene_count(EVENT_RESTARTED), 4);
	assert_string_equal(scene_look_up().state, "exited");
	assert_int_equal(scene.reports[scene.n - 1].uptime_s, 3);
	assert_int_equal(scene_stop(), scene.now_ns + 9 * S);
}

static void a_clock_that_is_set_back_a_little_hides_no_crash(void **unused)
{
	(void)unused;
	scene_start_running(0);
	scene_push(scene_die(4, 3));
	scene_push(scene_event(5, "start"));
	scene_push(scene_die(1, 3));
	scene_push(scene_event(2, "start"));
	scene_push(scene_die(3, 3));
	scene_wait(5);
	assert_int_equal(scene_count(EVENT_DIED), 3);
	assert_string_equal(scene_look_up().state, "exited");
}

static void an_exit_without_an_event_is_found_also_after_the_clock_was_set_back(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1},
		{LIST, scene_list("exited"), FAKE_CLOSE, 0}, NO_INFO,
		{INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 1},
		{INSPECT, scene_inspect("exited", 5, HOUR + 1, 5, 0), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_die(HOUR, 0));
	scene_push(scene_event(HOUR + 1, "start"));
	scene_wait(2);
	scene_push(NULL);
	scene_wait(3);
	scene_assert(2, EVENT_DIED, 5);
	scene_settle();
	assert_int_equal(scene.n, 3);
	assert_true(scene_stop() <= event_cursor_now_ns());
}

static void a_start_before_the_clock_was_set_back_is_not_found_as_new(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {
		RUNNING, {INSPECT, scene_inspect("running", 0, HOUR, HOUR - 9, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_restart();
	scene_settle();
	assert_int_equal(scene.n, 0);
	scene_push(scene_die(1, 0));
	scene_wait(1);
	scene_assert(0, EVENT_DIED, 0);
	assert_int_equal(scene.reports[0].uptime_s, EVENT_UNKNOWN);
}

static void how_long_it_was_up_is_right_whatever_the_clock_did(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {
		RUNNING, {INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0}};
	static const int set_s[] = {HOUR, -HOUR};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	for (size_t i = 0; i < LM_ARRAY_SIZE(set_s); i++) {
		scene_push(scene_event(-2 * HOUR + (double)i, "start"));
		scene_wait(2 * i + 1);
		scene.later_s += 20;
		scene_push(scene_die(-2 * HOUR + (double)i + set_s[i], 0));
		scene_wait(2 * i + 2);
		scene_assert(2 * i + 1, EVENT_DIED, 0);
		assert_in_range(scene.reports[2 * i + 1].uptime_s, 20, 40);
	}
}

static void one_that_was_removed_unseen_is_forgotten(void **unused)
{
	(void)unused;
	const struct fake_answer answers[] = {VERSION, {EVENTS, OK, FAKE_HANG, 0},
		{LIST, scene_list("running"), FAKE_CLOSE, 1}, {LIST, OK "[]", FAKE_CLOSE, 0},
		NO_INFO, {INSPECT, scene_inspect("running", 0, -60, 0, 0), FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	scene_push(scene_die(HOUR, 0));
	scene_wait(1);
	scene_break();
	scene_settle();
	assert_int_equal(scene_containers(), 0);
}

static void a_task_that_began_before_the_clock_was_set_back_stops_what_it_stops(void **unused)
{
	(void)unused;
	scene_start_running(0);
	scene.set_s = HOUR;
	monitor_set_busy(scene.monitor, true);
	scene.set_s = 0;
	scene_push(scene_event(1, "kill"));
	scene_push(scene_die(2, 143));
	scene_push(scene_event(3, "start"));
	scene_wait(1);
	scene_assert(0, EVENT_RESTARTED, EVENT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(a_damaged_container_does_not_hide_the_others),
		MONITOR_TEST(one_that_is_locked_for_ever_does_not_hide_them_either),
		MONITOR_TEST(what_was_found_is_not_found_again_by_the_next_start),
		MONITOR_TEST(crashes_after_the_clock_was_set_back_are_reported),
		MONITOR_TEST(a_clock_that_is_set_back_a_little_hides_no_crash),
		MONITOR_TEST(an_exit_without_an_event_is_found_also_after_the_clock_was_set_back),
		MONITOR_TEST(a_start_before_the_clock_was_set_back_is_not_found_as_new),
		MONITOR_TEST(how_long_it_was_up_is_right_whatever_the_clock_did),
		MONITOR_TEST(one_that_was_removed_unseen_is_forgotten),
		MONITOR_TEST(a_task_that_began_before_the_clock_was_set_back_stops_what_it_stops),
	};

	return cmocka_run_group_tests_name("events/reconcile", tests, NULL, NULL);
}
