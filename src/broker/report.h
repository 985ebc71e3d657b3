// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The plugin's lines in the broker's log. What clients can cause comes at most REPORT_MINUTE_MAX
/// times a minute, then as a number.

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { REPORT_MINUTE_MAX = 30 };

struct report {
	uint64_t minute_end_ms; ///< Of the monotonic clock.
	unsigned lines, held;
};

/// Always.
void report_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/// What a client caused; `who` and `what` (empty: none) are texts of its own.
void report_refusal(
	struct report *r, const char *kind, struct lm_str who, struct lm_str what, const char *why);
/// Once in a while: the number of what was held back.
void report_tick(struct report *r, uint64_t now_mono_ms);
