// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Splits a stream of JSON objects (pull progress, events) at object boundaries. Line ends between
/// them mean nothing, and neither do the pieces in which the bytes arrive.

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

struct json_stream {
	struct lm_buf object; ///< What has come of the current object.
	unsigned depth;
	bool in_string;
	bool escaped;
};

void json_stream_init(struct json_stream *s);
void json_stream_finish(struct json_stream *s);
/// Calls `on_object` with the text of each object that became complete.
/// LM_E_PROTOCOL (something that is no object), LM_E_TOO_LARGE (over LIMIT_ENGINE_LINE), or what
/// on_object returned.
lm_rc json_stream_feed(struct json_stream *s, struct lm_str piece,
	lm_rc (*on_object)(void *ctx, struct lm_str object, struct lm_err *err), void *ctx,
	struct lm_err *err);
/// Whether the stream stands between two objects.
bool json_stream_at_boundary(const struct json_stream *s);
