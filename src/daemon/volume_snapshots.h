// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Snapshots of the application's named volumes (Policy.SnapshotVolumes): measured before a
/// deployment changes anything, and once more before it stops what runs; made once that has
/// stopped; and put back when the generation starts again that has left them (docs/life.md,
/// "Data"). Tasks of lighterman-worker that run as root do it, one after the other.
///
/// From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "deploy/store.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct volume_snapshots;

/// All is borrowed and outlives it. Removes what an earlier run has left.
struct volume_snapshots *volume_snapshots_create(
	struct loop *loop, const struct host_settings *host, struct store *store);
/// A worker that still runs is killed. Takes NULL.
void volume_snapshots_destroy(struct volume_snapshots *v);
LM_DEFINE_CLEANUP(struct volume_snapshots, volume_snapshots_destroy)

/// What a definition asks for. All zero: nothing.
struct volume_policy {
	bool snapshots;
	unsigned max_mb;     ///< To be copied byte by byte at most.
	unsigned reserve_mb; ///< To stay free.
};

struct volume_policy volume_policy_of(const struct group *group);

/// What a deployment has to do with volumes.
struct volume_plan {
	/// The generation whose volumes are copied first; 0: none's, by the policy, or as there is
	/// none to go back to, or its snapshot is there already.
	unsigned subject;
	bool restores; ///< Volumes are put back before it starts, so that nothing may run before.
};

/// For generation `n` (0: one that is none yet), after which `back` (0: none) is to be gone back
/// to. LM_E_CONFLICT: the record of a restore is damaged; nothing may start.
lm_rc volume_snapshots_plan(const struct volume_snapshots *v, const struct volume_policy *policy,
	unsigned n, unsigned back, struct volume_plan *ret, struct lm_err *err);

/// How a request has ended. Borrowed for the call.
struct volume_result {
	const struct lm_err *why;    ///< NULL: it went well. LM_E_CANCELLED.
	const char *space_directory; ///< It was refused for lack of space there; NULL: it was not.
	uint64_t bytes; ///< So many have to be free there; or, without that, so many are to be
			///< copied.
};
typedef void volume_snapshots_done(void *ctx, const struct volume_result *result);

/// Whether a snapshot of the volumes that `subject` uses fits.
void volume_snapshots_measure(struct volume_snapshots *v, unsigned subject,
	const struct volume_policy *policy, volume_snapshots_done *done, void *ctx);
/// Makes it. No container may run.
void volume_snapshots_copy(struct volume_snapshots *v, unsigned subject,
	const struct volume_policy *policy, volume_snapshots_done *done, void *ctx);
/// Generation `n` is about to start, and no container runs if there is something to do: what was
/// copied is what to go back to from now on, and `n` gets its volumes back if there is a snapshot
/// of them. False: there is nothing to do.
bool volume_snapshots_start(
	struct volume_snapshots *v, unsigned n, volume_snapshots_done *done, void *ctx);
/// The deployment is over: a copy that it has made and not started with is out of date.
void volume_snapshots_end(struct volume_snapshots *v);
/// What was asked for ends soon, with `done`.
void volume_snapshots_cancel(struct volume_snapshots *v, const void *ctx);
/// `done` is not called any more; what is under way is stopped.
void volume_snapshots_forget(struct volume_snapshots *v, const void *ctx);
/// What is current or last good may have changed: drops the snapshots of generations that are
/// neither.
void volume_snapshots_tidy(struct volume_snapshots *v);
