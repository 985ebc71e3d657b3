// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Starts a worker on this host: with what the host file says, with the device's identity for AWS
/// opened for it, and with the lock, which then tells who has it.

#include "base/error.h"
#include "config/host_file.h"
#include "daemon/job.h"
#include "sys/loop.h"

#include <stdbool.h>

/// All is borrowed for the call; descriptors stay the caller's.
struct start {
	const char *program;
	const struct process_user *user;
	const json_t *document;
	int compose_fd, lock_fd, previous_fd;
	bool needs_aws;
};

/// On a failure `*ret` may be a job all the same, to be destroyed. As job_start.
lm_rc start_worker(struct loop *loop, const struct host_settings *host, const struct start *start,
	const struct job_events *events, struct job **ret, struct lm_err *err);
