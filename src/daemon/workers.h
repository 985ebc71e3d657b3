// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The workers that deploy, take down and plan: one at a time, none before the one of an earlier
/// lightermand is gone. From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/job.h"
#include "deploy/store.h"
#include "sys/loop.h"

struct workers;

/// All is borrowed and outlives it. Removes the logins of a worker that was killed together with an
/// earlier lightermand.
struct workers *workers_create(
	struct loop *loop, const struct host_settings *host, struct store *store);
/// Takes NULL.
void workers_destroy(struct workers *w);

/// Whether a worker may start now. Otherwise `may_start` is called once that is so; one that holds
/// the lock for longer than its grace is killed.
bool workers_may_start(struct workers *w, loop_cb *may_start, void *ctx);
/// `may_start` is not called any more.
void workers_forget(struct workers *w);

struct workers_task {
	const char *kind; ///< "deploy", "down", "plan".
	const struct group *group;
	int compose_fd;         ///< Stays the caller's; -1: none.
	const json_t *fallback; ///< As in launch_make_document.
	unsigned previous;      ///< The generation that runs, whose compose file and destination
				///< the worker gets as well; 0: none.
};

/// Starts a worker. Everything in `task` is borrowed for the call. On a failure `*ret` is NULL.
/// LM_E_CONFLICT: a worker of an earlier lightermand still runs.
lm_rc workers_start(struct workers *w, const struct workers_task *task,
	const struct job_events *events, struct job **ret, struct lm_err *err);
/// The job has ended: removes the folder for its credentials, before another one starts.
void workers_clean_up(struct workers *w);
/// For struct job_events, with the workers as its `ctx`: spares the next job the search.
void workers_note_compose(struct workers *w, const char *stamp, const char *version);
