// SPDX-License-Identifier: Apache-2.0
#include "worker/ship_logs.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NOON_MS = 1597147200000 }; // 2020-08-11T12:00:00Z

static void a_line_is_an_event_of_its_own_time(void **state)
{
	(void)state;
	lm_auto_free struct log_event *events = NULL;
	const char *text = "[2020-08-11T12:00:00Z][INFO]-a.c:1,hello\n"
			   "[2020-08-11T12:00:00.05Z][ERROR]-b.c:2,again\n";

	assert_int_equal(ship_logs_split(lm_str(text), 1, &events), 2);
	assert_int_equal(events[0].time_ms, NOON_MS);
	assert_true(
		lm_str_eq(events[0].message, LM_STR("[2020-08-11T12:00:00Z][INFO]-a.c:1,hello")));
	assert_int_equal(events[1].time_ms, NOON_MS + 50);
}

static void a_raw_line_has_the_time_of_the_one_before(void **state)
{
	(void)state;
	lm_auto_free struct log_event *events = NULL;
	const char *text = "raw\n[2020-08-11T12:00:00Z][INFO]-a.c:1,hello\n\n  more\nno end";

	assert_int_equal(ship_logs_split(lm_str(text), 7, &events), 5);
	assert_int_equal(events[0].time_ms, 7);
	assert_int_equal(events[2].time_ms, NOON_MS);
	assert_int_equal(events[2].message.n, 0);
	assert_int_equal(events[3].time_ms, NOON_MS);
	assert_true(lm_str_eq(events[4].message, LM_STR("no end")));
}

static void the_order_of_the_lines_lasts_unless_the_clock_was_set(void **state)
{
	(void)state;
	lm_auto_free struct log_event *events = NULL;
	const char *text = "[2020-08-11T12:00:00Z][INFO]-a.c:1,a\n"
			   "[2020-08-11T11:59:59.999Z][INFO]-b.c:1,b\n"
			   "[2020-08-11T11:00:00Z][INFO]-a.c:1,c\n";

	assert_int_equal(ship_logs_split(lm_str(text), INT64_MAX, &events), 3);
	assert_int_equal(events[0].time_ms, NOON_MS);
	assert_int_equal(events[1].time_ms, NOON_MS);
	assert_int_equal(events[2].time_ms, NOON_MS - 3600 * 1000);
}

static void nothing_makes_no_event(void **state)
{
	(void)state;
	lm_auto_free struct log_event *events = NULL;

	assert_int_equal(ship_logs_split(LM_STR(""), 7, &events), 0);
}

static void a_stream_ends_with_its_day(void **state)
{
	(void)state;
	const struct log_event events[] = {{.time_ms = NOON_MS}, {.time_ms = NOON_MS - 1000},
		{.time_ms = NOON_MS + 12 * 3600 * 1000 - 1},
		{.time_ms = NOON_MS + 12 * 3600 * 1000}, {.time_ms = NOON_MS}};

	assert_int_equal(ship_logs_one_day(events, 5), 3);
	assert_int_equal(ship_logs_one_day(events + 3, 2), 1);
	assert_int_equal(ship_logs_one_day(events + 4, 1), 1);
}

static void names_are_greengrasss(void **state)
{
	(void)state;
	lm_auto_free char *group = ship_logs_group_name("eu-west-1");
	lm_auto_free char *stream = ship_logs_stream_name(NOON_MS, "Gateway");
	lm_auto_free char *odd = ship_logs_stream_name(-5, "a:b*c\n\xff");

	assert_string_equal(
		group, "/aws/greengrass/Lambda/eu-west-1/aws/DockerApplicationDeployment");
	assert_string_equal(stream, "2020/08/11/aws/lighterman/Gateway");
	assert_string_equal(odd, "1970/01/01/aws/lighterman/a_b_c__");
}

static void assert_core(
	const char *thing_name, const char *arn, const char *machine, const char *expected)
{
	struct group_core core = {.thing_arn = (char *)arn};
	const struct group group = {.cores = &core, .cores_n = arn ? 1 : 0};
	const struct host_settings host = {.thing_name = (char *)thing_name};
	lm_auto_free char *name = ship_logs_core_name(&host, &group, machine);

	assert_string_equal(name, expected);
}

static void a_core_has_the_name_of_its_thing(void **state)
{
	(void)state;
	const char *arn = "arn:aws:iot:eu-west-1:123456789012:thing/Core";

	assert_core("Gateway", arn, "box", "Gateway");
	assert_core(NULL, arn, "box", "Core");
	assert_core(NULL, "arn:aws:iot:eu-west-1:123456789012:thing/", "box", "box");
	assert_core(NULL, NULL, "box", "box");
	assert_core(NULL, NULL, "", "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_an_event_of_its_own_time),
		cmocka_unit_test(a_raw_line_has_the_time_of_the_one_before),
		cmocka_unit_test(the_order_of_the_lines_lasts_unless_the_clock_was_set),
		cmocka_unit_test(nothing_makes_no_event),
		cmocka_unit_test(a_stream_ends_with_its_day),
		cmocka_unit_test(names_are_greengrasss),
		cmocka_unit_test(a_core_has_the_name_of_its_thing),
	};

	return cmocka_run_group_tests_name("worker/log_text", tests, NULL, NULL);
}
