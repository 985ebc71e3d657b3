// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One call that blocks, in a thread of its own: its end is reported on the event loop, which goes
/// on meanwhile. For what has no other form (syncfs). The thread exits with the call.

#include "base/error.h"
#include "sys/loop.h"

struct side_thread;

struct side_thread_spec {
	/// In the thread. It uses nothing but `work_ctx`.
	loop_cb *work;
	/// Frees `work_ctx`, once nobody uses it any more: at side_thread_destroy, or, if that
	/// comes first, at the end of the work, in the thread.
	loop_cb *free_work;
	void *work_ctx;
	/// On the loop, once the work is done: `work_ctx` is the caller's to read until
	/// side_thread_destroy, which may be called inside.
	loop_cb *done;
	void *ctx;
};

/// LM_E_SYS: the thread cannot be started; `work_ctx` stays the caller's.
lm_rc side_thread_start(struct loop *loop, const struct side_thread_spec *spec,
	struct side_thread **ret, struct lm_err *err);
/// Work that is not done is left to itself, and `done` is not called. Takes NULL.
void side_thread_destroy(struct side_thread *t);
