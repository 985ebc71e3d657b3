// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The journal of the deployment that is under way: one file, which begins with the line
/// "begin <generation> <attempt> <wall ms> <checksum>", put in place as a whole, and then has a
/// line "stage <name> <wall ms> <checksum>" for each stage, synced before the stage acts. The
/// checksum is the beginning of the SHA-256 of what is before it in its line. An empty or absent
/// file means that nothing is under way. Used by the store only.
///
/// A line without its end was not synced, so its stage has not acted: it is left out. Whole lines
/// that are damaged may have been of a stage that acts. A release before wrote lines without
/// checksums, which are still read.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_NAME "journal"
enum { JOURNAL_STAGE_SIZE = 32, JOURNAL_MAX = 16 << 10 };

struct journal_state {
	unsigned generation; ///< 0: nothing is under way.
	unsigned attempt;
	char stage[JOURNAL_STAGE_SIZE]; ///< The last one recorded, "" if none.
	bool acted;                     ///< A stage is among them that may have changed what runs.
	bool damaged;                   ///< Which attempt is under way, if any is, cannot be told.
	int64_t began_ms, stage_ms;     ///< Wall clock.
};

/// What the text of a journal says.
struct journal_state journal_parse(struct lm_str text);
/// Reads the journal in `dir_fd`; an absent one is an empty one. LM_E_INVALID: it is not a regular
/// file. LM_E_TOO_LARGE, LM_E_DENIED, LM_E_SYS.
lm_rc journal_read(int dir_fd, struct journal_state *ret, struct lm_err *err);
/// Replaces the journal by one of a deployment that begins.
lm_rc journal_begin(int dir_fd, unsigned generation, unsigned attempt, struct lm_err *err);
/// Appends a stage and syncs. LM_E_INVALID: not a stage's name (a-z and '-', under 32 bytes).
/// LM_E_TOO_LARGE: more lines than a deployment can have.
lm_rc journal_stage(int dir_fd, const char *stage, struct lm_err *err);
/// Replaces the journal by an empty one.
lm_rc journal_clear(int dir_fd, struct lm_err *err);
