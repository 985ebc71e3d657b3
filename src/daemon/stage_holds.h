// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand awaits before a worker may begin a stage: a table of holds. Those that are due
/// before the same stage follow each other in the order of the table.
///
/// From the loop's thread; never logs.

#include "base/error.h"
#include "deploy/stages.h"

#include <stdbool.h>
#include <stddef.h>

/// Its functions get the `ctx` of the holds.
struct stage_hold {
	/// It is due before that stage, or before whichever follows `after`; of the two, the other
	/// is DEPLOY_VALIDATE, which is no worker's.
	enum deploy_stage before, after;
	/// Begins what is awaited; stage_holds_end is called later, never from within this. False:
	/// there is nothing to wait for.
	bool (*begin)(void *ctx);
	/// The stage will not begin: what is awaited is to end soon, with stage_holds_end, which is
	/// called later, too. NULL: it is forgotten at once.
	void (*cancel)(void *ctx);
	/// stage_holds_end is not called any more.
	void (*forget)(void *ctx);
};

struct stage_holds {
	const struct stage_hold *table; ///< Borrowed.
	size_t n;
	/// All that were due before a stage have ended; `why` not NULL: it may not begin, and the
	/// rest of them was left out. Not for those that are forgotten.
	void (*ended)(void *ctx, const struct lm_err *why);
	void *ctx;

	enum deploy_stage stage, last; ///< The last one that was to begin, and the one before it.
	size_t at;
	bool active, cancelled; ///< table[at] has begun; and is to end.
};

/// A worker is about to begin that stage. True: it waits until `ended`.
bool stage_holds_begin(struct stage_holds *h, enum deploy_stage stage);
/// What table[at] awaited is there; `why` not NULL: it failed.
void stage_holds_end(struct stage_holds *h, const struct lm_err *why);
/// The stage will not begin. True: something has yet to end, and `ended` is called then. May be
/// called again.
bool stage_holds_cancel(struct stage_holds *h);
/// Abandons what is awaited, without `ended`.
void stage_holds_forget(struct stage_holds *h);
