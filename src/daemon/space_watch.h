// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Waits until so many bytes are free in a directory's file system, by looking now and then. From
/// the loop's thread; never logs.

#include "base/cleanup.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct space_watch;

/// `found` is called from the loop, once after each space_watch_start.
struct space_watch *space_watch_create(
	struct loop *loop, unsigned interval_ms, loop_cb *found, void *ctx);
/// Takes NULL.
void space_watch_destroy(struct space_watch *w);
LM_DEFINE_CLEANUP(struct space_watch, space_watch_destroy)

/// Looks for the first time after an interval; a directory that cannot be examined has no space.
void space_watch_start(struct space_watch *w, const char *directory, uint64_t bytes);
void space_watch_stop(struct space_watch *w);
