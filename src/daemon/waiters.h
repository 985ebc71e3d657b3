// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Clients that wait for the outcome of a command.

#include "base/limits.h"
#include "deploy/lifecycle.h"
#include "sys/json.h"

#include <stdbool.h>

/// All zero: nobody waits.
struct waiter {
	/// A line of the answer (docs/formats.md, "Control socket"); borrowed. `droppable`: only
	/// how far something is.
	void (*line)(void *ctx, json_t *line, bool droppable);
	/// The last line; borrowed. The waiter is forgotten.
	void (*done)(void *ctx, json_t *last);
	void *ctx;
};

/// Hands a line over and drops the reference. `line` may be NULL: it is left out. `w` may be NULL:
/// nobody waits.
void waiter_send(const struct waiter *w, json_t *line, bool droppable);
/// The same for the last line; then nobody waits any more.
void waiter_finish(struct waiter *w, json_t *last);

enum { WAITERS_MAX = LIMIT_CONTROL_CLIENTS + LIMIT_CONTROL_RESERVED + 1 }; ///< And a job.

/// Those who wait, each with a number from 1 on; 0: nobody. All zero: none.
struct waiters {
	struct waiters_entry {
		bool is_used;
		unsigned with; ///< It is answered together with this one; 0: on its own.
		enum lifecycle_command command;
		struct waiter waiter;
	} entries[WAITERS_MAX]; ///< Number n is at n - 1.
};

/// Returns the number; 0 if nobody waits. `with`: it is answered together with that number, or 0.
unsigned waiters_add(struct waiters *w, enum lifecycle_command command, const struct waiter *waiter,
	unsigned with);
/// NULL for 0.
const struct waiter *waiters_get(const struct waiters *w, unsigned number);
enum lifecycle_command waiters_command(const struct waiters *w, unsigned number);
/// Sends the last line (drops the reference) to this one and to those that are answered together
/// with it; none of them waits any more.
void waiters_answer(struct waiters *w, unsigned number, json_t *last);
/// The waiter with this `ctx` has gone. Returns its number if nobody waits for its command any
/// more, else 0.
unsigned waiters_forget(struct waiters *w, const void *ctx);
