// SPDX-License-Identifier: Apache-2.0
/// The clock is set back while containers run: what was noted before lies ahead.
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

static void crashes_after_the_clock_was_set_back_are_told(void **unused)
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
	assert_int_equal(scene_count(REPORT_DIED), 5);
	assert_int_equal(scene_count(REPORT_RESTARTED), 4);
	assert_int_equal(scene.monitor->known.items[0]->life, LIFE_EXITED);
	assert_int_equal(scene.reports[scene.n - 1].uptime_s, 3);
	assert_int_equal(scene.monitor->resume.since_ns, scene.now_ns + 9 * S);
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
	assert_int_equal(scene_count(REPORT_DIED), 3);
	assert_int_equal(scene.monitor->known.items[0]->life, LIFE_EXITED);
}

static void what_no_event_told_is_found_also_after_the_clock_was_set_back(void **unused)
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
	scene_assert(2, REPORT_DIED, 5);
	scene_settle();
	assert_int_equal(scene.n, 3);
	assert_true(scene.monitor->resume.since_ns <= monitor_now_ns());
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
	scene_assert(0, REPORT_DIED, 0);
	assert_int_equal(scene.reports[0].uptime_s, REPORT_UNKNOWN);
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
		struct known *k = scene.monitor->known.items[0];
		assert_int_not_equal(k->started_ms, 0);
		k->started_ms -= 20 * 1000; // it was so long ago
		scene_push(scene_die(-2 * HOUR + (double)i + set_s[i], 0));
		scene_wait(2 * i + 2);
		scene_assert(2 * i + 1, REPORT_DIED, 0);
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
	stream_break(scene.monitor->stream, &(struct lm_err){.rc = LM_E_NETWORK, .msg = "gone"});
	scene_settle();
	assert_int_equal(scene.monitor->known.n, 0);
}

static void a_job_that_began_before_it_stops_what_it_stops(void **unused)
{
	(void)unused;
	scene_start_running(0);
	monitor_set_busy(scene.monitor, true);
	scene.monitor->resume.busy_from_ns = scene.now_ns + HOUR * S;
	scene_push(scene_event(1, "kill"));
	scene_push(scene_die(2, 143));
	scene_push(scene_event(3, "start"));
	scene_wait(1);
	scene_assert(0, REPORT_RESTARTED, REPORT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(crashes_after_the_clock_was_set_back_are_told),
		MONITOR_TEST(a_clock_that_is_set_back_a_little_hides_no_crash),
		MONITOR_TEST(what_no_event_told_is_found_also_after_the_clock_was_set_back),
		MONITOR_TEST(a_start_before_the_clock_was_set_back_is_not_found_as_new),
		MONITOR_TEST(how_long_it_was_up_is_right_whatever_the_clock_did),
		MONITOR_TEST(one_that_was_removed_unseen_is_forgotten),
		MONITOR_TEST(a_job_that_began_before_it_stops_what_it_stops),
	};

	return cmocka_run_group_tests_name("monitor/clock", tests, NULL, NULL);
}
