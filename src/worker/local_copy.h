// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The local copy of the compose file, <DockerComposeFileDestinationPath>/docker-compose.yml. Other
/// users may be able to write to that directory, so nothing of that name is trusted blindly: no
/// link is followed, in either direction, and a copy is read only if it is ours or root's.

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

#include <stdbool.h>

#define LOCAL_COPY_NAME "docker-compose.yml"

/// `directory_fd` is the open directory; its path is for messages.
///
/// Appends the copy to `out`, whose ceiling counts. LM_E_NOT_FOUND: there is none. LM_E_DENIED.
/// LM_E_INVALID: a link, not a regular file, or others can write to it. LM_E_TOO_LARGE, LM_E_SYS.
lm_rc local_copy_read(
	int directory_fd, const char *directory, struct lm_buf *out, struct lm_err *err);
/// Whether local_copy_place can take the name. LM_E_CONFLICT: it is a directory, or another user's
/// file in a directory where only that user may remove it.
lm_rc local_copy_check(int directory_fd, const char *directory, struct lm_err *err);
/// Replaces the copy atomically, mode 0600; a link of that name is replaced, not followed.
/// LM_E_DENIED, LM_E_SYS.
lm_rc local_copy_place(
	int directory_fd, const char *directory, struct lm_str text, struct lm_err *err);

/// The generation that runs while the next one is deployed: its compose file, as lightermand kept
/// it, and its destination, if that is another directory. There `down` finds what the old file
/// refers to; the old local copy is removed once the new deployment is up.
struct previous {
	const char *directory; ///< Its destination; NULL: unknown. Borrowed.
	int directory_fd;      ///< -1: it is gone, or not ours (any more).
	bool moved;            ///< That is another directory than the new destination.
	struct lm_buf text;    ///< Its compose file; empty: none can be used.
};

#define PREVIOUS_NONE ((struct previous){.directory_fd = -1, .text = LM_BUF(LIMIT_COMPOSE_FILE)})

/// Opens its directory, which must be ours or root's; `destination_fd` is the new one, or -1.
/// LM_E_NOT_FOUND, LM_E_DENIED, LM_E_INVALID (another user's), LM_E_SYS: `moved` is set then, too.
lm_rc previous_open(
	struct previous *p, const char *directory, int destination_fd, struct lm_err *err);
/// Removes the local copy in its directory, if we put that file there: it is ours, and has the text
/// of the generation. `*ret_removed` is false if there was nothing to do.
lm_rc previous_remove_copy(const struct previous *p, bool *ret_removed, struct lm_err *err);
void previous_finish(struct previous *p);
