// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.h"

#include "base/memory.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <uv.h>

/// Each watcher begins with its libuv handle, so that one close callback frees them all: libuv
/// still holds a handle for the rest of the turn in which it is closed.
struct loop_timer {
	uv_timer_t uv;
	loop_cb *cb;
	void *ctx;
};

struct loop_fd {
	uv_poll_t uv;
	loop_fd_cb *cb;
	void *ctx;
	short asked;
};

struct loop_signal {
	uv_signal_t uv;
	loop_cb *cb;
	void *ctx;
};

struct loop_wakeup {
	uv_async_t uv;
	loop_cb *cb;
	void *ctx;
};

/// A child belongs to the loop until it is reaped, its owner or not.
struct loop_child {
	struct loop_child *next;
	pid_t pid;         ///< -1 once reaped.
	loop_child_cb *cb; ///< NULL: reap silently, then free.
	void *ctx;
};

struct loop {
	uv_loop_t uv;
	uv_signal_t sigchld;
	/// Sent when a child is registered: it may have ended before, and its SIGCHLD be gone.
	uv_async_t look;
	struct loop_child *children;
};

static lm_rc fail_uv(struct lm_err *err, const char *what, int rc)
{
	return lm_fail(err, LM_E_SYS, -rc, "%s: %s", what, uv_strerror(rc));
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void close_handle(void *watcher)
{
	uv_close(watcher, free_handle);
}

static void unlink_child(struct loop *loop, struct loop_child *c)
{
	struct loop_child **p = &loop->children;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
}

/// The next child that has ended, without waiting. One pid at a time: the process may own children
/// that are not ours to reap.
static struct loop_child *reap_one(struct loop *loop, int *ret_status)
{
	for (struct loop_child *c = loop->children; c; c = c->next) {
		pid_t pid = waitpid(c->pid, ret_status, WNOHANG);

		if (pid == c->pid)
			return c;
		if (pid < 0 && errno == ECHILD) {
			// Somebody else reaped it. How it ended is lost; that it ended is not.
			*ret_status = W_EXITCODE(255, 0);
			return c;
		}
	}
	return NULL;
}

static void reap_all(struct loop *loop)
{
	struct loop_child *c;
	int status;

	// From the start after each callback, which may create and destroy children.
	while ((c = reap_one(loop, &status))) {
		loop_child_cb *cb = c->cb;

		unlink_child(loop, c);
		if (!cb) {
			free(c);
			continue;
		}
		c->pid = -1;
		cb(c->ctx, status);
	}
}

static void on_sigchld(uv_signal_t *handle, int number)
{
	(void)number;
	reap_all(handle->data);
}

static void on_look(uv_async_t *handle)
{
	reap_all(handle->data);
}

lm_rc loop_create(struct loop **ret, struct lm_err *err)
{
	struct loop *loop = lm_xcalloc(1, sizeof(*loop));

	// It aborts in places without memory, and says nothing then.
	(void)uv_replace_allocator(lm_xmalloc, lm_xrealloc, lm_xcalloc, free);
	int rc = uv_loop_init(&loop->uv);

	if (rc) {
		free(loop);
		return fail_uv(err, "start the event loop", rc);
	}
	// A peer that went away shows as EPIPE; children get the default back.
	(void)signal(SIGPIPE, SIG_IGN);
	loop->sigchld.data = loop;
	loop->look.data = loop;
	(void)uv_signal_init(&loop->uv, &loop->sigchld);
	rc = uv_signal_start(&loop->sigchld, on_sigchld, SIGCHLD);
	if (!rc)
		rc = uv_async_init(&loop->uv, &loop->look, on_look);
	if (rc) {
		uv_close((uv_handle_t *)&loop->sigchld, NULL);
		(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
		(void)uv_loop_close(&loop->uv);
		free(loop);
		return fail_uv(err, "watch child processes", rc);
	}
	*ret = loop;
	return LM_OK;
}

void loop_run(struct loop *loop)
{
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	uv_close((uv_handle_t *)&loop->sigchld, NULL);
	uv_close((uv_handle_t *)&loop->look, NULL);
	// Only closed handles are left: this runs their callbacks and returns; a loop_stop that
	// came too late for loop_run stops it once.
	do
		(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	while (uv_loop_close(&loop->uv) == UV_EBUSY);
	while (loop->children) {
		struct loop_child *c = loop->children;

		loop->children = c->next;
		free(c);
	}
	free(loop);
}

static void on_uv_timer(uv_timer_t *handle)
{
	struct loop_timer *t = (struct loop_timer *)handle;

	t->cb(t->ctx);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx)
{
	struct loop_timer *t = lm_xcalloc(1, sizeof(*t));

	t->cb = cb;
	t->ctx = ctx;
	(void)uv_timer_init(&loop->uv, &t->uv); // always 0
	return t;
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	// libuv counts from the start of the turn, which a long callback may have left behind.
	uv_update_time(t->uv.loop);
	(void)uv_timer_start(&t->uv, on_uv_timer, delay_ms, repeat_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
	(void)uv_timer_stop(&t->uv);
}

bool loop_timer_active(const struct loop_timer *t)
{
	return uv_is_active((const uv_handle_t *)&t->uv);
}

void loop_timer_destroy(struct loop_timer *t)
{
	if (t)
		close_handle(t);
}

static int uv_events(short events)
{
	// A hang-up is reported whatever is asked for, but libuv must be asked for something. Its
	// UV_DISCONNECT would also be called, again and again, for a side that only stops sending.
	return ((events & POLLIN) ? UV_READABLE : 0) | ((events & POLLOUT) ? UV_WRITABLE : 0) |
	       ((events & POLLHUP) ? UV_PRIORITIZED : 0);
}

static void on_uv_poll(uv_poll_t *handle, int status, int events)
{
	struct loop_fd *w = (struct loop_fd *)handle;
	short seen = w->asked;

	// On POLLERR libuv stops the watcher. It goes on, for callers whose next read tells
	// nothing.
	if (status < 0)
		(void)uv_poll_start(handle, uv_events(w->asked), on_uv_poll);
	else
		seen = (short)(((events & UV_READABLE) ? POLLIN : 0) |
			       ((events & UV_WRITABLE) ? POLLOUT : 0) |
			       ((events & UV_PRIORITIZED) ? POLLHUP : 0));
	w->cb(w->ctx, seen);
}

lm_rc loop_fd_create(struct loop *loop, int fd, loop_fd_cb *cb, void *ctx, struct loop_fd **ret,
	struct lm_err *err)
{
	struct loop_fd *w = lm_xcalloc(1, sizeof(*w));
	int rc = uv_poll_init(&loop->uv, &w->uv, fd);

	if (rc) {
		free(w);
		return fail_uv(err, "watch a descriptor", rc);
	}
	w->cb = cb;
	w->ctx = ctx;
	*ret = w;
	return LM_OK;
}

void loop_fd_set(struct loop_fd *w, short events)
{
	if (w->asked == events)
		return;
	w->asked = events;
	if (events)
		(void)uv_poll_start(&w->uv, uv_events(events), on_uv_poll);
	else
		(void)uv_poll_stop(&w->uv);
}

void loop_fd_destroy(struct loop_fd *w)
{
	if (w)
		close_handle(w);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct loop_signal *s = (struct loop_signal *)handle;

	(void)number;
	s->cb(s->ctx);
}

lm_rc loop_signal_create(struct loop *loop, int signal, loop_cb *cb, void *ctx,
	struct loop_signal **ret, struct lm_err *err)
{
	struct loop_signal *s = lm_xcalloc(1, sizeof(*s));

	s->cb = cb;
	s->ctx = ctx;
	(void)uv_signal_init(
		&loop->uv, &s->uv); // fails only without the pipe that loop_create made
	int rc = uv_signal_start(&s->uv, on_signal, signal);
	if (rc) {
		close_handle(s);
		return fail_uv(err, "watch a signal", rc);
	}
	*ret = s;
	return LM_OK;
}

void loop_signal_destroy(struct loop_signal *s)
{
	if (s)
		close_handle(s);
}

lm_rc loop_child_create(struct loop *loop, pid_t pid, loop_child_cb *cb, void *ctx,
	struct loop_child **ret, struct lm_err *err)
{
	if (pid <= 0)
		return lm_fail(err, LM_E_SYS, EINVAL, "watch child %ld: %m", (long)pid);

	struct loop_child *c = lm_xcalloc(1, sizeof(*c));
	c->pid = pid;
	c->cb = cb;
	c->ctx = ctx;
	c->next = loop->children;
	loop->children = c;
	(void)uv_async_send(&loop->look);
	*ret = c;
	return LM_OK;
}

void loop_child_destroy(struct loop_child *c)
{
	if (!c)
		return;
	if (c->pid < 0)
		free(c);
	else
		c->cb = NULL;
}

static void on_uv_async(uv_async_t *handle)
{
	struct loop_wakeup *w = (struct loop_wakeup *)handle;

	w->cb(w->ctx);
}

lm_rc loop_wakeup_create(
	struct loop *loop, loop_cb *cb, void *ctx, struct loop_wakeup **ret, struct lm_err *err)
{
	struct loop_wakeup *w = lm_xcalloc(1, sizeof(*w));
	int rc = uv_async_init(&loop->uv, &w->uv, on_uv_async);

	if (rc) {
		free(w);
		return fail_uv(err, "make a way into the event loop", rc);
	}
	w->cb = cb;
	w->ctx = ctx;
	*ret = w;
	return LM_OK;
}

void loop_wakeup_send(struct loop_wakeup *w)
{
	(void)uv_async_send(&w->uv);
}

void loop_wakeup_destroy(struct loop_wakeup *w)
{
	if (w)
		close_handle(w);
}
