// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The generations that nothing but a person deploys again, and why: those that the store has on
/// record, and one that the disk has refused until now. From the loop's thread; logs.

#include "base/cleanup.h"
#include "deploy/lifecycle.h"
#include "deploy/store.h"

#include <stdbool.h>

struct quarantine;

/// `store` is borrowed and outlives it.
struct quarantine *quarantine_create(struct store *store);
/// Takes NULL.
void quarantine_destroy(struct quarantine *q);
LM_DEFINE_CLEANUP(struct quarantine, quarantine_destroy)

/// Whether generation `n` (0: none) is quarantined. `*ret_reason` (the caller's) may be left out.
bool quarantine_has(struct quarantine *q, unsigned n, char **ret_reason);
/// The generation by which a definition is quarantined, perhaps one that was pruned since; 0: it is
/// not. `*ret_reason` (the caller's) may be left out.
unsigned quarantine_find(struct quarantine *q, struct lm_str definition, char **ret_reason);

/// From now on `n` is; quarantine_write puts that on disk. `failure`: why it failed; NULL: not
/// known. Does nothing if `n` is what the disk has refused until now.
void quarantine_add(
	struct quarantine *q, unsigned n, enum lifecycle_quarantine why, const char *failure);
/// One is not on disk yet.
bool quarantine_is_owed(const struct quarantine *q);
/// Puts that one on disk. It stays owed after an error.
lm_rc quarantine_write(struct quarantine *q, struct lm_err *err);
/// A person has `n` deployed again. If the disk refuses that, `n` stays quarantined after a restart
/// of the program, and the log says so.
void quarantine_lift(struct quarantine *q, unsigned n);
