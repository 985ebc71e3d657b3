// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Puts volumes back from a snapshot. What is in a volume and what takes its place change places by
/// renames in the volume's own folder, beside _data:
///
///     .lighterman-<id>-part   what takes its place, being copied (if the snapshot cannot be moved)
///     .lighterman-<id>-new    what takes its place, complete
///     .lighterman-<id>-old    what was there
///
/// with the <id> of <stateDirectory>/volumes/restore.json:
/// {"generation":N,"id":ID,"volumes":[NAME,…],"absent":[NAME,…],"done":BOOL,"dropped":BOOL,
/// "earlier":[{"id":ID,"volumes":[NAME,…]},…]}, the last for what could not be removed yet. Until
/// `done` is recorded nothing is deleted, and the names show how far each volume is: the restore
/// can be finished, or undone, whenever it was cut short. What takes the place of all of them is
/// complete before the first one is touched. Logs.

#include "base/error.h"
#include "worker/volume_copies.h"

/// Puts the volumes of the snapshot of generation `n` back, from wherever an earlier restore of it
/// was cut short, and drops the snapshot; another one under way is settled first. What was replaced
/// is removed by volume_restore_clean. No error if `n` has none. After a failure it is to be called
/// again before anything starts. LM_E_SYS with ENOSPC: copies do not fit; then volumes and snapshot
/// are as before.
lm_rc volume_restore_run(const struct volume_copies *v, unsigned n, struct lm_err *err);
/// Ends a restore that was cut short without its generation: what it has recorded as done is
/// finished, anything else is undone, so that snapshot and volumes are as before it.
lm_rc volume_restore_settle(const struct volume_copies *v, struct lm_err *err);
/// Removes what one that is done has replaced; leaves one that is not alone.
lm_rc volume_restore_clean(const struct volume_copies *v, struct lm_err *err);
