// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Understands the progress documents of one POST /images/create. Pure: no I/O, no clock.

#include "base/error.h"
#include "base/str.h"
#include "docker/json_stream.h"

#include <stdbool.h>
#include <stdint.h>

struct pull_layer;

struct pull_stream {
	struct json_stream json;
	struct pull_layer *layers;
	size_t layers_n;
	uint64_t moves; ///< Grows with each sign of progress; "Retrying" and "Waiting" are none.
	uint64_t bytes_done;   ///< Downloaded, over all layers.
	uint64_t bytes_total;  ///< Of the layers whose size is known by now.
	uint64_t silent_bytes; ///< That the engine may receive now without a report.
	char status[64];       ///< "Downloading", "Extracting", …
	char digest[128];      ///< From "Digest: …", else "".
	bool finished;         ///< The closing "Digest:" or "Status:" has been seen.
};

void pull_stream_init(struct pull_stream *s);
void pull_stream_finish(struct pull_stream *s);
/// Takes the next piece of the body. An `error` document is LM_E_DENIED, LM_E_NETWORK or
/// LM_E_REFUSED (engine_error_class) with the engine's words; also as json_stream_feed.
lm_rc pull_stream_feed(struct pull_stream *s, struct lm_str piece, struct lm_err *err);
/// At the end of the body. LM_E_NETWORK: it ended before the pull did.
lm_rc pull_stream_end(const struct pull_stream *s, struct lm_err *err);
