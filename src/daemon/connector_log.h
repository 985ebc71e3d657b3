// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The connector log: <root>/ggc/var/log/user/<region>/aws/DockerApplicationDeployment.log, as
/// Greengrass V1 kept it, readable by root (the user that runs lightermand) only.
///
/// `Space` bounds the whole set of files: the log, and the older parts that it was rotated into
/// (the same name with .1, .2, … behind it). A line is in exactly one of them, whole, also if the
/// program is killed in the middle of a rotation. A write that fails (disk full) is counted, and
/// the next line that can be written is preceded by one with the number lost. Never logs by itself.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

struct connector_log;

enum { CONNECTOR_LOG_SPACE_KB = 128 }; ///< Greengrass's default.

/// Opens the log, creating directories (0700) and file (0600) where they are missing.
/// LM_E_DENIED, LM_E_INVALID (it is not a regular file; a link is not followed),
/// LM_E_SYS.
lm_rc connector_log_open(const char *root, const char *region, unsigned space_kb,
	struct connector_log **ret, struct lm_err *err);
void connector_log_close(struct connector_log *log);
LM_DEFINE_CLEANUP(struct connector_log, connector_log_close)

/// Changes the bound; parts that exceed it are removed at once.
void connector_log_set_space(struct connector_log *log, unsigned space_kb);
/// Appends finished lines, each with its line end and of at most LIMIT_LOG_LINE bytes.
void connector_log_write(struct connector_log *log, struct lm_str lines);
/// Appends the last `lines` lines, as far as they are among the newest LIMIT_LOG_TAIL bytes.
/// LM_E_SYS.
lm_rc connector_log_tail(
	const struct connector_log *log, unsigned lines, struct lm_buf *out, struct lm_err *err);
