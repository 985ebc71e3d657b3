// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The job `ship-logs`: sends the lines of a file to CloudWatch Logs, batch by batch, and reports
/// after each how far it is (docs/formats.md).

#include "deploy/stages.h"
#include "worker/job.h"
#include "worker/report.h"

/// Runs the job to its end; there is always an outcome. The first of the files has the log's lines,
/// whole ones, LIMIT_LOG_CHUNK bytes at most.
void ship_logs_run(const struct job *job, struct report *report, const struct handover *files,
	struct deploy_outcome *ret);
