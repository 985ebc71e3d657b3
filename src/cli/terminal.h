// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The terminal: what it can show, and the signals by which its user interrupts a command.

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

struct terminal_style {
	bool moving; ///< A terminal on which the cursor can be moved.
	bool colour;
	bool utf8;              ///< For the marks.
	unsigned columns, rows; ///< Used if `moving`.
};

/// Looks at the stream and at TERM, NO_COLOR and the locale.
struct terminal_style terminal_get_style(FILE *out);
/// Updates the size, which may change at any time.
void terminal_measure(FILE *out, struct terminal_style *style);

/// SIGINT, SIGTERM and SIGHUP as a descriptor, while a command waits for lightermand.
struct interrupt {
	int fd; ///< Readable once one of them has come.
	sigset_t before;
};

/// Those that are ignored (nohup) stay so.
lm_rc interrupt_init(struct interrupt *i, struct lm_err *err);
/// Drops what has come; signals act as before.
void interrupt_finish(struct interrupt *i);
