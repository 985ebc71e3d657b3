// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Stops the application with a worker. Cannot be cancelled. From the loop's thread; logs.

#include "base/cleanup.h"
#include "daemon/progress_publisher.h"
#include "daemon/worker_launcher.h"

struct teardown;

struct teardown_events {
	/// Last of all. `why` is NULL if the worker has stopped the application; borrowed.
	void (*done)(void *ctx, const char *why);
	void *ctx;
};

/// Everything is borrowed and outlives it.
struct teardown *teardown_create(struct store *store, struct worker_launcher *workers,
	struct progress_publisher *progress, const struct teardown_events *events);
/// Calls `done` at once if no worker can be started.
void teardown_start(struct teardown *t);
/// A worker that still runs is killed. Takes NULL.
void teardown_destroy(struct teardown *t);
LM_DEFINE_CLEANUP(struct teardown, teardown_destroy)

/// Whether lightermand stops the application as it exits, by its definition.
bool teardown_is_due_at_exit(struct store *store);
