// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `lighterman doctor` found: {"check","ok","warning","message","mend"} for each check,
/// printed as it comes (not with --json), kept, and counted.

#include "base/buf.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "sys/json.h"

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM, DOCTOR_SKIPPED };

struct doctor_report {
	const struct call *call;
	struct terminal_style style;
	const char *check; ///< The check that runs: the name on the lines that are added. Borrowed.
	json_t *checks;    ///< Array.
	size_t problems, warnings;
};

void doctor_report_init(struct doctor_report *r, const struct call *call);
void doctor_report_finish(struct doctor_report *r);

/// Add a line of the check that runs. `fix` may be NULL.
void doctor_report_ok(struct doctor_report *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void doctor_report_skip(struct doctor_report *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void doctor_report_warning(struct doctor_report *r, const char *message, const char *fix);
void doctor_report_problem(struct doctor_report *r, const char *message, const char *fix);
/// Adds a line of a worker. Borrowed.
void doctor_report_add(struct doctor_report *r, const json_t *check);
/// Prints the last line, or the document.
void doctor_report_end(const struct doctor_report *r);

/// Renders a check: a line, and one more for what to do. Pure. `is_more`: the line above is of the
/// same check. On a terminal that moves, long sentences are broken at its width.
void doctor_render(
	struct lm_buf *out, const struct terminal_style *style, const json_t *check, bool is_more);
/// Renders the last line: "no problems found, 2 warnings\n". Pure.
void doctor_render_sum(struct lm_buf *out, size_t problems, size_t warnings);
