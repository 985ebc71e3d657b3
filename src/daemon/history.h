// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The generations that are kept, for `lighterman history`, and which of them the application can
/// be rolled back to. Reads the store only. From the loop's thread.

#include "base/error.h"
#include "daemon/status.h"
#include "sys/json.h"

/// docs/formats.md, `history`: newest first; a new reference. What cannot be read of a generation
/// is null. LM_E_SYS: the store cannot be read.
lm_rc history_to_json(const struct status *s, json_t **ret, struct lm_err *err);

/// Whether the application can be rolled back to generation `n`. LM_E_NOT_FOUND: there is none of
/// that number. LM_E_INVALID: it was never deployed successfully, or not all of it is there any
/// more. The message has the generations that can be had instead.
lm_rc history_check(struct store *store, unsigned n, struct lm_err *err);
