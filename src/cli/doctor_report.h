// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `lighterman doctor` found: {"check","ok","warning","message","mend"} for each check,
/// printed as it comes (not with --json), kept, and counted.

#include "base/buf.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "deploy/check.h"
#include "sys/json.h"

struct doctor_report {
	const struct call *call;
	struct terminal_style style;
	struct check_report found;
	json_t *checks; ///< Array: all that was found.
};

/// `r` may not move afterwards.
void doctor_report_init(struct doctor_report *r, const struct call *call);
void doctor_report_finish(struct doctor_report *r);

/// Prints the last line, or the document.
void doctor_report_end(const struct doctor_report *r);

/// Renders a check: a line, and one more for what to do. Pure. `is_more`: the line above is of the
/// same check. On a terminal that moves, long sentences are broken at its width.
void doctor_render(
	struct lm_buf *out, const struct terminal_style *style, const json_t *check, bool is_more);
/// Renders the last line: "no problems found, 2 warnings\n". Pure.
void doctor_render_sum(struct lm_buf *out, size_t problems, size_t warnings);
