// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One attempt to deploy a generation, from the start of its worker to its outcome. Records its
/// stages in the store; the caller records the outcome. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/definition.h"
#include "daemon/activation.h"
#include "daemon/client_devices.h"
#include "daemon/generation.h"
#include "daemon/image_store.h"
#include "daemon/outcomes.h"
#include "daemon/progress_publisher.h"
#include "daemon/volume_snapshots.h"
#include "daemon/worker_launcher.h"

struct deployment;

struct deployment_events {
	/// It is about to change containers, which is recorded.
	void (*acts)(void *ctx);
	/// Last of all. `outcome` may be moved from; what is left of it is freed.
	void (*done)(void *ctx, struct outcome *outcome);
	void *ctx;
};

/// Whether a deployment may begin to change what runs.
struct deployment_gate {
	/// True: not before `open`, which is called later, or `cancel` is. False: it may.
	bool (*ask)(void *ctx, unsigned generation, loop_cb *open, void *open_ctx);
	/// Nobody waits for `open` any more.
	void (*cancel)(void *ctx);
	void *ctx;
};

struct deployment_spec {
	unsigned generation; ///< It has an attempt under way in the store.
	struct group *group; ///< Taken over.
	unsigned previous;   ///< As in struct worker_task.
	enum fallback_use use;
	/// Images of it that are damaged and to be replaced: as `damaged` of a task in
	/// docs/formats.md. Borrowed for the call; NULL: none are.
	const json_t *damaged;
	struct volume_policy policy;        ///< For a copy of the volumes that are there.
	unsigned back;                      ///< What is gone back to if it fails; 0: nothing.
	const struct deployment_gate *gate; ///< Borrowed, as long; NULL: none.
};

/// All is borrowed and outlives the deployment. `activation` is that of it: activation_begin was
/// called.
struct deployment *deployment_create(struct store *store, struct worker_launcher *workers,
	struct client_devices *devices, struct image_store *images,
	struct volume_snapshots *volumes, struct activation *activation,
	struct progress_publisher *progress, const struct deployment_events *events);
/// Calls `done` at once if no worker can be started.
void deployment_start(struct deployment *d, const struct deployment_spec *spec);
/// Stops the worker; `done` is called later.
void deployment_cancel(struct deployment *d);
/// The same as a failure, for that reason, that is not tried again. False: too late, it has begun
/// to change what runs, or is over.
bool deployment_abandon(struct deployment *d, const char *why);
/// A worker that still runs is killed. Takes NULL.
void deployment_destroy(struct deployment *d);
LM_DEFINE_CLEANUP(struct deployment, deployment_destroy)
