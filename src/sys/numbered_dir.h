// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A directory with one file an item, named after its number and a suffix
/// ("00000000000000000001.json"). Each file is put in place whole and synced: killed at any write,
/// an item is there or is not. Which items stay, and what is in them, is the caller's.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBERED_FILE_NAME_SIZE = 64 };

struct numbered_file {
	uint64_t number;
	unsigned suffix; ///< Index into `suffixes`.
};

struct numbered_dir {
	char *path; ///< Owned.
	int fd;
	const char *const *suffixes; ///< ".json"; ends with NULL; borrowed.
	uint64_t last;               ///< The highest number seen or put.
};

/// Opens the directory, creating it with mode 0700. LM_E_DENIED, LM_E_SYS, LM_E_INVALID (not a
/// directory): nothing is to be finished.
lm_rc numbered_dir_open(const char *path, const char *const *suffixes, struct numbered_dir *ret,
	struct lm_err *err);
/// Takes one that is all zero.
void numbered_dir_finish(struct numbered_dir *d);

/// Calls `each` for every entry, in any order; `file` is NULL for one that is not named as ours.
/// Files that were left half-written are removed instead. LM_E_SYS.
lm_rc numbered_dir_list(struct numbered_dir *d,
	void (*each)(void *ctx, const char *name, const struct numbered_file *file), void *ctx,
	struct lm_err *err);
/// No file to come gets this number, or a lower one.
void numbered_dir_reserve(struct numbered_dir *d, uint64_t number);

/// Returns `out`.
char *numbered_file_name(
	const struct numbered_dir *d, struct numbered_file file, char out[NUMBERED_FILE_NAME_SIZE]);
/// False if it is not the name of a file of ours.
bool numbered_file_parse_name(
	const struct numbered_dir *d, const char *name, struct numbered_file *ret);

/// As lm_file_replace, with mode 0600.
lm_rc numbered_dir_put(
	struct numbered_dir *d, struct numbered_file file, struct lm_str text, struct lm_err *err);
/// No error if it is not there. Not synced: after a power cut the file may be there again.
/// LM_E_SYS.
lm_rc numbered_dir_remove(struct numbered_dir *d, struct numbered_file file, struct lm_err *err);
