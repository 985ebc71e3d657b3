// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The last lines of a container's log, from what the engine answers or from the file of its
/// logging driver "json-file". Only the end is kept, so that a log of any length takes the same
/// memory.

#include "base/buf.h"
#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>

enum log_framing { LOG_UNDECIDED, LOG_FRAMES, LOG_RAW };

struct log_tail {
	struct lm_buf text; ///< The end of what came.
	enum log_framing framing;
	unsigned char head[8]; ///< Of the frame that begins.
	size_t head_n;
	uint32_t left; ///< Bytes of the frame that are still to come.
	/// Lines of a file are later than the one and not later than the other, by the time that
	/// they have there; 0: all of them.
	int64_t from_ms, until_ms;
};

void log_tail_init(struct log_tail *t);
void log_tail_finish(struct log_tail *t);

/// Takes a piece of what GET /containers/{id}/logs answers: frames of stdout and stderr, each
/// behind a head of eight bytes, or, of a container with a terminal, its output as it is.
/// LM_E_PROTOCOL: a frame has no head; what came before it stays.
lm_rc log_tail_feed(struct log_tail *t, struct lm_str piece, struct lm_err *err);

/// Takes lines of the file of the driver "json-file": `{"log":"…\n","stream":"stdout","time":"…"}`.
/// What is no such line is skipped.
void log_tail_feed_json(struct log_tail *t, struct lm_str lines);

/// Takes the end of a file of that driver. LM_E_NOT_FOUND: it is not there, or was rotated so
/// recently that it is empty; LM_E_DENIED, LM_E_SYS.
lm_rc log_tail_read_file(struct log_tail *t, const char *path, struct lm_err *err);

/// At most LIMIT_CRASH_LINES lines in LIMIT_CRASH_LOG bytes, oldest first: an array of texts, with
/// control characters and bytes that are not UTF-8 as \xNN; a new reference.
json_t *log_tail_lines(struct log_tail *t);
