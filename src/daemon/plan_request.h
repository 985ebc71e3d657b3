// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The plan of a deployment: one worker that reports what it would do, for one client. Writes and
/// publishes nothing. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/definition.h"
#include "daemon/progress_publisher.h"
#include "daemon/volume_snapshots.h"
#include "daemon/worker_launcher.h"

struct plan_request;

struct plan_request_events {
	/// Last of all. `why` is NULL if the plan is complete; borrowed.
	void (*done)(void *ctx, const char *why);
	void *ctx;
};

/// `back` is the generation that would be gone back to. `group` is taken over; the rest is borrowed
/// and outlives it. Its lines go to `progress->waiter`.
struct plan_request *plan_request_create(struct store *store, struct worker_launcher *workers,
	struct volume_snapshots *volumes, unsigned back, struct progress_publisher *progress,
	struct group *group, const struct plan_request_events *events);
/// LM_OK: `done` comes later. Otherwise no worker could be started.
lm_rc plan_request_start(struct plan_request *p, struct lm_err *err);
/// Stops the worker; `done` is called later.
void plan_request_cancel(struct plan_request *p);
/// A worker that still runs is killed. Takes NULL.
void plan_request_destroy(struct plan_request *p);
LM_DEFINE_CLEANUP(struct plan_request, plan_request_destroy)
