// SPDX-License-Identifier: Apache-2.0
#include "events/flood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void five_crashes_within_a_minute_are_told_one_by_one(void **unused)
{
	(void)unused;
	struct flood f = {0};

	for (int64_t ms = 1000; ms <= 5000; ms += 1000)
		assert_int_equal(flood_add(&f, ms), FLOOD_TELL);
}

static void the_sixth_within_a_minute_begins_a_minute_that_is_told_as_a_number(void **unused)
{
	(void)unused;
	struct flood f = {0};
	bool on = false;

	for (int64_t ms = 0; ms < 5; ms++)
		assert_int_equal(flood_add(&f, ms), FLOOD_TELL);
	assert_int_equal(flood_add(&f, 59999), FLOOD_BEGIN);
	for (int i = 0; i < 19; i++)
		assert_int_equal(flood_add(&f, 60000 + i), FLOOD_HOLD);
	assert_int_equal(flood_end_minute(&f, &on), 20);
	assert_true(on);
}

static void a_sixth_after_a_minute_is_told_by_itself(void **unused)
{
	(void)unused;
	struct flood f = {0};

	for (int64_t ms = 0; ms < 5; ms++)
		assert_int_equal(flood_add(&f, ms), FLOOD_TELL);
	for (int64_t ms = 60000; ms < 60005; ms++)
		assert_int_equal(flood_add(&f, ms), FLOOD_TELL);
	assert_int_equal(flood_add(&f, 60005), FLOOD_BEGIN);
}

static void a_crash_every_quarter_of_a_minute_is_never_a_flood(void **unused)
{
	(void)unused;
	struct flood f = {0};

	for (int64_t ms = 0; ms < 3600000; ms += 15000)
		assert_int_equal(flood_add(&f, ms), FLOOD_TELL);
}

static void it_is_over_with_a_minute_of_five(void **unused)
{
	(void)unused;
	struct flood f = {0};
	bool on = true;

	for (int64_t ms = 0; ms < 10; ms++)
		(void)flood_add(&f, ms);
	assert_int_equal(flood_end_minute(&f, &on), 5);
	assert_false(on);
	assert_int_equal(flood_add(&f, 60010), FLOOD_TELL);
}

static void a_flood_goes_on_minute_by_minute(void **unused)
{
	(void)unused;
	struct flood f = {0};
	bool on = false;

	for (int64_t ms = 0; ms < 11; ms++)
		(void)flood_add(&f, ms);
	assert_int_equal(flood_end_minute(&f, &on), 6);
	assert_true(on);
	for (int i = 0; i < 7; i++)
		assert_int_equal(flood_add(&f, 60000 + i), FLOOD_HOLD);
	assert_int_equal(flood_end_minute(&f, &on), 7);
	assert_true(on);
	assert_int_equal(flood_end_minute(&f, &on), 0);
	assert_false(on);
}

static void a_clock_that_was_set_back_costs_one_minute(void **unused)
{
	(void)unused;
	struct flood f = {0};
	bool on = true;

	for (int64_t ms = 0; ms < 5; ms++)
		(void)flood_add(&f, 100000000 + ms * 3600000);
	assert_int_equal(flood_add(&f, 0), FLOOD_BEGIN);
	assert_int_equal(flood_end_minute(&f, &on), 1);
	assert_false(on);
	assert_int_equal(flood_add(&f, 60000), FLOOD_TELL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_crashes_within_a_minute_are_told_one_by_one),
		cmocka_unit_test(
			the_sixth_within_a_minute_begins_a_minute_that_is_told_as_a_number),
		cmocka_unit_test(a_sixth_after_a_minute_is_told_by_itself),
		cmocka_unit_test(a_crash_every_quarter_of_a_minute_is_never_a_flood),
		cmocka_unit_test(it_is_over_with_a_minute_of_five),
		cmocka_unit_test(a_flood_goes_on_minute_by_minute),
		cmocka_unit_test(a_clock_that_was_set_back_costs_one_minute),
	};

	return cmocka_run_group_tests_name("monitor/flood", tests, NULL, NULL);
}
