// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A plan: one worker that looks and tells, for one client. Writes nothing, publishes nothing. From
/// the loop's thread; logs.

#include "base/cleanup.h"
#include "config/definition.h"
#include "daemon/progress.h"
#include "daemon/workers.h"

struct planning;

struct planning_events {
	/// Last of all. `why` is NULL if the plan is complete; borrowed.
	void (*ended)(void *ctx, const char *why);
	void *ctx;
};

/// `group` is taken over; the rest is borrowed and outlives it. Its lines go to `progress->waiter`.
struct planning *planning_create(struct store *store, struct workers *workers,
	struct progress *progress, struct group *group, const struct planning_events *events);
/// LM_OK: `ended` comes later. Otherwise no worker could be started.
lm_rc planning_start(struct planning *p, struct lm_err *err);
/// Tells the worker to stop; `ended` comes later.
void planning_cancel(struct planning *p);
/// A worker that still runs is killed. Takes NULL.
void planning_destroy(struct planning *p);
LM_DEFINE_CLEANUP(struct planning, planning_destroy)
