// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Cuts what comes from a non-blocking descriptor into lines.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

struct lines {
	int fd;
	struct lm_buf pending; ///< Its ceiling is that of a line.
	/// A line over the ceiling comes in pieces; otherwise it is LM_E_TOO_LARGE.
	bool in_pieces;
};

/// Called for each line, without its end.
typedef void lines_cb(void *ctx, struct lm_str line);

/// Reads what is there and hands over each complete line; at the end of the stream also one that
/// has no end. `*ret_end` tells that nothing will come any more. The callback must not finish
/// `lines`. LM_E_TOO_LARGE, LM_E_SYS.
lm_rc lines_read(struct lines *lines, lines_cb *cb, void *ctx, bool *ret_end, struct lm_err *err);
/// Frees; the descriptor stays the caller's.
void lines_finish(struct lines *lines);
