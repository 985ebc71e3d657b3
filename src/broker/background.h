// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One piece of work at a time on another thread, so that a disk that takes its time keeps nobody
/// else waiting.
///
/// All functions are for one thread, which owns it. Signals do not reach the other one.

#include "base/cleanup.h"

#include <stdbool.h>

struct background;

/// Called on the other thread.
typedef void background_function(void *ctx);

/// `work` is what background_start starts. `wake` is called when it has ended: at first at once,
/// then again and again, so that a call that comes too early for whoever waits does no harm, until
/// background_is_done or background_finish has noticed. Without a thread (the system has none left)
/// work is done by background_start itself, and `wake` not called.
struct background *background_create(
	background_function *work, background_function *wake, void *work_ctx, void *wake_ctx);
/// Finishes first. NULL is nothing.
void background_destroy(struct background *b);
LM_DEFINE_CLEANUP(struct background, background_destroy)

/// There must be no work that is not finished.
void background_start(struct background *b);
/// Whether it has ended, or none was started.
bool background_is_done(struct background *b);
/// Waits until it has ended. After it what `work` wrote can be read.
void background_finish(struct background *b);
