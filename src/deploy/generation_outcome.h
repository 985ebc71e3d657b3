// SPDX-License-Identifier: Apache-2.0
#pragma once

/// outcome.json of a generation, in its folder (`dir_fd`): how its last attempt ended; and the file
/// `reported`. Used by the store only.

#include "base/encoding.h"
#include "base/error.h"
#include "deploy/store.h"

#include <stdbool.h>

/// What the store needs of outcome.json.
struct generation_verdict {
	unsigned attempt; ///< 0: no outcome.
	bool success, good, has_status;
	bool probation;                         ///< Its last success was on probation.
	char compose_sha256[LM_SHA256_HEX + 1]; ///< Of compose.yml; "": unknown.
};

/// Reads outcome.json; an absent or damaged one is attempt 0. LM_E_SYS, LM_E_DENIED.
lm_rc generation_verdict_read(int dir_fd, struct generation_verdict *ret, struct lm_err *err);
/// Puts the outcome of that attempt of generation `n` in place: from then on it has ended.
/// LM_E_INVALID: the status document is not UTF-8.
lm_rc generation_outcome_write(int dir_fd, unsigned n, unsigned attempt,
	const struct store_outcome *outcome, struct lm_err *err);

/// The attempt whose status message is in the outbox; 0: none, or that is not known.
lm_rc generation_reported_read(int dir_fd, unsigned *ret_attempt, struct lm_err *err);
lm_rc generation_reported_write(int dir_fd, unsigned attempt, struct lm_err *err);
/// Whether the last outcome has a message that is not known to be in the outbox.
lm_rc generation_is_unreported(
	int dir_fd, const struct generation_verdict *verdict, bool *ret, struct lm_err *err);
