// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A compose file on disk for docker-compose to read while it is not the local copy: what a
/// deployment or a plan resolves, and what a `down` falls back to. It stands beside the local copy,
/// so that docker-compose finds there what the file refers to; it is its owner's alone (0600), has
/// a name of its own that no link or file planted there can take, and is gone when it is finished.
/// What a killed task left is removed by the next.

#include "base/error.h"
#include "base/str.h"

struct candidate {
	int directory_fd; ///< A descriptor of its own.
	int fd;           ///< Locked as long as it is in use. -1: there is none.
	char *path;       ///< Absolute.
};

#define CANDIDATE_NONE ((struct candidate){.directory_fd = -1, .fd = -1})
#define lm_auto_candidate lm_auto(candidate_finish)

/// Writes `text`, byte for byte, into a file in the open directory, whose path is `directory`.
/// LM_E_SYS, LM_E_DENIED; then nothing is left.
lm_rc candidate_create(int directory_fd, const char *directory, struct lm_str text,
	struct candidate *ret, struct lm_err *err);
/// Removes it. Nothing happens without one.
void candidate_finish(struct candidate *c);
