// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What store_open does: puts in order what a crash left, and goes on with the best that is left
/// where something is damaged. Used by the store only.

#include "base/error.h"
#include "deploy/store.h"
#include "sys/damage.h"

/// Fills `ret`, and adds a note on everything that is damaged, or was. May be done any number of
/// times. LM_E_SYS, LM_E_DENIED.
lm_rc recovery_run(int root_fd, int generations_fd, struct store_state *ret, struct damage *damage,
	struct lm_err *err);
/// Everything that follows an outcome in place: adopts or drops what was fetched, sets the links
/// and `state` with them, ends the journal. May be done any number of times.
lm_rc recovery_carry_through(
	int root_fd, int generations_fd, unsigned n, struct store_state *state, struct lm_err *err);
