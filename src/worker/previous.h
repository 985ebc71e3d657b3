// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The generation that runs while the next one is deployed: its compose file, as lightermand kept
/// it, and its destination, if that is another directory. There `down` finds what the old file
/// refers to; the old local copy goes once the new deployment is up.

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

#include <stdbool.h>

struct previous {
	const char *directory; ///< Its destination; NULL: not known. Borrowed.
	int directory_fd;      ///< -1: it is gone, or not ours (any more).
	bool moved;            ///< That is another directory than the new destination.
	struct lm_buf text;    ///< Its compose file; empty: there is none that serves.
};

#define PREVIOUS_NONE ((struct previous){.directory_fd = -1, .text = LM_BUF(LIMIT_COMPOSE_FILE)})

/// Opens its directory, which must be ours or root's; `destination_fd` is the new one, or -1.
/// LM_E_NOT_FOUND, LM_E_DENIED, LM_E_INVALID (somebody else's), LM_E_SYS: `moved` is set then, too.
lm_rc previous_open(
	struct previous *p, const char *directory, int destination_fd, struct lm_err *err);
/// Removes the local copy in a directory that was left, if it is the file that we put there:
/// ours, and with the text of the generation. `*ret_removed` is false if there was nothing to do.
lm_rc previous_remove_copy(const struct previous *p, bool *ret_removed, struct lm_err *err);
void previous_finish(struct previous *p);
