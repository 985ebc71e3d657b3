// SPDX-License-Identifier: Apache-2.0
#include "sys/side_thread.h"

#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE_STACK_SIZE = 128 << 10 };

struct side_thread {
	struct side_thread_spec spec;
	struct loop_wakeup *wakeup;
	pthread_mutex_t lock; ///< For the two below.
	bool is_done;         ///< The thread uses nothing any more.
	bool is_left;         ///< Nobody waits: the thread frees.
};

static void free_side_thread(struct side_thread *t)
{
	t->spec.free_work(t->spec.work_ctx);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static void *side_thread_run(void *arg)
{
	struct side_thread *t = arg;

	t->spec.work(t->spec.work_ctx);
	(void)pthread_mutex_lock(&t->lock);
	bool is_left = t->is_left;
	t->is_done = true;
	if (!is_left)
		loop_wakeup_send(t->wakeup);
	(void)pthread_mutex_unlock(&t->lock);
	if (is_left)
		free_side_thread(t);
	return NULL;
}

static void on_side_thread_wakeup(void *ctx)
{
	struct side_thread *t = ctx;

	t->spec.done(t->spec.ctx);
}

static int create_side_thread(struct side_thread *t)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all;
	sigset_t before;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, SIDE_STACK_SIZE);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)sigfillset(&all); // signals are the loop's
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int code = pthread_create(&thread, &attr, side_thread_run, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return code;
}

lm_rc side_thread_start(struct loop *loop, const struct side_thread_spec *spec,
	struct side_thread **ret, struct lm_err *err)
{
	struct side_thread *t = lm_xcalloc(1, sizeof(*t));
	lm_rc rc;

	t->spec = *spec;
	(void)pthread_mutex_init(&t->lock, NULL);
	rc = loop_wakeup_create(loop, on_side_thread_wakeup, t, &t->wakeup, err);
	int code = rc ? 0 : create_side_thread(t);
	if (rc == LM_OK && code == 0) {
		*ret = t;
		return LM_OK;
	}
	if (rc == LM_OK)
		rc = lm_fail(err, LM_E_SYS, code, "start a thread: %m");
	loop_wakeup_destroy(t->wakeup);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
	return rc;
}

void side_thread_destroy(struct side_thread *t)
{
	if (!t)
		return;
	(void)pthread_mutex_lock(&t->lock);
	bool is_done = t->is_done;
	t->is_left = true;
	loop_wakeup_destroy(t->wakeup);
	(void)pthread_mutex_unlock(&t->lock);
	if (is_done)
		free_side_thread(t);
}
