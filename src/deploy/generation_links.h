// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The links `current` and `last-good` of the store, "generations/<n>". Used by the store only.

#include "base/error.h"

#include <stdbool.h>

#define LINK_CURRENT "current"
#define LINK_LAST_GOOD "last-good"

/// The number in the link; 0: there is no link, or, with `*ret_damaged`, none that names a
/// generation. LM_E_SYS.
lm_rc generation_link_read(
	int root_fd, const char *name, unsigned *ret_n, bool *ret_damaged, struct lm_err *err);
/// Replaces it and syncs.
lm_rc generation_link_set(int root_fd, const char *name, unsigned n, struct lm_err *err);
