// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The named volumes of the application, and copies of them in the folder of the snapshots
/// (deploy/snapshots.h). Runs as root, while no container that mounts one of them runs. Puts
/// nothing back: that is worker/volume_restore.h. Logs.

#include "base/error.h"
#include "deploy/snapshots.h"
#include "docker/engine.h"
#include "sys/file_copy.h"
#include "sys/wait.h"
#include "worker/volume_folders.h"
#include "worker/volume_room.h"

#include <stdint.h>

/// All is borrowed.
struct volume_copies {
	const struct snapshots *snapshots;
	const struct volume_folders *folders;
	const struct engine *engine;
	const char *project;
	const struct wait_limit *limit;
	uint64_t bytes_max; ///< That may be copied one by one.
	uint64_t reserve;   ///< Bytes of the file system that are to stay free.
};

/// Whether a snapshot of the volumes of generation `n` can be made: LM_E_SYS with ENOSPC: it does
/// not fit (`ret->lacking`: until there is space); LM_E_CONFLICT: something is in the way;
/// LM_E_DENIED: as volume_folders_open. Nothing if `n` has one already.
lm_rc volume_copies_check(
	const struct volume_copies *v, unsigned n, struct volume_need *ret, struct lm_err *err);
/// Copies the volumes for a snapshot of generation `n`, unless it has one: then the volumes are not
/// as it has left them. It counts only after volume_copies_adopt. Nothing is changed in the
/// volumes.
lm_rc volume_copies_make(const struct volume_copies *v, unsigned n, struct lm_err *err);
/// Another generation is about to start: what was made for `n` is its snapshot from now on.
/// LM_E_CONFLICT: a container has used the volumes since.
lm_rc volume_copies_adopt(const struct volume_copies *v, unsigned n, struct lm_err *err);
/// Removes what is of no use, and what was made for a snapshot: no deployment may be under way.
lm_rc volume_copies_clean(const struct volume_copies *v, struct lm_err *err);

/// For volume_restore.
/// Bytes that are free again once that has been removed.
uint64_t volume_copies_measure_removable(
	const struct volume_copies *v, int parent_fd, const char *name);
struct file_copier volume_copies_copier(const struct volume_copies *v, uint64_t bytes_max);
lm_rc volume_copies_sync(
	const struct volume_copies *v, int fd, const char *shown, struct lm_err *err);
