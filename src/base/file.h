// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Files read under a ceiling and replaced so that a reader, or a power cut, sees the old or the
/// new; and paths as text.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/// Reads a regular file into `out`, whose ceiling counts. Follows links.
/// LM_E_NOT_FOUND, LM_E_DENIED, LM_E_TOO_LARGE (the message names the ceiling), LM_E_INVALID (it is
/// not a regular file), LM_E_SYS.
lm_rc lm_file_read(const char *path, struct lm_buf *out, struct lm_err *err);
/// Opens a regular file of the directory `dir_fd` for reading, never through a link. The caller
/// closes. LM_E_NOT_FOUND, LM_E_INVALID (a link, or not a regular file), LM_E_DENIED, LM_E_SYS.
lm_rc lm_file_open_at(int dir_fd, const char *name, int *ret_fd, struct lm_err *err);
/// As lm_file_read, for an open descriptor; `name` is for messages. Reads to the end of file.
lm_rc lm_fd_read_all(int fd, const char *name, struct lm_buf *out, struct lm_err *err);
/// Writes all of it, through EINTR and short writes.
lm_rc lm_fd_write_all(int fd, const char *name, struct lm_str bytes, struct lm_err *err);

/// Replaces `name` in the directory `dir_fd` (AT_FDCWD works): writes a temporary file beside it
/// ("." + name + ".tmp"), syncs it, renames it, syncs the directory. A link of that name is
/// replaced, not followed. On failure the old file is as it was.
lm_rc lm_file_replace(
	int dir_fd, const char *name, struct lm_str bytes, mode_t mode, struct lm_err *err);
/// As lm_file_replace, for another owner: who that is has never been able to read another file than
/// the finished one. (uid_t)-1 and (gid_t)-1: who we are.
lm_rc lm_file_replace_for(int dir_fd, const char *name, struct lm_str bytes, mode_t mode, uid_t uid,
	gid_t gid, struct lm_err *err);
/// As lm_file_replace for a symbolic link with the text `target`.
lm_rc lm_link_replace(int dir_fd, const char *name, const char *target, struct lm_err *err);
/// Creates a directory and its missing parents with `mode` (the parents too) and syncs the parent
/// of each that was created. No error if it exists already. The umask applies.
/// LM_E_INVALID: the path is empty, or something else than a directory has that name.
lm_rc lm_dir_make(const char *path, mode_t mode, struct lm_err *err);
/// Opens a directory with that owner and mode for files that others must not have put there, and
/// makes it first if it is missing. Owner and mode of one that is ours already, or that owner's,
/// are set again. `uid` and `gid` as for lm_file_replace_for. No link is followed. LM_E_DENIED: it
/// is another user's.
lm_rc lm_dir_open_own(int parent_fd, const char *name, mode_t mode, uid_t uid, gid_t gid,
	int *ret_fd, struct lm_err *err);
/// Syncs a directory, so that names created or removed in it last.
lm_rc lm_dir_sync(int dir_fd, const char *name, struct lm_err *err);
/// Removes a file or a directory with all it holds, without following links; syncs `dir_fd`.
/// No error if nothing is there. LM_E_TOO_LARGE: directories more than 16 deep.
lm_rc lm_tree_remove(int dir_fd, const char *name, struct lm_err *err);

// Paths as text; these do not look at the disk.

/// `a` and `b` with exactly one '/' between them. The caller frees.
char *lm_path_join(const char *a, const char *b) __attribute__((returns_nonnull));
/// What stands behind the last '/'; borrowed.
const char *lm_path_base(const char *path);
bool lm_path_is_absolute(struct lm_str path);
