// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is wanted, on disk: a symbolic link `wanted` that leads nowhere and whose text is "up 4",
/// "up 4 touched else down 3", "down 3", "up 3 touched from 4" or "down 3 touched failed 4". A link
/// of so few bytes needs no block of its own, so that it can be replaced on a disk that is full.
/// Used by the store only.

#include "base/error.h"
#include "base/str.h"
#include "deploy/store.h"

#include <stdbool.h>

#define WANTED_NAME "wanted"
enum { WANTED_SIZE = 64 };

/// False if the text says nothing; `*ret` is then all zero. What follows the first target and
/// cannot be understood is left out.
bool wanted_parse(struct lm_str text, struct store_want *ret);
/// The text of the link. `want.wanted.state` is not WANTED_NOTHING.
void wanted_format(const struct store_want *wanted, char out[WANTED_SIZE]);

/// Reads the link. WANTED_NOTHING if there is none, or none that can be understood. LM_E_SYS.
lm_rc wanted_read(int dir_fd, struct store_want *ret, struct lm_err *err);
/// Replaces it and syncs; with WANTED_NOTHING removes it.
lm_rc wanted_write(int dir_fd, const struct store_want *wanted, struct lm_err *err);
