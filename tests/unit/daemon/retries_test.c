// SPDX-License-Identifier: Apache-2.0
#include "daemon/retries.h"

#include "base/memory.h"
#include "daemon/space_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW_MS = 5000, FULL = 100 };

// The clock, the timers, the jitter and the disk are the test's.

struct loop_timer {
	loop_cb *cb;
	void *ctx;
	uint64_t delay_ms; ///< 0: it does not run.
};

static struct fixture {
	struct loop_timer retry, debt;
	loop_cb *found;
	void *found_ctx;
	uint64_t awaited; ///< Bytes; 0: space is not waited for.
	unsigned timers, percent, again, settled;
	struct retries *retries;
} f;

uint64_t __wrap_lm_clock_mono_ms(void);
uint64_t __wrap_lm_clock_mono_ms(void)
{
	return NOW_MS;
}

/// So many percent of the bound.
uint64_t __wrap_lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms);
uint64_t __wrap_lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms)
{
	uint64_t bound_ms = attempt < 16 ? base_ms << attempt : max_ms;

	return (bound_ms < max_ms ? bound_ms : max_ms) * f.percent / FULL;
}

struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx);
struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx)
{
	struct loop_timer *t = f.timers++ == 0 ? &f.retry : &f.debt;

	(void)loop;
	*t = (struct loop_timer){.cb = cb, .ctx = ctx};
	return t;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	assert_int_equal(repeat_ms, 0);
	assert_true(delay_ms > 0);
	t->delay_ms = delay_ms;
}

void __wrap_loop_timer_stop(struct loop_timer *t);
void __wrap_loop_timer_stop(struct loop_timer *t)
{
	t->delay_ms = 0;
}

void __wrap_loop_timer_destroy(struct loop_timer *t);
void __wrap_loop_timer_destroy(struct loop_timer *t)
{
	(void)t;
}

struct space_watch *__wrap_space_watch_create(
	struct loop *loop, unsigned interval_ms, loop_cb *found, void *ctx);
struct space_watch *__wrap_space_watch_create(
	struct loop *loop, unsigned interval_ms, loop_cb *found, void *ctx)
{
	(void)loop;
	assert_int_equal(interval_ms, 30 * 1000);
	f.found = found;
	f.found_ctx = ctx;
	return NULL;
}

void __wrap_space_watch_start(struct space_watch *w, const char *directory, uint64_t bytes);
void __wrap_space_watch_start(struct space_watch *w, const char *directory, uint64_t bytes)
{
	(void)w;
	assert_string_equal(directory, "/srv");
	f.awaited = bytes;
}

void __wrap_space_watch_stop(struct space_watch *w);
void __wrap_space_watch_stop(struct space_watch *w)
{
	(void)w;
	f.awaited = 0;
}

static void on_again(void *ctx)
{
	assert_ptr_equal(ctx, &f);
	f.again++;
}

static void on_settle(void *ctx)
{
	assert_ptr_equal(ctx, &f);
	f.settled++;
}

static int set_up(void **state)
{
	const struct retries_events events = {on_again, on_settle, &f};

	(void)state;
	f = (struct fixture){.percent = FULL};
	f.retries = retries_create(NULL, &events);
	assert_int_equal(f.timers, 2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	retries_destroy(f.retries);
	return 0;
}

static uint64_t delay_ms(unsigned tries)
{
	const struct lifecycle_action action = {.kind = ACTION_SET_TIMER, .tries = tries};

	retries_set(f.retries, &action, WANTED_UP);
	assert_int_equal(retries_at_ms(f.retries), NOW_MS + f.retry.delay_ms);
	return f.retry.delay_ms;
}

static void the_delay_grows_from_15_seconds_to_10_minutes(void **state)
{
	(void)state;
	f.percent = 0;
	assert_int_equal(delay_ms(1), 15 * 1000);
	assert_int_equal(delay_ms(100), 15 * 1000);
	f.percent = FULL;
	assert_int_equal(delay_ms(0), 30 * 1000);
	assert_int_equal(delay_ms(1), 30 * 1000);
	assert_int_equal(delay_ms(2), 45 * 1000);
	assert_int_equal(delay_ms(100), (15 + 600) * 1000);
	assert_int_equal(f.again, 0);
	f.retry.cb(f.retry.ctx);
	assert_int_equal(f.again, 1);
	assert_int_equal(f.settled, 0);
	retries_stop(f.retries);
	assert_int_equal(f.retry.delay_ms, 0);
}

static void waits_for_the_space_that_was_lacking_last(void **state)
{
	const struct lifecycle_action action = {
		.kind = ACTION_SET_TIMER, .tries = 1, .awaits_space = true};

	(void)state;
	retries_note_space(f.retries, lm_xstrdup("/elsewhere"), 1);
	retries_note_space(f.retries, lm_xstrdup("/srv"), 4096);
	retries_note_space(f.retries, NULL, 0); // another failure
	assert_int_equal(delay_ms(1), 30 * 1000);
	retries_stop(f.retries);
	retries_set(f.retries, &action, WANTED_UP);
	assert_int_equal(f.awaited, 4096);
	assert_int_equal(f.retry.delay_ms, 0);
	assert_int_equal(retries_at_ms(f.retries), 0);
	f.found(f.found_ctx);
	assert_int_equal(f.again, 1);
	retries_stop(f.retries);
	assert_int_equal(f.awaited, 0);
}

static void space_that_nobody_has_named_is_not_waited_for(void **state)
{
	const struct lifecycle_action action = {
		.kind = ACTION_SET_TIMER, .tries = 1, .awaits_space = true};

	(void)state;
	retries_set(f.retries, &action, WANTED_DOWN);
	assert_int_equal(f.awaited, 0);
	assert_int_equal(f.retry.delay_ms, 30 * 1000);
}

static void the_delay_of_debts_grows_until_there_are_none(void **state)
{
	static const struct lifecycle debts[] = {{.unsaved = true}, {.unrecorded = true},
		{.unquarantined = 2}, {.unconfirmed = true}};
	const struct lifecycle none = {0};

	(void)state;
	retries_set_debt(f.retries);
	assert_int_equal(f.debt.delay_ms, 1001);
	for (size_t i = 0; i < LM_ARRAY_SIZE(debts); i++) {
		retries_note_debts(f.retries, &debts[i]);
		assert_true(f.debt.delay_ms > 0);
		retries_set_debt(f.retries);
		assert_int_equal(f.debt.delay_ms, (2000 << i) + 1);
	}
	f.debt.cb(f.debt.ctx);
	assert_int_equal(f.settled, 1);
	assert_int_equal(f.again, 0);
	for (int i = 0; i < 8; i++)
		retries_set_debt(f.retries);
	assert_int_equal(f.debt.delay_ms, 60 * 1000 + 1);
	retries_note_debts(f.retries, &none);
	assert_int_equal(f.debt.delay_ms, 0);
	retries_set_debt(f.retries);
	assert_int_equal(f.debt.delay_ms, 1001);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_delay_grows_from_15_seconds_to_10_minutes),
		TEST(waits_for_the_space_that_was_lacking_last),
		TEST(space_that_nobody_has_named_is_not_waited_for),
		TEST(the_delay_of_debts_grows_until_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
