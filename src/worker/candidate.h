// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A compose file on disk for docker-compose to read while it is not the local copy: what a
/// deployment or a plan resolves, and what a `down` falls back to. It stands beside the local copy,
/// so that docker-compose finds there what the file refers to; only its owner can read it (0600),
/// its name is random, so that no link or file planted there can take it, and it is removed when it
/// is finished. Candidates of killed tasks are removed by the next task.

#include "worker/context.h"

struct candidate {
	int directory_fd; ///< A descriptor of its own.
	int fd;           ///< Locked while in use. -1: there is none.
	char *path;       ///< Absolute.
};

#define CANDIDATE_NONE ((struct candidate){.directory_fd = -1, .fd = -1})
#define lm_auto_candidate lm_auto(candidate_finish)

/// Writes `text`, byte for byte, into a file in the open directory, whose path is `directory`.
/// LM_E_SYS, LM_E_DENIED; then no file is left.
lm_rc candidate_create(int directory_fd, const char *directory, struct lm_str text,
	struct candidate *ret, struct lm_err *err);
/// Removes it. Does nothing without one.
void candidate_finish(struct candidate *c);

/// Creates one where docker-compose can read it: in `dir`, or if that cannot be (no destination, a
/// full disk) in the task's directory in memory.
lm_rc candidate_write(const struct context *cx, const struct project_directory *dir,
	struct lm_str text, struct candidate *ret, struct lm_err *err);
/// For texts that may hold resolved secrets: in memory only.
lm_rc candidate_write_secret(
	const struct context *cx, struct lm_str text, struct candidate *ret, struct lm_err *err);
/// How docker-compose is run in `dir` with a candidate. Borrows all.
struct compose_project candidate_compose_job(const struct context *cx,
	const struct project_directory *dir, char *const *env, const struct candidate *candidate);
