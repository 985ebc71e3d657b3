// SPDX-License-Identifier: Apache-2.0
#include "events/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum verdict { REPORTED, BEGUN, HELD };

static struct loop *loop;
static struct loop_timer *minute; ///< The last one started.
static struct rate_limit limit;
static unsigned started, released;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

/// The minute is over when a test wants it.
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	(void)repeat_ms;
	assert_int_equal(delay_ms, RATE_LIMIT_MINUTE_MS);
	minute = t;
	started++;
}

static void on_release(void *ctx, struct container_event *event)
{
	assert_ptr_equal(ctx, &limit);
	assert_string_equal(event->container_id, "a1");
	released = event->count;
	container_event_finish(event);
}

static int setup(void **unused)
{
	(void)unused;
	if (loop_create(&loop, NULL) != LM_OK)
		return -1;
	rate_limit_init(&limit, loop, on_release, &limit);
	started = released = 0;
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	rate_limit_finish(&limit);
	loop_destroy(loop);
	return 0;
}

/// A crash at that time.
static enum verdict add(int64_t time_ms)
{
	unsigned before = started;
	struct container_event e = container_event_make(
		EVENT_DIED, time_ms * 1000000, "a1", "web", "app_web_1", "web:1");

	e.crash = true;
	bool is_told = rate_limit_admits(&limit, &e);
	container_event_finish(&e);
	return is_told ? REPORTED : started > before ? BEGUN : HELD;
}

static void stop(void *ctx)
{
	(void)ctx;
	loop_stop(loop);
}

/// Returns how many crashes the minute had. `*ret_on`: another minute begins.
static unsigned end_minute(bool *ret_on)
{
	struct loop_timer *end = loop_timer_create(loop, stop, NULL);
	unsigned before = started;

	released = 0;
	__real_loop_timer_start(minute, 0, 0);
	__real_loop_timer_start(end, 1, 0);
	loop_run(loop);
	loop_timer_destroy(end);
	*ret_on = started > before;
	assert_int_equal(rate_limit_is_on(&limit, RATE_LIMIT_CRASH), *ret_on);
	assert_false(rate_limit_holds_any(&limit));
	return released;
}

static void five_crashes_within_a_minute_are_reported_one_by_one(void **unused)
{
	(void)unused;
	for (int64_t ms = 1000; ms <= 5000; ms += 1000)
		assert_int_equal(add(ms), REPORTED);
}

static void the_sixth_within_a_minute_begins_a_minute_that_is_reported_as_a_number(void **unused)
{
	(void)unused;
	bool on = false;

	for (int64_t ms = 0; ms < 5; ms++)
		assert_int_equal(add(ms), REPORTED);
	assert_int_equal(add(59999), BEGUN);
	for (int i = 0; i < 19; i++)
		assert_int_equal(add(60000 + i), HELD);
	assert_int_equal(end_minute(&on), 20);
	assert_true(on);
}

static void a_sixth_after_a_minute_is_reported_by_itself(void **unused)
{
	(void)unused;
	for (int64_t ms = 0; ms < 5; ms++)
		assert_int_equal(add(ms), REPORTED);
	for (int64_t ms = 60000; ms < 60005; ms++)
		assert_int_equal(add(ms), REPORTED);
	assert_int_equal(add(60005), BEGUN);
}

static void a_crash_every_quarter_of_a_minute_is_never_limited(void **unused)
{
	(void)unused;
	for (int64_t ms = 0; ms < 3600000; ms += 15000)
		assert_int_equal(add(ms), REPORTED);
}

static void it_is_over_with_a_minute_of_five(void **unused)
{
	(void)unused;
	bool on = true;

	for (int64_t ms = 0; ms < 10; ms++)
		(void)add(ms);
	assert_int_equal(end_minute(&on), 5);
	assert_false(on);
	assert_int_equal(add(60010), REPORTED);
}

static void a_limit_goes_on_minute_by_minute(void **unused)
{
	(void)unused;
	bool on = false;

	for (int64_t ms = 0; ms < 11; ms++)
		(void)add(ms);
	assert_int_equal(end_minute(&on), 6);
	assert_true(on);
	for (int i = 0; i < 7; i++)
		assert_int_equal(add(60000 + i), HELD);
	assert_int_equal(end_minute(&on), 7);
	assert_true(on);
	assert_int_equal(end_minute(&on), 0);
	assert_false(on);
}

static void a_clock_that_was_set_back_costs_one_minute(void **unused)
{
	(void)unused;
	bool on = true;

	for (int64_t ms = 0; ms < 5; ms++)
		(void)add(100000000 + ms * 3600000);
	assert_int_equal(add(0), BEGUN);
	assert_int_equal(end_minute(&on), 1);
	assert_false(on);
	assert_int_equal(add(60000), REPORTED);
}

static void each_kind_has_a_limit_of_its_own(void **unused)
{
	(void)unused;
	for (int64_t ms = 0; ms < 6; ms++)
		(void)add(ms);
	struct container_event oom =
		container_event_make(EVENT_OOM, 0, "a1", "web", "app_web_1", "web:1");
	assert_true(rate_limit_admits(&limit, &oom));
	container_event_finish(&oom);
	assert_true(rate_limit_is_on(&limit, RATE_LIMIT_CRASH));
	assert_false(rate_limit_is_on(&limit, RATE_LIMIT_OOM));
}

static void what_is_held_back_can_be_released_at_once(void **unused)
{
	(void)unused;
	for (int64_t ms = 0; ms < 8; ms++)
		(void)add(ms);
	assert_true(rate_limit_holds_any(&limit));
	rate_limit_flush(&limit);
	assert_int_equal(released, 3);
	assert_false(rate_limit_holds_any(&limit));
}

#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT_TEST(five_crashes_within_a_minute_are_reported_one_by_one),
		LIMIT_TEST(the_sixth_within_a_minute_begins_a_minute_that_is_reported_as_a_number),
		LIMIT_TEST(a_sixth_after_a_minute_is_reported_by_itself),
		LIMIT_TEST(a_crash_every_quarter_of_a_minute_is_never_limited),
		LIMIT_TEST(it_is_over_with_a_minute_of_five),
		LIMIT_TEST(a_limit_goes_on_minute_by_minute),
		LIMIT_TEST(a_clock_that_was_set_back_costs_one_minute),
		LIMIT_TEST(each_kind_has_a_limit_of_its_own),
		LIMIT_TEST(what_is_held_back_can_be_released_at_once),
	};

	return cmocka_run_group_tests_name("events/rate_limit", tests, NULL, NULL);
}
