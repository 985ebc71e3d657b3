// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The local copy of the compose file, <DockerComposeFileDestinationPath>/docker-compose.yml. Other
/// users may be able to write to that directory, so nothing at that name is trusted blindly: no
/// link is followed, in either direction, and what is read must be ours or root's.

#include "base/buf.h"
#include "base/error.h"

#define LOCAL_COPY_NAME "docker-compose.yml"

/// `directory_fd` is the open directory; its path is for messages.
///
/// Appends the copy to `out`, whose ceiling counts. LM_E_NOT_FOUND: there is none. LM_E_DENIED.
/// LM_E_INVALID: a link, not a regular file, or somebody else's to write. LM_E_TOO_LARGE, LM_E_SYS.
lm_rc local_copy_read(
	int directory_fd, const char *directory, struct lm_buf *out, struct lm_err *err);
/// Whether local_copy_place will find the name free, or something that it can replace.
/// LM_E_CONFLICT: a directory, or somebody else's file in a directory where only they may remove
/// it.
lm_rc local_copy_check(int directory_fd, const char *directory, struct lm_err *err);
/// Replaces the copy atomically, mode 0600; a link of that name is replaced, not followed.
/// LM_E_DENIED, LM_E_SYS.
lm_rc local_copy_place(
	int directory_fd, const char *directory, struct lm_str text, struct lm_err *err);
