// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `ship-logs`: sends the lines of a file to CloudWatch Logs, batch by batch, and reports
/// after each how far it is (docs/formats.md).

#include "aws/cloudwatch_logs.h"
#include "deploy/handover.h"
#include "deploy/stages.h"
#include "worker/protocol.h"
#include "worker/task.h"

/// Runs the task; there is always an outcome. The first of the files has whole lines of the log,
/// LIMIT_LOG_CHUNK bytes at most.
void ship_logs_run(const struct task *task, struct protocol *protocol, const struct handover *files,
	struct deploy_outcome *ret);

/// The connector log as events for CloudWatch Logs: one event per line, with the line's own time. A
/// line without one gets that of the line before (the first: `fallback_ms`), and so does one that
/// is a little earlier, as CloudWatch Logs sorts events by time and the order of the lines counts.
/// `*ret` is the caller's to free, its messages are borrowed from `text`. Returns how many there
/// are.
size_t ship_logs_split(struct lm_str text, int64_t fallback_ms, struct log_event **ret);
/// How many events, from the first on, are of the first one's day (UTC), and so of one stream.
size_t ship_logs_one_day(const struct log_event *events, size_t n);

/// "/aws/greengrass/Lambda/<region>/aws/DockerApplicationDeployment". The caller frees.
char *ship_logs_group_name(const char *region);
/// "<YYYY/MM/DD>/aws/lighterman/<core>", with '_' for what no stream's name may have. The caller
/// frees.
char *ship_logs_stream_name(int64_t time_ms, const char *core);
/// The core's thing: the host's, else the group's, else `machine`. The caller frees.
char *ship_logs_core_name(
	const struct host_settings *host, const struct group *group, const char *machine);
