// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Starts workers: those for deployments, teardowns and plans one at a time, none before the worker
/// of an earlier lightermand is gone. From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/worker_process.h"
#include "deploy/store.h"
#include "sys/loop.h"

struct worker_launcher;

/// All is borrowed and outlives it. Removes the logins of a worker that was killed together with an
/// earlier lightermand.
struct worker_launcher *worker_launcher_create(
	struct loop *loop, const struct host_settings *host, struct store *store);
/// Takes NULL.
void worker_launcher_destroy(struct worker_launcher *w);

/// Whether a worker may start now. Otherwise `may_start` is called once that is so; one that holds
/// the lock for longer than its grace is killed.
bool worker_launcher_may_start(struct worker_launcher *w, loop_cb *may_start, void *ctx);
/// `may_start` is not called any more.
void worker_launcher_forget(struct worker_launcher *w);

struct worker_task {
	const char *kind; ///< "deploy", "down", "plan".
	const struct group *group;
	int compose_fd;         ///< Stays the caller's; -1: none.
	int devices_fd;         ///< For the things of the group; the same.
	const json_t *damaged;  ///< Of a deployment: images to be replaced; NULL: none.
	const json_t *fallback; ///< As in launch_make_document.
	bool snapshots;         ///< Its volumes are copied before `down`,
	bool restores_data;     ///< or put back before `up`.
	unsigned previous;      ///< The generation that runs, whose compose file and destination
				///< the worker gets as well; 0: none.
};

/// Starts a worker. Everything in `task` is borrowed for the call. On a failure `*ret` is NULL.
/// LM_E_CONFLICT: a worker of an earlier lightermand still runs.
lm_rc worker_launcher_start(struct worker_launcher *w, const struct worker_task *task,
	const struct worker_process_events *events, struct worker_process **ret,
	struct lm_err *err);
/// The worker has exited: removes the folder for its credentials, before another one starts.
void worker_launcher_clean_up(struct worker_launcher *w);
/// Which docker-compose the worker has found: spares the next one the search.
void worker_launcher_note_compose(
	struct worker_launcher *w, const char *stamp, const char *version);

/// Any other worker. All is borrowed for the call; descriptors stay the caller's.
struct worker_launch_spec {
	const char *program;
	const struct process_user *user;
	const json_t *document;
	int compose_fd, previous_fd, devices_fd;
	int lock_fd; ///< -1: another task has the lock, and only waits.
	bool needs_aws;
};

/// Starts a worker with the device's identity for AWS, and writes its PID to the lock. On a failure
/// `*ret` may be set all the same, to be destroyed. As worker_process_start.
lm_rc worker_launch(struct loop *loop, const struct host_settings *host,
	const struct worker_launch_spec *start, const struct worker_process_events *events,
	struct worker_process **ret, struct lm_err *err);
