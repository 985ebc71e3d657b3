// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One file copied with everything that it has: content (shared with the original where the file
/// system can, else with its holes), owner, mode, times, extended attributes and ACLs, and that it
/// is not copied on write (btrfs). A FIFO, a
/// socket, a device and a link too. The name is never followed where it is a link.
///
/// Knows nothing of folders: those are in sys/tree.h. Never syncs, never logs.

#include "base/error.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/// What copies have in common. All is borrowed.
struct file_copier {
	struct wait_limit limit; ///< Asked between two pieces of a file.
	uint64_t bytes_max;      ///< So many bytes at most are copied one by one.
	/// Gets a sentence for what could not be kept, and does not matter for the content.
	void (*warn)(void *ctx, const char *text);
	void *ctx;

	uint64_t bytes;    ///< Copied one by one, until now.
	uint64_t shared;   ///< Bytes that both share.
	uint64_t warnings; ///< Of `warn`, with those that it did not get any more.
};

/// Opens what is in `dir_fd` at that path: not through a link, not out of the folder, and not into
/// what is mounted there (EXDEV); with O_NOATIME where we may. -1 and errno.
int file_open_beneath(int dir_fd, const char *path, int flags);
/// Copies `name` of the folder `from_fd`, which is no folder, under the same name, which must be
/// free, into `to_fd`. `st` is what it is known to be, `shown` its name in messages.
/// LM_E_CANCELLED. LM_E_TOO_LARGE: over `bytes_max`. LM_E_CONFLICT: it has changed meanwhile.
/// LM_E_SYS: ENOSPC or another error. Then a part of it may be there.
lm_rc file_copy(struct file_copier *c, int from_fd, int to_fd, const char *name,
	const struct stat *st, const char *shown, struct lm_err *err);
/// Gives `to_fd` the owner, mode, attributes and times of `from_fd`; both may be of O_PATH.
lm_rc file_copy_attributes(
	struct file_copier *c, int from_fd, int to_fd, const char *shown, struct lm_err *err);

/// Whether a copy shares its content with the original.
enum file_sharing {
	FILE_SHARES,
	FILE_SHARES_NOT,   ///< This one does not.
	FILE_SHARES_NEVER, ///< None does: the file systems do not have that, or are two.
};

/// A file without a name in that folder, where copies would be, for file_try_sharing. -1: none can
/// be made there.
int file_sharing_begin(int dir_fd);
/// Tries it with the regular file `name` in `from_fd`, which is `st`, and the file `fd`.
enum file_sharing file_try_sharing(int from_fd, const char *name, const struct stat *st, int fd);
