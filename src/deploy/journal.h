// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The journal of the deployment that is under way: one file, which begins with the line
/// "begin <generation> <attempt> <wall ms>", put in place as a whole, and then has a line
/// "stage <name> <wall ms>" for each stage, synced before the stage acts. An empty or absent file
/// means that nothing is under way. Used by the store only.
///
/// Reading forgives a torn or damaged end: those lines are left out.

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { JOURNAL_STAGE_SIZE = 32, JOURNAL_MAX = 16 << 10 };

struct journal_state {
	unsigned generation; ///< 0: nothing is under way.
	unsigned attempt;
	char stage[JOURNAL_STAGE_SIZE]; ///< The last one recorded, "" if none.
	bool acted;                     ///< A stage is among them that changes what runs.
	int64_t began_ms, stage_ms;     ///< Wall clock.
};

/// Reads the journal in `dir_fd`; an absent one is an empty one.
lm_rc journal_read(int dir_fd, struct journal_state *ret, struct lm_err *err);
/// Replaces the journal by one of a deployment that begins.
lm_rc journal_begin(int dir_fd, unsigned generation, unsigned attempt, struct lm_err *err);
/// Appends a stage and syncs. LM_E_INVALID: not a stage's name (a-z and '-', under 32 bytes).
/// LM_E_TOO_LARGE: more lines than a deployment can have.
lm_rc journal_stage(int dir_fd, const char *stage, struct lm_err *err);
/// Replaces the journal by an empty one.
lm_rc journal_clear(int dir_fd, struct lm_err *err);
