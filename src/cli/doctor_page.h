// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Checks of `lighterman doctor` as text: {"check","ok","warning","message","mend"} in, a line for
/// people out, and one more for what to do. Pure.

#include "base/buf.h"
#include "cli/progress.h"
#include "sys/json.h"

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_WRONG, DOCTOR_SKIPPED };

/// What is no check is wrong.
enum doctor_verdict doctor_judge(const json_t *check);
/// Appends a check. `is_more`: the line above is of the same check. On a terminal that moves, long
/// sentences are broken at its width.
void doctor_page_add(
	struct lm_buf *out, const struct progress_style *style, const json_t *check, bool is_more);
/// "nothing is wrong, 2 warnings\n"
void doctor_page_sum(struct lm_buf *out, size_t wrong, size_t warnings);
