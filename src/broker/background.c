// SPDX-License-Identifier: Apache-2.0
#include "broker/background.h"

#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { AGAIN_US = 100, AGAIN_US_MAX = 50000, NS_PER_US = 1000, NS_PER_S = 1000000000 };

enum background_state { BACKGROUND_IDLE, BACKGROUND_STARTED, BACKGROUND_DONE, BACKGROUND_QUIT };

struct background {
	background_function *work, *wake;
	void *work_ctx, *wake_ctx;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum background_state state; ///< Under `lock`.
};

/// The one place where the state changes; with the lock.
static void background_enter(struct background *b, enum background_state state)
{
	b->state = state;
	(void)pthread_cond_broadcast(&b->changed);
}

static void wait_changed(struct background *b, long us)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += us * NS_PER_US;
	until.tv_sec += until.tv_nsec / NS_PER_S;
	until.tv_nsec %= NS_PER_S;
	(void)pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

static void *run_background(void *ctx)
{
	struct background *b = ctx;

	(void)pthread_mutex_lock(&b->lock);
	while (b->state != BACKGROUND_QUIT) {
		if (b->state != BACKGROUND_STARTED) {
			(void)pthread_cond_wait(&b->changed, &b->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&b->lock);
		b->work(b->work_ctx);
		(void)pthread_mutex_lock(&b->lock);
		background_enter(b, BACKGROUND_DONE);
		for (long us = AGAIN_US; b->state == BACKGROUND_DONE;
			us = us < AGAIN_US_MAX ? 2 * us : us) {
			b->wake(b->wake_ctx);
			wait_changed(b, us);
		}
	}
	(void)pthread_mutex_unlock(&b->lock);
	return NULL;
}

struct background *background_create(
	background_function *work, background_function *wake, void *work_ctx, void *wake_ctx)
{
	struct background *b = lm_xcalloc(1, sizeof(*b));
	pthread_condattr_t clock;
	sigset_t all, before;

	b->work = work;
	b->wake = wake;
	b->work_ctx = work_ctx;
	b->wake_ctx = wake_ctx;
	(void)pthread_mutex_init(&b->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&b->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	b->has_thread = pthread_create(&b->thread, NULL, run_background, b) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return b;
}

void background_destroy(struct background *b)
{
	if (!b)
		return;
	background_finish(b);
	if (b->has_thread) {
		(void)pthread_mutex_lock(&b->lock);
		background_enter(b, BACKGROUND_QUIT);
		(void)pthread_mutex_unlock(&b->lock);
		(void)pthread_join(b->thread, NULL);
	}
	(void)pthread_cond_destroy(&b->changed);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

void background_start(struct background *b)
{
	if (!b->has_thread) {
		b->work(b->work_ctx);
		return;
	}
	(void)pthread_mutex_lock(&b->lock);
	background_enter(b, BACKGROUND_STARTED);
	(void)pthread_mutex_unlock(&b->lock);
}

bool background_is_done(struct background *b)
{
	(void)pthread_mutex_lock(&b->lock);
	if (b->state == BACKGROUND_DONE)
		background_enter(b, BACKGROUND_IDLE);
	bool done = b->state == BACKGROUND_IDLE;
	(void)pthread_mutex_unlock(&b->lock);
	return done;
}

void background_finish(struct background *b)
{
	(void)pthread_mutex_lock(&b->lock);
	while (b->state == BACKGROUND_STARTED)
		(void)pthread_cond_wait(&b->changed, &b->lock);
	if (b->state == BACKGROUND_DONE)
		background_enter(b, BACKGROUND_IDLE);
	(void)pthread_mutex_unlock(&b->lock);
}
