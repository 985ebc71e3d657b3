// SPDX-License-Identifier: Apache-2.0
#pragma once

/// PruneImages: after a deployment, and once it has proved itself, a worker (task `prune-images`)
/// removes the images that no generation needs any more. Only while no other task runs: any other
/// worker kills it, and what it has not removed is removed later. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/host_file.h"
#include "deploy/store.h"
#include "sys/loop.h"

struct image_pruner;

/// All is borrowed and outlives it. It begins paused.
struct image_pruner *image_pruner_create(
	struct loop *loop, const struct host_settings *host, struct store *store);
/// Takes NULL. A worker that still runs is killed.
void image_pruner_destroy(struct image_pruner *p);
LM_DEFINE_CLEANUP(struct image_pruner, image_pruner_destroy)

/// Somebody else is about to start a worker: when it returns, none of ours runs, until
/// image_pruner_resume.
void image_pruner_pause(struct image_pruner *p);
/// No other task runs. May be called again and again.
void image_pruner_resume(struct image_pruner *p);
