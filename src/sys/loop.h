// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The event loop of the resident programs: timers, descriptors, signals, children, and a way in
/// from other threads. A thin face of libuv, so that no other header knows it. Everything is used
/// from the loop's own thread, except loop_wakeup_send. Watchers are destroyed before the loop;
/// a watcher may destroy itself, or any other, from inside a callback. destroy takes NULL.

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct loop_timer;
struct loop_fd;
struct loop_signal;
struct loop_child;
struct loop_wakeup;

/// Sets SIGPIPE to be ignored: a peer that went away shows as EPIPE.
lm_rc loop_create(struct loop **ret, struct lm_err *err);
/// Runs until loop_stop.
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_destroy(struct loop *loop);

typedef void loop_cb(void *ctx);

struct loop_timer *loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx);
/// Calls once after `delay_ms`, then every `repeat_ms` (0: not again). Restarts a running timer.
void loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_active(const struct loop_timer *t);
void loop_timer_destroy(struct loop_timer *t);

/// `events` is any of POLLIN, POLLOUT and POLLHUP; on an error or hang-up the callback is called
/// with what was asked for, and the next read or write tells. With POLLHUP, which is for a socket
/// that is not read, it is called once both directions are closed (not when the other side only
/// stops sending), and also for urgent data, which is called for until it is read.
typedef void loop_fd_cb(void *ctx, short events);
/// Watches a descriptor, which stays the caller's and must outlive the watcher.
lm_rc loop_fd_create(struct loop *loop, int fd, loop_fd_cb *cb, void *ctx, struct loop_fd **ret,
	struct lm_err *err);
/// 0 pauses.
void loop_fd_set(struct loop_fd *w, short events);
void loop_fd_destroy(struct loop_fd *w);

lm_rc loop_signal_create(struct loop *loop, int signal, loop_cb *cb, void *ctx,
	struct loop_signal **ret, struct lm_err *err);
void loop_signal_destroy(struct loop_signal *s);

/// Called once, after the child has been reaped.
typedef void loop_child_cb(void *ctx, int wait_status);
/// Takes over reaping `pid`, a child of this process. Destroying the watcher earlier leaves the
/// child to be reaped silently; after the callback it is destroyed like any other. At most a few
/// dozen children at a time.
lm_rc loop_child_create(struct loop *loop, pid_t pid, loop_child_cb *cb, void *ctx,
	struct loop_child **ret, struct lm_err *err);
void loop_child_destroy(struct loop_child *c);

/// A way in from another thread: the callback runs on the loop, once or more after each send.
lm_rc loop_wakeup_create(
	struct loop *loop, loop_cb *cb, void *ctx, struct loop_wakeup **ret, struct lm_err *err);
/// From any thread, also inside a signal handler.
void loop_wakeup_send(struct loop_wakeup *w);
void loop_wakeup_destroy(struct loop_wakeup *w);
