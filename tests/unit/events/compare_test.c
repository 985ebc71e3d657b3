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
	assert_int_equal(scene.monitor->known.n, 2);
	assert_int_equal(known_find(&scene.monitor->known, "b2")->restart_count, 4);
	assert_int_equal(known_find(&scene.monitor->known, "a1")->life, LIFE_RUNNING);
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

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
	// As if it had been watched for long: the end is later than what is known.
	scene.monitor->resume.since_ns = scene.now_ns - 30 * (int64_t)1000000000;
	scene.monitor->resume.floor_ns = scene.monitor->resume.since_ns;
	scene.monitor->known.items[0]->floor_ns = scene.monitor->resume.since_ns;
	scene_push(NULL);
	scene_wait(1);
	scene_assert(0, REPORT_DIED, 0);
	scene_settle();
	scene_restart();
	scene_settle();
	assert_int_equal(scene.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MONITOR_TEST(a_damaged_container_does_not_hide_the_others),
		MONITOR_TEST(one_that_is_locked_for_ever_does_not_hide_them_either),
		MONITOR_TEST(what_was_found_is_not_found_again_by_the_next_start),
	};

	return cmocka_run_group_tests_name("monitor/compare", tests, NULL, NULL);
}
