// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The directories in which the engine keeps its own named volumes,
/// <DockerRootDir>/volumes/<name>/_data: opened by a worker that is root, and only if an engine
/// that is root, too, names them. No link is followed, and nothing that is mounted there is
/// entered.
///
/// Never logs.

#include "base/error.h"
#include "docker/engine.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

#define VOLUME_DATA "_data"

struct volume_folders {
	char *path; ///< <DockerRootDir>/volumes; owned.
	int fd;
};

/// LM_E_DENIED: this process, or the engine, is not root. LM_E_SYS, and those of engine.h.
lm_rc volume_folders_open(const struct engine *e, const struct wait_limit *limit,
	struct volume_folders *ret, struct lm_err *err);
void volume_folders_finish(struct volume_folders *f);
#define lm_auto_volume_folders lm_auto(volume_folders_finish)

/// Why a volume's content is not kept by the engine itself; NULL: it is.
const char *volume_folders_why_elsewhere(const struct engine_volume *volume);
/// Opens the folder of a volume, which has VOLUME_DATA in it. LM_E_CONFLICT: its name or its place
/// is none that the engine gives its volumes, or it is a link or a mount point.
lm_rc volume_folders_open_one(const struct volume_folders *f, const struct engine_volume *volume,
	int *ret_fd, struct lm_err *err);
/// Opens VOLUME_DATA in that folder. As above.
lm_rc volume_folders_open_data(const struct volume_folders *f, const char *name, int folder_fd,
	int *ret_fd, struct lm_err *err);
