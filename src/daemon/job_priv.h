// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside a job: job.c starts and ends the worker, job_said.c goes by what it says.

#include "base/buf.h"
#include "daemon/job.h"
#include "daemon/job_line.h"
#include "daemon/lines.h"
#include "deploy/stages.h"

/// Waits for a worker in parts, and only those count in which our loop turned: while it stood
/// still (a slow disk, a stopped or frozen process) the worker may have stood still, too, or has
/// spoken and was not heard yet.
struct patience {
	struct loop_timer *timer;
	unsigned parts_left;
};

enum stage_state { STAGE_AHEAD, STAGE_BEGUN, STAGE_ENDED };

struct job {
	struct loop *loop;
	struct job_events events;
	pid_t pid;
	bool reaped;
	bool cancelled;           ///< By job_cancel.
	bool idle;                ///< It waits for job_order.
	bool is_hardened;         ///< It said so, and was handed all the rest.
	struct handover handover; ///< Until then; our own copies.
	int wait_status;
	int in_fd, out_fd, err_fd; ///< Our ends of its socket and its pipes; -1: closed.
	struct loop_fd *in_watch, *out_watch, *err_watch;
	struct loop_child *child;
	struct patience silence, grace;
	unsigned silence_ms;
	enum stage_state stages[DEPLOY_STAGES]; ///< Each begins once, and ends once.
	unsigned images;                        ///< Lines of images.
	struct lm_buf to_worker;
	struct lines out, err;
	char stage[32];      ///< The last one begun, "" before the first.
	struct lm_err fault; ///< Why we ended it, if we did; rc is LM_OK otherwise.
	json_t *result;      ///< Its last line; NULL until it came.
	bool ending;         ///< Inside finish: the end is told once.
};

// job.c
/// Ends the worker and all that it started. What becomes of the job is told once it was reaped.
void job_kill_worker(struct job *job, const struct lm_err *why);
/// Writes what waits in `to_worker`, as far as it goes.
void job_write_more(struct job *job);
/// It has spoken: its silence is counted anew.
void job_note_life(struct job *job);

// job_said.c
/// A line of its stdout; `ctx` is the job.
void job_take_line(void *ctx, struct lm_str text);
