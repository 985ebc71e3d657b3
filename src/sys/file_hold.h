// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A file that a program keeps locked while it must not be interrupted: whether it is locked, and
/// our own lock on it, by which the program finds out that it is about to be interrupted.
///
/// Locks are those of flock(2) and of fcntl(2) (POSIX and OFD locks on any part of the file),
/// shared ones, too. The file may be another user's, and its folders as well: no link is followed
/// in any part of the path, nothing but a regular file without other names is opened, for reading
/// only, and nothing is written.
///
/// Blocks as long as the file system does (NFS, FUSE): not for the loop's thread. Never logs.

#include "base/error.h"

/// Locks the file `path` (absolute) against every other program. `*ret_fd` holds the lock until it
/// is closed, which is the caller's to do. LM_E_CONFLICT: it is locked. LM_E_NOT_FOUND: there is no
/// such file, so nothing locks it. LM_E_INVALID: it is something else than the above, or its file
/// system has no locks. LM_E_DENIED, LM_E_SYS.
lm_rc file_hold_take(const char *path, int *ret_fd, struct lm_err *err);
