// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A request on the control socket, from the pieces in which it comes to the JSON object that it
/// is. Pure: no I/O.

#include "base/buf.h"
#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>

/// Adds what a client sent to `in`, whose ceiling counts, up to the end of the line. What is behind
/// it belongs to no request and is left out. `*ret_complete`: `in` is the whole line.
/// LM_E_TOO_LARGE: the line is over the ceiling.
lm_rc control_request_add(
	struct lm_buf *in, struct lm_str piece, bool *ret_complete, struct lm_err *err);
/// Reads the line. LM_E_INVALID: it is no JSON object, or has more values than requests have.
/// `*ret` is the caller's.
lm_rc control_request_parse(struct lm_str line, json_t **ret, struct lm_err *err);
