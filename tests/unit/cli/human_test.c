// SPDX-License-Identifier: Apache-2.0
#include "cli/human.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static char text[HUMAN_SIZE];

static void durations_have_two_units_at_most(void **state)
{
	(void)state;
	assert_string_equal(human_duration(-5, text), "0.0 s");
	assert_string_equal(human_duration(4249, text), "4.2 s");
	assert_string_equal(human_duration(59999, text), "59.9 s");
	assert_string_equal(human_duration(192000, text), "3 min 12 s");
	assert_string_equal(human_duration(7500000, text), "2 h 5 min");
	assert_string_equal(human_duration(273600000, text), "3 d 4 h");
	assert_string_equal(human_duration(INT64_MAX, text), "106751991167 d 7 h");
}

static void ago_is_rounded_down(void **state)
{
	(void)state;
	assert_string_equal(human_ago(1000, 1000, text), "0 s ago");
	assert_string_equal(human_ago(0, 59999, text), "59 s ago");
	assert_string_equal(human_ago(0, 60000, text), "1 min ago");
	assert_string_equal(human_ago(0, 7199999, text), "1 h ago");
	assert_string_equal(human_ago(0, 86400000, text), "1 d ago");
}

static void a_clock_that_was_set_is_no_nonsense(void **state)
{
	(void)state;
	assert_string_equal(human_ago(60000, 0, text), "0 s ago");
	assert_string_equal(human_ago(60001, 0, text), "in the future");
	assert_string_equal(human_ago(INT64_MIN, INT64_MAX, text), "in the future");
}

static void time_is_local_and_says_so(void **state)
{
	(void)state;
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	assert_string_equal(human_time(1597153144909, text), "2020-08-11T13:39:04+00:00");
	(void)setenv("TZ", "XYZ3:30", 1); // POSIX counts westward
	tzset();
	assert_string_equal(human_time(1597153144909, text), "2020-08-11T10:09:04-03:30");
	(void)setenv("TZ", "UTC0", 1);
	tzset();
}

static void sizes_are_decimal(void **state)
{
	(void)state;
	assert_string_equal(human_bytes(0, text), "0 B");
	assert_string_equal(human_bytes(999, text), "999 B");
	assert_string_equal(human_bytes(1000, text), "1.0 kB");
	assert_string_equal(human_bytes(999949, text), "999.9 kB");
	assert_string_equal(human_bytes(999950, text), "1.0 MB");
	assert_string_equal(human_bytes(12100000, text), "12.1 MB");
	assert_string_equal(human_bytes(UINT64_MAX, text), "18446744.1 TB");
}

static void a_part_is_in_the_unit_of_the_whole(void **state)
{
	(void)state;
	assert_string_equal(human_bytes_of(3400000, 12100000, text), "3.4 of 12.1 MB");
	assert_string_equal(human_bytes_of(3400, 12100000, text), "0.0 of 12.1 MB");
	assert_string_equal(human_bytes_of(0, 500, text), "0.0 of 0.5 kB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_two_units_at_most),
		cmocka_unit_test(ago_is_rounded_down),
		cmocka_unit_test(a_clock_that_was_set_is_no_nonsense),
		cmocka_unit_test(time_is_local_and_says_so),
		cmocka_unit_test(sizes_are_decimal),
		cmocka_unit_test(a_part_is_in_the_unit_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
