// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Somebody who waits for what becomes of a command.

#include "sys/json.h"

#include <stdbool.h>

/// All zero: nobody waits.
struct waiter {
	/// A line of the answer (docs/formats.md, "Control socket"); borrowed. `droppable`: only
	/// how far something is.
	void (*told)(void *ctx, json_t *line, bool droppable);
	/// The last line; borrowed. The waiter is forgotten.
	void (*ended)(void *ctx, json_t *last);
	void *ctx;
};

/// Hands a line over and drops the reference. `line` may be NULL: it is left out.
void waiter_tell(const struct waiter *w, json_t *line, bool droppable);
/// The same for the last line; then nobody waits any more.
void waiter_end(struct waiter *w, json_t *last);
