// SPDX-License-Identifier: Apache-2.0
#include "worker/heartbeat.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { SIGNS = 4 }; ///< Waits show more often that they go on than that is passed on.

struct heartbeat {
	struct wait_limit limit; ///< Of lightermand.
	uint64_t patience_ms;
	pthread_t thread;
	pthread_mutex_t lock; ///< For those below.
	pthread_cond_t changed;
	uint64_t seen_ms; ///< When the task was last seen to go on.
	bool is_over;
};

static void note_task_goes_on(void *ctx)
{
	struct heartbeat *h = ctx;

	(void)pthread_mutex_lock(&h->lock);
	h->seen_ms = lm_clock_mono_ms();
	(void)pthread_mutex_unlock(&h->lock);
}

/// With the lock held.
static void wait_between_beats(struct heartbeat *h)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += h->limit.alive_ms / 1000;
	until.tv_nsec += (long)(h->limit.alive_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!h->is_over && pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
		continue;
}

static void *beat(void *ctx)
{
	struct heartbeat *h = ctx;

	(void)pthread_mutex_lock(&h->lock);
	for (;;) {
		wait_between_beats(h);
		if (h->is_over)
			break;
		if (lm_clock_mono_ms() - h->seen_ms > h->patience_ms)
			continue;
		(void)pthread_mutex_unlock(&h->lock); // the task must not wait for a pipe
		h->limit.alive(h->limit.alive_ctx);
		(void)pthread_mutex_lock(&h->lock);
	}
	(void)pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void heartbeat_free(struct heartbeat *h)
{
	(void)pthread_cond_destroy(&h->changed);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

lm_rc heartbeat_start(
	struct wait_limit *limit, uint64_t patience_ms, struct heartbeat **ret, struct lm_err *err)
{
	struct heartbeat *h = lm_xcalloc(1, sizeof(*h));
	pthread_condattr_t monotonic;

	*h = (struct heartbeat){
		.limit = *limit, .patience_ms = patience_ms, .seen_ms = lm_clock_mono_ms()};
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	int sys = pthread_create(&h->thread, NULL, beat, h);
	if (sys) {
		heartbeat_free(h);
		return lm_fail(err, LM_E_SYS, sys, "start a thread: %m");
	}
	limit->alive = note_task_goes_on;
	limit->alive_ctx = h;
	limit->alive_ms = limit->alive_ms / SIGNS + 1;
	*ret = h;
	return LM_OK;
}

void heartbeat_stop(struct heartbeat *h)
{
	if (!h)
		return;
	(void)pthread_mutex_lock(&h->lock);
	h->is_over = true;
	(void)pthread_cond_signal(&h->changed);
	(void)pthread_mutex_unlock(&h->lock);
	(void)pthread_join(h->thread, NULL);
	heartbeat_free(h);
}
