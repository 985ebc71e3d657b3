// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by connector_log.c (opening and writing) and connector_log_parts.c (the set of files and
/// its bound).
///
/// The set: NAME, which is written to, and its older parts NAME.1 (younger) to NAME.3 (older). A
/// part may be missing. Only renaming and removing make one file out of another, so a kill between
/// two calls leaves a gap in the numbers, and never a line twice; the next rotation fills it.

#include "base/str.h"
#include "daemon/connector_log.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CONNECTOR_LOG_PARTS = 3 };

struct connector_log {
	char *path;
	const char *name; ///< Behind the last '/' of `path`.
	uint64_t space;   ///< Bytes.
	int dir_fd;       ///< -1: as `fd`.
	int fd;           ///< -1: could not be opened; the next line tries again.
	dev_t dev;        ///< Of the file that is open.
	ino_t ino;
	uint64_t size;  ///< Of the file that is written to.
	uint64_t older; ///< Of the parts together, as last looked.
	uint64_t lost;  ///< Lines since the last one that could be written.
	int lost_errno; ///< Why the first of them was.
};

/// Opens the file that is written to, in `dir_fd`, and takes its size.
lm_rc connector_log_open_file(struct connector_log *log, struct lm_err *err);
/// Brings what an earlier run, a lower bound or somebody else left under the bound, at once. What
/// is too large by itself keeps its newest lines.
void connector_log_fit(struct connector_log *log);
/// How large the file that is written to becomes before it is rotated.
uint64_t connector_log_full_size(const struct connector_log *log);
/// Rotates if the file is full, and removes the oldest parts until `n` more bytes are under the
/// bound. False, with errno, if they cannot be.
bool connector_log_make_room(struct connector_log *log, size_t n);
