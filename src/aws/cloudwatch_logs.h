// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Log events to Amazon CloudWatch Logs, a batch at a time. A log group or stream that is not there
/// is created.
///
/// What it does not: keep events, or send what did not get through again; the caller does.

#include "aws/credentials_provider.h"
#include "aws/request.h"
#include "base/error.h"
#include "base/str.h"
#include "http/https.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_event {
	int64_t time_ms; ///< Wall clock.
	struct lm_str message;
};

struct cloudwatch_logs_request {
	const char *region, *group, *stream;
	const struct log_event *events;
	size_t events_n;
	int64_t clock_offset_ms; ///< What an earlier batch found out; 0: nothing.
	struct request_limits limits;
};

struct cloudwatch_logs_result {
	lm_rc rc;
	struct lm_err err; ///< If `rc` is not LM_OK.
	/// How many events, from the first on, this batch was made of (cloudwatch_logs_fit): what
	/// is behind them is for the next. Known at once.
	size_t taken;
	/// Of them, what the service got and does not keep, if `rc` is LM_OK: from more than 2
	/// hours ahead, from more than 14 days ago, from before the group's retention.
	size_t too_new, too_old, expired;
	bool created; ///< The stream was not there.
	/// As in struct s3_result: for the next batch, too. 0: no correction was needed.
	int64_t clock_offset_ms;
};

/// Starts sending the first events of a list as one batch; https_run carries it out, beside
/// whatever else was started. All is borrowed until https_run has returned; `ret` is filled by
/// then. A batch of nothing but empty messages succeeds, with nothing sent.
/// LM_E_INVALID: no name for a group or stream. Other errors as in request_start_call.
void cloudwatch_logs_start_put(struct https *https, const struct cloudwatch_logs_request *request,
	struct credentials_provider *credentials, struct cloudwatch_logs_result *ret);

/// 1 to 512 of A-Z a-z 0-9 . - _ / #, not beginning with "aws/".
bool cloudwatch_logs_is_group(struct lm_str name);
/// 1 to 512 characters of UTF-8, without ':', '*' and control characters.
bool cloudwatch_logs_is_stream(struct lm_str name);

/// How many of the `n` events, from the first on, go into one batch: at least 1 if there is one.
/// Empty ones count as taken, but not for the limits: 1 MiB of messages, each counted with 26 bytes
/// more, 10,000 events, all within 24 hours (CloudWatch Logs API Reference: "PutLogEvents").
size_t cloudwatch_logs_fit(const struct log_event *events, size_t n);
/// The batch as "logEvents" has it: by time (events of the same time stay in their order), without
/// empty ones. A message that is larger than a batch is cut at its end and marked with "...";
/// bytes that are not UTF-8, and NUL, become '?'. The caller owns the array.
json_t *cloudwatch_logs_build(const struct log_event *events, size_t n);
