// SPDX-License-Identifier: Apache-2.0
#include "broker/background.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/// Work waits for a byte, and says with one that it was woken.
struct task {
	int begin[2], woken[2];
	unsigned done;
	pthread_t owner, worker;
};

static void do_work(void *ctx)
{
	struct task *t = ctx;
	char byte;

	assert_int_equal(read(t->begin[0], &byte, 1), 1);
	t->worker = pthread_self();
	t->done++;
}

static void note_wake(void *ctx)
{
	struct task *t = ctx;

	assert_int_equal(write(t->woken[1], "w", 1), 1);
}

static int set_up(void **state)
{
	struct task *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(pipe(t->begin), 0);
	assert_int_equal(pipe(t->woken), 0);
	t->owner = pthread_self();
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct task *t = *state;

	for (int i = 0; i < 2; i++) {
		close(t->begin[i]);
		close(t->woken[i]);
	}
	free(t);
	return 0;
}

static void works_on_another_thread(void **state)
{
	struct task *t = *state;
	lm_auto(background_destroy_p) struct background *b =
		background_create(do_work, note_wake, t, t);
	char byte;

	assert_true(background_is_done(b));
	for (unsigned i = 1; i <= 3; i++) {
		background_start(b);
		assert_false(background_is_done(b));
		assert_int_equal(write(t->begin[1], "b", 1), 1);
		do // A wake of the turn before, repeated as we were slow, may come first.
			assert_int_equal(read(t->woken[0], &byte, 1), 1);
		while (!background_is_done(b));
		background_finish(b);
		assert_int_equal(t->done, i);
		assert_false(pthread_equal(t->worker, t->owner));
	}
}

static void wakes_until_it_is_noticed(void **state)
{
	struct task *t = *state;
	lm_auto(background_destroy_p) struct background *b =
		background_create(do_work, note_wake, t, t);
	char byte;

	background_start(b);
	assert_int_equal(write(t->begin[1], "b", 1), 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(read(t->woken[0], &byte, 1), 1);
	assert_true(background_is_done(b));
}

static void its_end_waits_for_the_work(void **state)
{
	struct task *t = *state;
	struct background *b = background_create(do_work, note_wake, t, t);

	background_start(b);
	assert_int_equal(write(t->begin[1], "b", 1), 1);
	background_destroy(b);
	assert_int_equal(t->done, 1);
	background_destroy(NULL);
}

static volatile sig_atomic_t on_owner;
static pthread_t owner;

static void take_signal(int number)
{
	(void)number;
	on_owner = pthread_equal(pthread_self(), owner) ? 1 : -1;
}

static void signals_come_to_the_owner(void **state)
{
	struct task *t = *state;
	lm_auto(background_destroy_p) struct background *b =
		background_create(do_work, note_wake, t, t);

	owner = pthread_self();
	assert_true(signal(SIGUSR1, take_signal) != SIG_ERR);
	for (int i = 0; i < 50; i++) {
		on_owner = 0;
		assert_int_equal(kill(getpid(), SIGUSR1), 0);
		assert_int_equal(on_owner, 1);
	}
	assert_true(background_is_done(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(works_on_another_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(wakes_until_it_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_end_waits_for_the_work, set_up, tear_down),
		cmocka_unit_test_setup_teardown(signals_come_to_the_owner, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
