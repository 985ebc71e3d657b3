// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Waiting in a program that runs one task: every wait has a deadline, can be cancelled, and shows
/// now and then that it is alive. (The resident program waits in sys/loop instead.)

#include "base/error.h"

#include <poll.h>
#include <stdint.h>

/// How long one may wait. Borrowed by whatever takes it.
struct wait_limit {
	uint64_t deadline_ms; ///< On lm_clock_mono_ms(); 0: none.
	int cancel_fd; ///< Readable (or hung up) once the task is to stop; never read here. -1:
		       ///< none.
	void (*alive)(
		void *ctx); ///< Called at least every `alive_ms` while waiting; NULL: nobody asks.
	void *alive_ctx;
	unsigned alive_ms;
	/// When `alive` is next due, on lm_clock_mono_ms(); 0 at first. Shared by all the waits of
	/// a task: many short ones in a row show life, too. NULL: each wait counts for itself.
	uint64_t *alive_due_ms;
};

#define WAIT_FOREVER ((struct wait_limit){.cancel_fd = -1})

/// `limit` with a deadline at most `timeout_ms` from now.
struct wait_limit wait_limit_within(const struct wait_limit *limit, uint64_t timeout_ms);

/// Waits until one of the descriptors has an event (their `revents` are set; n may be 0).
/// LM_E_TIMEOUT at the deadline, LM_E_CANCELLED once `cancel_fd` is readable, LM_E_SYS.
/// The messages are "time limit reached" and "cancelled", for the caller to wrap.
lm_rc wait_for(struct pollfd *fds, unsigned n, const struct wait_limit *limit, struct lm_err *err);
/// Waits for nothing but the time: LM_OK after `ms`, else as wait_for.
lm_rc wait_ms(uint64_t ms, const struct wait_limit *limit, struct lm_err *err);
