// SPDX-License-Identifier: Apache-2.0
#include "daemon/space_watch.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { INTERVAL_MS = 10 };

struct fixture {
	struct loop *loop;
	struct space_watch *watch;
	struct loop_timer *later;
	unsigned found;
};

static void on_found(void *ctx)
{
	struct fixture *f = ctx;

	f->found++;
	loop_stop(f->loop);
}

/// Long after a watch would have found it.
static void on_later(void *ctx)
{
	loop_stop(((struct fixture *)ctx)->loop);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	if (loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	f.watch = space_watch_create(f.loop, INTERVAL_MS, on_found, &f);
	f.later = loop_timer_create(f.loop, on_later, &f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	space_watch_destroy(f->watch);
	loop_timer_destroy(f->later);
	loop_destroy(f->loop);
	return 0;
}

static void finds_space_once_and_not_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t began_ms = lm_clock_mono_ms();

	space_watch_start(f->watch, "/", 1);
	loop_run(f->loop);
	assert_int_equal(f->found, 1);
	assert_true(lm_clock_mono_ms() - began_ms >= INTERVAL_MS);
	loop_timer_start(f->later, 10 * INTERVAL_MS, 0);
	loop_run(f->loop);
	assert_int_equal(f->found, 1);
}

static void waits_for_what_is_not_there(void **state)
{
	struct fixture *f = *state;

	space_watch_start(f->watch, "/", UINT64_MAX);
	loop_timer_start(f->later, 10 * INTERVAL_MS, 0);
	loop_run(f->loop);
	space_watch_start(f->watch, "/nonexistent", 0);
	loop_timer_start(f->later, 10 * INTERVAL_MS, 0);
	loop_run(f->loop);
	assert_int_equal(f->found, 0);
	space_watch_start(f->watch, "/", 0); // takes the place of the one before
	loop_run(f->loop);
	assert_int_equal(f->found, 1);
}

static void a_stopped_watch_finds_nothing(void **state)
{
	struct fixture *f = *state;

	space_watch_start(f->watch, "/", 1);
	space_watch_stop(f->watch);
	loop_timer_start(f->later, 10 * INTERVAL_MS, 0);
	loop_run(f->loop);
	assert_int_equal(f->found, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(finds_space_once_and_not_at_once),
		TEST(waits_for_what_is_not_there),
		TEST(a_stopped_watch_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
