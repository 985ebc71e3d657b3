// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Makes sense of the lines that docker-compose prints, of both generations. Both write their
/// normal progress to stderr, so the stream says nothing about the level; the words do. Pure.

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <stdbool.h>

/// Copies a line without ANSI escape sequences and control characters, trimmed. Clears `out` first.
void compose_line_clean(struct lm_str line, struct lm_buf *out);
enum lm_level compose_line_level(struct lm_str clean);

/// Collects why compose failed from its lines: what it called an error and the lines that go on
/// with it, each once; without any, its last line.
struct compose_reason {
	struct lm_buf text;
	struct lm_buf last;
	bool in_error;
	bool traceback;
};

void compose_reason_init(struct compose_reason *r);
void compose_reason_add(struct compose_reason *r, struct lm_str clean);
/// Never NULL; "" if it printed nothing. Borrowed.
const char *compose_reason_text(const struct compose_reason *r);
void compose_reason_finish(struct compose_reason *r);
/// LM_E_CONFLICT if something left by an earlier run, or a stranger's, is in the way (names,
/// networks, ports); LM_E_NETWORK if the daemon cannot be reached; else LM_E_REFUSED.
lm_rc compose_reason_class(const char *text);
