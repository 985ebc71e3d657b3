// SPDX-License-Identifier: Apache-2.0
#include "events/container_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t T0_S = 1597153444;

static int64_t at(int64_t s)
{
	return (T0_S + s) * 1000000000;
}

/// Three crashes, at these seconds.
static struct crash_loop three(int64_t a, int64_t b, int64_t c)
{
	struct crash_loop l = {0};

	crash_loop_add(&l, at(a), 1, true);
	crash_loop_add(&l, at(b), 1, true);
	crash_loop_add(&l, at(c), 1, true);
	return l;
}

static void one_that_never_ended_is_in_no_loop(void **unused)
{
	(void)unused;
	const struct crash_loop l = {0};

	assert_false(crash_loop_is_on(&l, at(0)));
	assert_int_equal(crash_loop_last_ns(&l), 0);
}

static void two_crashes_are_no_loop_and_three_are(void **unused)
{
	(void)unused;
	struct crash_loop l = {0};

	crash_loop_add(&l, at(0), 1, true);
	crash_loop_add(&l, at(1), 2, true);
	assert_false(crash_loop_is_on(&l, at(1)));
	crash_loop_add(&l, at(2), 3, true);
	assert_true(crash_loop_is_on(&l, at(2)));
	assert_int_equal(l.exit_code, 3);
	assert_true(l.crashed);
	assert_int_equal(crash_loop_last_ns(&l), at(2));
}

static void what_runs_on_for_a_minute_is_out_of_it(void **unused)
{
	(void)unused;
	const struct crash_loop l = three(0, 2, 4);

	assert_true(crash_loop_is_on(&l, at(63)));
	assert_false(crash_loop_is_on(&l, at(64)));
}

static void rare_crashes_keep_it_twice_as_long_as_their_pauses(void **unused)
{
	(void)unused;
	const struct crash_loop l = three(0, 240, 480);

	assert_true(crash_loop_is_on(&l, at(480 + 479)));
	assert_false(crash_loop_is_on(&l, at(480 + 480)));
}

static void three_crashes_in_more_than_ten_minutes_are_no_loop(void **unused)
{
	(void)unused;
	const struct crash_loop within = three(0, 1, 600), beyond = three(0, 1, 601);

	assert_true(crash_loop_is_on(&within, at(601)));
	assert_false(crash_loop_is_on(&beyond, at(601)));
}

static void ends_count_in_any_order_and_once(void **unused)
{
	(void)unused;
	struct crash_loop l = {0};

	crash_loop_add(&l, at(20), 7, false);
	crash_loop_add(&l, at(10), 1, true);
	crash_loop_add(&l, at(20), 1, true);
	crash_loop_add(&l, at(10), 1, true);
	assert_false(crash_loop_is_on(&l, at(20)));
	crash_loop_add(&l, at(15), 1, true);
	assert_true(crash_loop_is_on(&l, at(20)));
	assert_int_equal(l.exit_code, 7);
	assert_false(l.crashed);
	// What was before the last three changes nothing.
	crash_loop_add(&l, at(5), 1, true);
	assert_int_equal(l.exits_ns[0], at(10));
	assert_int_equal(l.exits_ns[1], at(15));
	assert_int_equal(l.exits_ns[2], at(20));
}

static void a_clock_that_was_set_back_ends_it(void **unused)
{
	(void)unused;
	const struct crash_loop l = three(0, 2, 4);

	assert_true(crash_loop_is_on(&l, at(0)));
	assert_false(crash_loop_is_on(&l, at(-3600)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_never_ended_is_in_no_loop),
		cmocka_unit_test(two_crashes_are_no_loop_and_three_are),
		cmocka_unit_test(what_runs_on_for_a_minute_is_out_of_it),
		cmocka_unit_test(rare_crashes_keep_it_twice_as_long_as_their_pauses),
		cmocka_unit_test(three_crashes_in_more_than_ten_minutes_are_no_loop),
		cmocka_unit_test(ends_count_in_any_order_and_once),
		cmocka_unit_test(a_clock_that_was_set_back_ends_it),
	};

	return cmocka_run_group_tests_name("events/container_table", tests, NULL, NULL);
}
