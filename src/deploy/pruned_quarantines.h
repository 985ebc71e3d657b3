// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The definitions that stay quarantined although the generation that had them was pruned, in the
/// store's file pruned-quarantines.json: {"<SHA-256 of the definition>":{"generation":N,"reason",
/// "at_ms"},…}. Of too many the one of the oldest generation is forgotten. Used by the store only
/// (deploy/store.h).

#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdint.h>

#define PRUNED_QUARANTINES "pruned-quarantines.json"
enum { PRUNED_QUARANTINES_MAX = 100 };

/// All of them; the caller's. "{}" if there are none, or what there is cannot be understood.
lm_rc pruned_quarantines_read(int root_fd, json_t **ret, struct lm_err *err);
/// Finds that of a definition. LM_E_NOT_FOUND: there is none. The caller frees the reason.
lm_rc pruned_quarantines_find(int root_fd, struct lm_str definition, unsigned *ret_n,
	char **ret_reason, struct lm_err *err);
/// Generation `n` is about to be pruned. Does nothing if the one that is here is of a newer one.
lm_rc pruned_quarantines_keep(int root_fd, struct lm_str definition, unsigned n, const char *reason,
	int64_t at_ms, struct lm_err *err);
/// The definition has another generation by now, up to number `n`, which is not quarantined.
lm_rc pruned_quarantines_forget(
	int root_fd, struct lm_str definition, unsigned n, struct lm_err *err);
