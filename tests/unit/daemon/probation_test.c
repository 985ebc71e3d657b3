// SPDX-License-Identifier: Apache-2.0
#include "daemon/probation.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WHOLE_MS = 60 * 1000 };

// The clock, the timer and the monitor are the test's.

struct loop_timer {
	loop_cb *cb;
	void *ctx;
	uint64_t due_ms; ///< 0: it does not run.
};

static struct fixture {
	uint64_t now_ms;
	struct loop_timer timer;
	enum monitor_sight sight;
	struct monitor_container containers[2];
	size_t containers_n;
	struct probation *probation;
	unsigned passed, failed;
	char why[256];
} f;

uint64_t __wrap_lm_clock_mono_ms(void);
uint64_t __wrap_lm_clock_mono_ms(void)
{
	return f.now_ms;
}

struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx);
struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx)
{
	(void)loop;
	f.timer = (struct loop_timer){.cb = cb, .ctx = ctx};
	return &f.timer;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	assert_int_equal(repeat_ms, 0);
	assert_true(delay_ms > 0);
	t->due_ms = f.now_ms + delay_ms;
}

void __wrap_loop_timer_stop(struct loop_timer *t);
void __wrap_loop_timer_stop(struct loop_timer *t)
{
	t->due_ms = 0;
}

void __wrap_loop_timer_destroy(struct loop_timer *t);
void __wrap_loop_timer_destroy(struct loop_timer *t)
{
	t->due_ms = 0;
}

enum monitor_sight __wrap_monitor_sight(const struct monitor *m);
enum monitor_sight __wrap_monitor_sight(const struct monitor *m)
{
	(void)m;
	return f.sight;
}

void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx);
void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx)
{
	(void)m;
	assert_int_equal(f.sight, MONITOR_SEES); // what it knew before may not be so any more
	for (size_t i = 0; i < f.containers_n; i++)
		each(ctx, &f.containers[i]);
}

/// Lets so much time pass, with whatever is due in it.
static void pass_ms(uint64_t ms)
{
	uint64_t until_ms = f.now_ms + ms;

	while (f.timer.due_ms > 0 && f.timer.due_ms <= until_ms) {
		f.now_ms = f.timer.due_ms;
		f.timer.due_ms = 0;
		f.timer.cb(f.timer.ctx);
	}
	f.now_ms = until_ms;
}

static void on_passed(void *ctx)
{
	(void)ctx;
	f.passed++;
	assert_false(probation_is_on(f.probation));
}

static void on_failed(void *ctx, const char *why)
{
	(void)ctx;
	f.failed++;
	(void)snprintf(f.why, sizeof(f.why), "%s", why);
}

static int setup(void **state)
{
	const struct probation_events events = {on_passed, on_failed, NULL};

	(void)state;
	f = (struct fixture){.now_ms = 1000, .sight = MONITOR_SEES, .containers_n = 2};
	for (size_t i = 0; i < f.containers_n; i++)
		f.containers[i] = (struct monitor_container){.name = i ? "app_db_1" : "app_web_1",
			.service = i ? "db" : "web",
			.state = "running",
			.health = i ? ENGINE_HEALTHY : ENGINE_HEALTH_NONE,
			.last_exit_code = -1};
	f.probation = probation_create(NULL, NULL, &events);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	probation_destroy(f.probation);
	return 0;
}

static void begin(void)
{
	probation_begin(f.probation, WHOLE_MS);
	probation_look(f.probation);
}

static void change(void)
{
	probation_look(f.probation);
}

static void passes_after_its_time_and_not_before(void **state)
{
	(void)state;
	begin();
	pass_ms(WHOLE_MS - 1);
	assert_true(probation_is_on(f.probation));
	assert_int_equal(probation_left_ms(f.probation), 1);
	assert_int_equal(f.passed, 0);
	pass_ms(1);
	assert_int_equal(f.passed, 1);
	assert_int_equal(f.failed, 0);
	pass_ms(10 * WHOLE_MS);
	assert_int_equal(f.passed, 1);
}

static void a_timer_that_comes_early_is_set_again(void **state)
{
	(void)state;
	begin();
	f.now_ms += WHOLE_MS - 5;
	f.timer.due_ms = 0;
	f.timer.cb(f.timer.ctx);
	assert_int_equal(f.passed, 0);
	pass_ms(5);
	assert_int_equal(f.passed, 1);
}

static void one_container_that_is_unhealthy_fails_it(void **state)
{
	(void)state;
	begin();
	pass_ms(1000);
	f.containers[1].health = ENGINE_UNHEALTHY;
	change();
	assert_int_equal(f.failed, 1);
	assert_string_equal(f.why, "container app_db_1 (service db) is unhealthy");
}

static void a_loop_of_crashes_or_of_restarts_fails_it(void **state)
{
	(void)state;
	f.containers[0].loops = f.containers[0].last_crashed = true;
	f.containers[0].last_exit_code = 3;
	f.containers[0].state = "restarting";
	begin();
	assert_int_equal(f.failed, 1);
	assert_string_equal(
		f.why, "container app_web_1 (service web) is in a crash loop (exit code 3)");
	f.containers[0].last_crashed = false;
	f.containers[0].last_exit_code = -1;
	begin();
	assert_int_equal(f.failed, 2);
	assert_string_equal(f.why, "container app_web_1 (service web) is in a restart loop");
}

static void what_has_ended_and_stays_down_fails_nothing(void **state)
{
	(void)state;
	f.containers[0].loops = true;
	f.containers[0].state = "exited";
	f.containers[1].health = ENGINE_UNHEALTHY;
	f.containers[1].state = "exited";
	begin();
	pass_ms(WHOLE_MS);
	assert_int_equal(f.failed, 0);
	assert_int_equal(f.passed, 1);
}

static void while_what_has_crashed_stays_down_nothing_is_proved(void **state)
{
	(void)state;
	begin();
	pass_ms(WHOLE_MS / 2);
	f.containers[0].last_crashed = true;
	f.containers[0].state = "exited";
	change();
	pass_ms(100 * WHOLE_MS);
	assert_int_equal(f.failed + f.passed, 0);
	f.containers[0].state = "running"; // somebody has started it again
	change();
	pass_ms(WHOLE_MS / 2);
	assert_int_equal(f.passed, 1);
}

static void what_docker_compose_run_has_made_is_not_looked_at(void **state)
{
	(void)state;
	f.containers[1].health = ENGINE_UNHEALTHY;
	f.containers[0].oneoff = f.containers[1].oneoff = true;
	f.containers[0].last_crashed = true;
	f.containers[0].state = "exited";
	begin();
	pass_ms(WHOLE_MS);
	assert_int_equal(f.failed, 0);
	assert_int_equal(f.passed, 1);
}

static void time_in_which_the_engine_is_not_seen_does_not_count(void **state)
{
	(void)state;
	begin();
	pass_ms(WHOLE_MS / 2);
	f.sight = MONITOR_LOST;
	change();
	pass_ms(100 * WHOLE_MS);
	assert_int_equal(probation_left_ms(f.probation), WHOLE_MS / 2);
	f.sight = MONITOR_SEES;
	change();
	pass_ms(WHOLE_MS / 2 - 1);
	assert_int_equal(f.passed, 0);
	pass_ms(1);
	assert_int_equal(f.passed, 1);
}

static void nothing_counts_and_nothing_fails_while_it_is_paused(void **state)
{
	(void)state;
	begin();
	pass_ms(WHOLE_MS / 2);
	probation_pause(f.probation, true);
	f.containers[1].health = ENGINE_UNHEALTHY;
	change();
	pass_ms(100 * WHOLE_MS);
	assert_int_equal(f.failed + f.passed, 0);
	f.containers[1].health = ENGINE_HEALTHY;
	probation_pause(f.probation, false);
	change();
	pass_ms(WHOLE_MS / 2);
	assert_int_equal(f.passed, 1);
}

static void one_that_goes_on_after_its_failure_begins_anew_once_that_is_over(void **state)
{
	(void)state;
	begin();
	pass_ms(WHOLE_MS / 2);
	f.containers[1].health = ENGINE_UNHEALTHY;
	change();
	change();
	pass_ms(100 * WHOLE_MS);
	assert_int_equal(f.failed, 1);
	assert_int_equal(f.passed, 0);
	f.containers[1].health = ENGINE_HEALTHY;
	change();
	assert_int_equal(probation_left_ms(f.probation), WHOLE_MS);
	pass_ms(WHOLE_MS - 1);
	assert_int_equal(f.passed, 0);
	pass_ms(1);
	assert_int_equal(f.passed, 1);
}

static void the_end_of_a_loop_is_seen_although_it_is_no_event(void **state)
{
	(void)state;
	f.containers[0].loops = true;
	begin();
	f.containers[0].loops = false;
	pass_ms(WHOLE_MS + 15 * 1000);
	assert_int_equal(f.failed, 1);
	assert_int_equal(f.passed, 1);
}

static void without_one_nothing_is_watched(void **state)
{
	(void)state;
	f.containers[1].health = ENGINE_UNHEALTHY;
	change();
	begin();
	probation_end(f.probation);
	change();
	pass_ms(10 * WHOLE_MS);
	assert_int_equal(f.failed, 1); // as it began
	assert_int_equal(f.passed, 0);
	assert_int_equal(f.timer.due_ms, 0);
	assert_int_equal(probation_left_ms(f.probation), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(passes_after_its_time_and_not_before),
		TEST(a_timer_that_comes_early_is_set_again),
		TEST(one_container_that_is_unhealthy_fails_it),
		TEST(a_loop_of_crashes_or_of_restarts_fails_it),
		TEST(what_has_ended_and_stays_down_fails_nothing),
		TEST(while_what_has_crashed_stays_down_nothing_is_proved),
		TEST(what_docker_compose_run_has_made_is_not_looked_at),
		TEST(time_in_which_the_engine_is_not_seen_does_not_count),
		TEST(nothing_counts_and_nothing_fails_while_it_is_paused),
		TEST(one_that_goes_on_after_its_failure_begins_anew_once_that_is_over),
		TEST(the_end_of_a_loop_is_seen_although_it_is_no_event),
		TEST(without_one_nothing_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
