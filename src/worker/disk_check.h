// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The stage `admit`: whether there is disk space for a deployment, and whether its images can be
/// had.

#include "worker/context.h"

#include <stdint.h>
#include <sys/statvfs.h>

lm_rc disk_check_deployment(struct context *cx, enum deploy_pull mode, struct lm_err *err);

/// Where the engine keeps its images (the caller frees), and that file system. `*ret_seen` is false
/// if it cannot be seen from here: the engine is in a container, or we may not enter the directory;
/// errno says which.
lm_rc disk_check_engine(const struct context *cx, char **ret_directory, struct statvfs *ret,
	bool *ret_seen, struct lm_err *err);
