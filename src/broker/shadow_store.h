// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The shadows on disk: a SQLite database (WAL, synchronous=FULL) that this process has for itself.
/// Changes are made in one transaction after another; what was committed survives a kill and a
/// power cut.
///
/// A version never goes back: a deleted shadow keeps it for good, and a database that takes the
/// place of a damaged one counts on from the time of day in seconds, which no shadow has reached.
/// Not for several threads.

#include "base/cleanup.h"
#include "base/error.h"
#include "broker/background.h"
#include "devices/shadow_document.h"

#include <stdbool.h>
#include <stdint.h>

struct shadow_store;

/// What is known of a thing's shadow in the cloud: as it was when it and ours were last the same.
/// Zeroed: they never were.
struct shadow_sync {
	uint64_t cloud_version; ///< Of the cloud's shadow then.
	uint64_t local_version; ///< Of ours then: if it is another one now, the cloud does not know
				///< all of ours.
	json_t *state; ///< {"desired":…,"reported":…}, as both had it; NULL: it was deleted on both
		       ///< sides.
	bool is_sent; ///< Since then the cloud was asked for `sent`, and has not replied.
	json_t *sent; ///< As `state`; NULL: for a deletion, or nothing was.
};

void shadow_sync_finish(struct shadow_sync *sync);

/// Opens the database, or makes it (0600; its directory must exist). A damaged one is set aside as
/// `path`.damaged, over an earlier one, and replaced by an empty one; `damage` then says so, and is
/// untouched otherwise. LM_E_CONFLICT: a later version of Lighterman wrote it, or another process
/// has it. LM_E_SYS, LM_E_DENIED.
lm_rc shadow_store_open(
	const char *path, struct shadow_store **ret, struct lm_err *damage, struct lm_err *err);
/// What was not committed is dropped.
void shadow_store_close(struct shadow_store *s);
LM_DEFINE_CLEANUP(struct shadow_store, shadow_store_close)

/// Whether an operation failed because the database is damaged: it should be closed and opened
/// again.
bool shadow_store_is_damaged(const struct shadow_store *s);

/// Begins a transaction. What follows sees what it wrote itself.
lm_rc shadow_store_begin(struct shadow_store *s, struct lm_err *err);
/// LM_OK: all that was put since the begin is on disk. Otherwise none of it will be read any more.
lm_rc shadow_store_commit(struct shadow_store *s, struct lm_err *err);
void shadow_store_rollback(struct shadow_store *s);

/// Commits on another thread: until shadow_store_finish_commit nothing else may be called but
/// shadow_store_commit_is_done and shadow_store_close. `wake` is called from that thread when it is
/// done, again and again until that is noticed.
void shadow_store_start_commit(struct shadow_store *s, background_function *wake, void *wake_ctx);
bool shadow_store_commit_is_done(struct shadow_store *s);
/// Waits for it. The result is shadow_store_commit's.
lm_rc shadow_store_finish_commit(struct shadow_store *s, struct lm_err *err);

/// The document of a thing, with `exists` false if there is none. The caller finishes it.
/// LM_E_INVALID: what is stored of this thing cannot be read; `*ret` is set as if it was deleted,
/// with its version.
lm_rc shadow_store_get(
	struct shadow_store *s, const char *thing, struct shadow_document *ret, struct lm_err *err);
lm_rc shadow_store_put(struct shadow_store *s, const char *thing, const struct shadow_document *d,
	struct lm_err *err);
/// Zeroed if there is none, or if it cannot be read. The caller finishes it.
lm_rc shadow_store_get_sync(
	struct shadow_store *s, const char *thing, struct shadow_sync *ret, struct lm_err *err);
lm_rc shadow_store_put_sync(struct shadow_store *s, const char *thing,
	const struct shadow_sync *sync, struct lm_err *err);
