// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is wanted, on disk: a symbolic link `wanted` that leads nowhere and whose text says it, as
/// "up 4", "up 4 touched else down 3" or "down 3". A link of so few bytes needs no block of its
/// own, so that it can be replaced on a disk that is full. Used by the store only.

#include "base/error.h"
#include "deploy/lifecycle.h"

struct wanted {
	struct lifecycle_wish wanted;
	struct lifecycle_wish before; ///< WANTED_NOTHING: it is left out.
	bool touched;                 ///< As in struct lifecycle.
};

/// Reads the link. WANTED_NOTHING if there is none, or none that can be understood.
lm_rc wanted_read(int dir_fd, struct wanted *ret, struct lm_err *err);
/// Replaces it and syncs.
lm_rc wanted_write(int dir_fd, const struct wanted *wanted, struct lm_err *err);
