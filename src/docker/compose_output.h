// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Classifies the lines that docker-compose prints, of both generations. Both write their normal
/// progress to stderr, so the level follows from the text, and where the text does not show it
/// (generation 1 marks nothing as long as stderr is no terminal), from the exit status. Pure.

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <stdbool.h>

/// Copies a line without ANSI escape sequences and control characters, trimmed. Clears `out` first.
void compose_line_clean(struct lm_str line, struct lm_buf *out);

enum compose_line_kind {
	COMPOSE_DETAIL,   ///< Of no use to a user: where Python failed, that `version` is
			  ///< obsolete.
	COMPOSE_PROGRESS, ///< What is being done.
	COMPOSE_WARNING,
	COMPOSE_ERROR,
	COMPOSE_UNDECIDED, ///< An error if docker-compose fails after it, else progress.
};

/// What a line is. `text` gets it without the frame of generation 2's logger (time="…" level=… …)
/// and is cleared first.
enum compose_line_kind compose_line_read(struct lm_str clean, struct lm_buf *text);

/// Removes the values that docker-compose quotes in known messages; values may span several lines.
/// compose_values.h finds others.
struct compose_quotes {
	bool runs_on;      ///< The next line starts inside a value ...
	const char *until; ///< ... which ends before this text; NULL: nowhere.
};

/// Copies a line without them. False: all of it belonged to a value. Clears `out` first.
bool compose_quotes_strip(struct compose_quotes *q, struct lm_str line, struct lm_buf *out);

/// The unset variable that a line reports; `n` 0: none. Borrowed.
struct lm_str compose_line_unset(struct lm_str line);

/// Copies a line of generation 1; if it rejects a key that docker-compose 2 supports, adds that.
/// Clears `out` first.
void compose_line_explain_key(struct lm_str line, const char *version, struct lm_buf *out);

/// Errors that belong together, of which the first is shown.
struct compose_errors {
	struct lm_buf text; ///< The first.
	struct lm_buf seen; ///< All of them, to recognise repeated ones.
	size_t n;
	bool listing; ///< Each line is an error of its own.
};

/// Collects why compose failed from its lines: the first error with the lines that go on with it,
/// and how many others there are.
struct compose_reason {
	struct compose_errors marked; ///< What compose itself marked as an error.
	struct compose_errors plain;  ///< Lines since the last that was none.
	struct lm_buf last;           ///< The last line that is not progress.
	struct lm_buf shown;
	bool in_error;
	bool traceback;
};

void compose_reason_init(struct compose_reason *r);
/// `text` is what compose_line_read made of a line, with its indentation.
void compose_reason_add(struct compose_reason *r, enum compose_line_kind kind, struct lm_str text);
/// Never NULL; "" if it printed nothing. Borrowed until the next call.
const char *compose_reason_text(struct compose_reason *r);
void compose_reason_finish(struct compose_reason *r);
/// LM_E_CONFLICT if something of an earlier run or of another application is in the way (names,
/// networks, ports); LM_E_NETWORK if the daemon cannot be reached; else LM_E_REFUSED.
lm_rc compose_reason_class(const char *text);
