// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Folders with all that they hold, whoever has put it there: measured, copied and removed
/// without following a link or entering what is mounted there, whatever the names are.
///
/// Never syncs, never logs. A folder is meant by a descriptor; `shown` is its name in messages.

#include "base/error.h"
#include "sys/file_copy.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

enum { TREE_DEPTH_MAX = 200 }; ///< Of what can be measured and copied.

/// Bytes are those on disk; a file with several names counts once.
struct tree_size {
	uint64_t content; ///< Of files whose content a copy does not share.
	uint64_t shared;  ///< Of those whose content it shares.
	uint64_t rest;    ///< Of folders and others.
	uint64_t entries; ///< Files, folders and others.
};

/// Adds up. `share_fd` is a folder that a copy would be in; -1: nothing is shared.
/// LM_E_TOO_LARGE: it is nested too deep. LM_E_CONFLICT: something is mounted in it.
/// LM_E_CANCELLED, LM_E_SYS.
lm_rc tree_measure(int dir_fd, const char *shown, int share_fd, const struct wait_limit *limit,
	struct tree_size *ret, struct lm_err *err);
/// Copies the content of `from_fd`, and its own attributes, into the empty folder `to_fd`. Files
/// with several names in the tree have them in the copy, too. As file_copy; LM_E_TOO_LARGE also:
/// it is nested too deep, or has too many files with several names; LM_E_CONFLICT also: something
/// is mounted in it.
lm_rc tree_copy(
	struct file_copier *c, int from_fd, int to_fd, const char *shown, struct lm_err *err);
/// Removes what the folder holds, however deep it is. What cannot be removed does not keep the rest
/// from that; the error is that of the first such file.
lm_rc tree_empty(int dir_fd, const char *shown, const struct wait_limit *limit, struct lm_err *err);
/// The same, and the folder `name` itself, in `parent_fd`. No error if there is none.
lm_rc tree_remove(
	int parent_fd, const char *name, const struct wait_limit *limit, struct lm_err *err);
