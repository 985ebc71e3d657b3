// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The connector log as events for CloudWatch Logs, and where they go there. Pure.

#include "aws/cloudwatch_logs.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"

#include <stddef.h>
#include <stdint.h>

/// One event a line, as it is, with the time that stands in it; a line without one has that of the
/// line before (the first: `fallback_ms`), and so has one that is a little earlier, as CloudWatch
/// Logs keeps events by time and the order of the lines counts. `*ret` is the caller's to free, its
/// messages are borrowed from `text`. Returns how many there are.
size_t log_text_split(struct lm_str text, int64_t fallback_ms, struct log_event **ret);
/// How many events, from the first on, are of the first one's day (UTC), and so of one stream.
size_t log_text_one_day(const struct log_event *events, size_t n);

/// "/aws/greengrass/Lambda/<region>/aws/DockerApplicationDeployment". The caller frees.
char *log_group_name(const char *region);
/// "<YYYY/MM/DD>/aws/lighterman/<core>", with '_' for what no stream's name may have. The caller
/// frees.
char *log_stream_name(int64_t time_ms, const char *core);
/// The core's thing: the host's, else the group's, else `machine`. The caller frees.
char *log_core_name(
	const struct host_settings *host, const struct group *group, const char *machine);
