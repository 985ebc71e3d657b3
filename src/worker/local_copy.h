// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The local copy of the compose file, <DockerComposeFileDestinationPath>/docker-compose.yml. Other
/// users may be able to write to that directory, so nothing at that name is trusted: no link is
/// followed, in either direction.

#include "base/buf.h"
#include "base/error.h"

#define LOCAL_COPY_NAME "docker-compose.yml"

/// `directory_fd` is the open directory; its path is for messages.
///
/// Appends the copy to `out`, whose ceiling counts. LM_E_NOT_FOUND: there is none. LM_E_DENIED.
/// LM_E_INVALID: a link, or not a regular file. LM_E_TOO_LARGE, LM_E_SYS.
lm_rc local_copy_read(
	int directory_fd, const char *directory, struct lm_buf *out, struct lm_err *err);
/// Replaces the copy atomically, mode 0600; a link of that name is replaced, not followed.
/// LM_E_DENIED, LM_E_SYS.
lm_rc local_copy_place(
	int directory_fd, const char *directory, struct lm_str text, struct lm_err *err);
