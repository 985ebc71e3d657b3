// SPDX-License-Identifier: Apache-2.0
#include "sys/side_thread.h"

#include "base/memory.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct work {
	sem_t may_end; ///< The work waits for it.
	sem_t *freed;  ///< Outlives the work.
	pthread_t ran_in;
	sigset_t mask;
};

struct scene {
	struct loop *loop;
	struct side_thread *thread;
	struct work *work;
	sem_t freed;
	int done;
};

static void work_waits(void *ctx)
{
	struct work *w = ctx;

	w->ran_in = pthread_self();
	(void)pthread_sigmask(SIG_SETMASK, NULL, &w->mask);
	(void)sem_wait(&w->may_end);
}

static void free_work(void *ctx)
{
	struct work *w = ctx;
	sem_t *freed = w->freed;

	(void)sem_destroy(&w->may_end);
	free(w);
	(void)sem_post(freed);
}

static void on_done(void *ctx)
{
	struct scene *s = ctx;

	s->done++;
	assert_false(pthread_equal(s->work->ran_in, pthread_self()));
	assert_true(sigismember(&s->work->mask, SIGTERM)); // signals are the loop's
	side_thread_destroy(s->thread);
	s->thread = NULL;
	loop_stop(s->loop);
}

static void begin(struct scene *s)
{
	*s = (struct scene){0};
	(void)sem_init(&s->freed, 0, 0);
	s->work = lm_xcalloc(1, sizeof(*s->work));
	s->work->freed = &s->freed;
	(void)sem_init(&s->work->may_end, 0, 0);
	assert_int_equal(loop_create(&s->loop, NULL), LM_OK);
	const struct side_thread_spec spec = {.work = work_waits,
		.free_work = free_work,
		.work_ctx = s->work,
		.done = on_done,
		.ctx = s};
	assert_int_equal(side_thread_start(s->loop, &spec, &s->thread, NULL), LM_OK);
}

static void let_work_end(void *ctx)
{
	struct scene *s = ctx;

	(void)sem_post(&s->work->may_end);
}

static void the_loop_goes_on_until_the_work_is_done(void **state)
{
	struct scene s;
	(void)state;

	begin(&s);
	struct loop_timer *t = loop_timer_create(s.loop, let_work_end, &s);
	loop_timer_start(t, 1, 0); // only a loop that goes on gets there
	loop_run(s.loop);
	assert_int_equal(s.done, 1);
	assert_int_equal(sem_trywait(&s.freed), 0);
	loop_timer_destroy(t);
	loop_destroy(s.loop);
}

static void work_that_is_left_frees_itself(void **state)
{
	struct scene s;
	(void)state;

	begin(&s);
	side_thread_destroy(s.thread);
	loop_destroy(s.loop);
	assert_int_not_equal(sem_trywait(&s.freed), 0);
	(void)sem_post(&s.work->may_end);
	assert_int_equal(sem_wait(&s.freed), 0);
	assert_int_equal(s.done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_loop_goes_on_until_the_work_is_done),
		cmocka_unit_test(work_that_is_left_frees_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
