// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Log lines on their way to CloudWatch Logs: kept in a spool (`<stateDirectory>/cloudwatch`), and
/// shipped from there by workers (task `ship-logs`), as lightermand holds no AWS credentials.
///
/// Lines wait for others to go with them, so that a worker is not started for each; if they do not
/// wait for long, a worker ships one batch after the other, with the same credentials. One worker
/// at a time, and none while another task runs: log_shipper_pause kills it, at worst a batch
/// is shipped twice. Failures are retried with growing pauses, and only the first of a series
/// is logged. Lines about shipping itself are not shipped, but for how many were lost: that would
/// never finish. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/host_file.h"
#include "sys/loop.h"

struct log_shipper;

/// Takes the lines that log_router.h has for it. `host` is borrowed. Nothing is kept before a group
/// has a logger for CloudWatch Logs, and nothing shipped before log_shipper_resume.
struct log_shipper *log_shipper_create(struct loop *loop, const struct host_settings *host);
/// What waits stays in the spool.
void log_shipper_destroy(struct log_shipper *s);
LM_DEFINE_CLEANUP(struct log_shipper, log_shipper_destroy)

/// Somebody else is about to start a worker: when it returns, none of ours runs, until
/// log_shipper_resume.
void log_shipper_pause(struct log_shipper *s);
void log_shipper_resume(struct log_shipper *s);
/// The same, beside a task that waits, and may for long: that has the lock of the workers.
void log_shipper_resume_beside(struct log_shipper *s);
