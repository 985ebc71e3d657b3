// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The lines of a worker's stdout (docs/formats.md): read from a descriptor, and parsed.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

enum worker_verdict { WORKER_SUCCESS, WORKER_FAIL, WORKER_CANCELLED };

/// The result of a task. Texts are borrowed for the call; NULL where there is none.
struct worker_result {
	enum worker_verdict verdict;
	lm_rc rc;          ///< What failed.
	const char *stage; ///< The last one.
	const char *error; ///< "InvalidParameter", "InternalError".
	const char *message;
	const char *compose_version;
	const char *effect; ///< "untouched", …; NULL: unknown, as the worker died.
	/// It failed for lack of disk space there; NULL: it did not. So many bytes have to be free.
	const char *space_directory;
	uint64_t space_bytes;
};

enum worker_line_kind {
	WORKER_LINE_HARDENED,
	WORKER_LINE_STAGE,
	WORKER_LINE_IMAGE,
	WORKER_LINE_REMOVED,
	WORKER_LINE_COMPOSE,
	WORKER_LINE_COPY,
	WORKER_LINE_PLAN,
	WORKER_LINE_DEVICE, ///< {"device":{…}} or {"devices":{…}}: what a task about them has
			    ///< found.
	WORKER_LINE_VERIFY, ///< {"verify":{…}}: an image that is read, or what was found.
	WORKER_LINE_SHIPPED,
	WORKER_LINE_IDLE,
	WORKER_LINE_ALIVE,
	WORKER_LINE_RESULT,
};

struct worker_line {
	enum worker_line_kind kind;
	bool begins, ends;  ///< STAGE: its state is "begin"; "end" or "fail".
	const char *stage;  ///< STAGE.
	const char *first;  ///< IMAGE, VERIFY: reference; COMPOSE: stamp; COPY: SHA-256.
	const char *second; ///< IMAGE: digest; COMPOSE, COPY: version; VERIFY: state.
	const char *id;     ///< IMAGE, REMOVED.
	bool pulled;        ///< IMAGE: this task has brought it.
	uint64_t shipped;   ///< SHIPPED: bytes.
	uint64_t rejected;  ///< SHIPPED: lines.
};

/// Texts are borrowed from `*ret_line`, which is the caller's. LM_E_PROTOCOL: it is none of them.
lm_rc worker_protocol_parse(struct lm_str text, json_t **ret_line, struct worker_line *ret);
/// The content of a RESULT line; borrowed from it.
struct worker_result worker_protocol_result(const json_t *line);

/// Cuts what comes from a non-blocking descriptor into lines.
struct line_reader {
	int fd;
	struct lm_buf pending; ///< Its ceiling is that of a line.
	/// A line over the ceiling comes in pieces; otherwise it is LM_E_TOO_LARGE.
	bool in_pieces;
};

/// Called for each line, without its end.
typedef void line_reader_cb(void *ctx, struct lm_str line);

/// Reads what is there and hands over each complete line; at the end of the stream also one that
/// has no end. `*ret_end`: nothing will come any more. The callback must not finish
/// `lines`. LM_E_TOO_LARGE, LM_E_SYS.
lm_rc line_reader_read(struct line_reader *lines, line_reader_cb *cb, void *ctx, bool *ret_end,
	struct lm_err *err);
/// Frees; the descriptor stays the caller's.
void line_reader_finish(struct line_reader *lines);
