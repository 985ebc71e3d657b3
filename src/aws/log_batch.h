// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What CloudWatch Logs takes in one PutLogEvents (CloudWatch Logs API Reference: "PutLogEvents"),
/// as pure functions: at most 1 MiB of messages, each counted with 26 bytes more, at most 10,000
/// events, all within 24 hours, in the order of time, none of them empty, all of it UTF-8.

#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_EVENTS_MAX = 10000, LOG_EVENT_OVERHEAD = 26 };

struct log_event {
	int64_t time_ms; ///< Wall clock.
	struct lm_str message;
};

/// 1 to 512 of A-Z a-z 0-9 . - _ / #, not beginning with "aws/".
bool log_group_is_name(struct lm_str name);
/// 1 to 512 characters of UTF-8, without ':', '*' and control characters.
bool log_stream_is_name(struct lm_str name);

/// How many of the `n` events, from the first on, go into one batch: at least 1 if there is one.
/// Empty ones count as taken, but not for the limits.
size_t log_batch_fit(const struct log_event *events, size_t n);
/// The batch as "logEvents" has it: by time (events of the same time stay in their order), without
/// empty ones. A message that is larger than a batch is cut at its end and marked with "...";
/// bytes that are not UTF-8, and NUL, become '?'. The caller owns the array.
json_t *log_batch_build(const struct log_event *events, size_t n);
