// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Verifies the images of all generations that are kept: a worker reads each from the Docker Engine
/// and compares it with its ID. Runs only while no other task does: any other worker kills it, and
/// what it has not read yet follows afterwards. What was found is in `verification.json` in the
/// state directory. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/host_file.h"
#include "daemon/metrics.h"
#include "daemon/waiters.h"
#include "deploy/store.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct verification;

/// `host` and `store` are borrowed and outlive it. One that was due or interrupted at the last exit
/// is due again. It begins paused.
struct verification *verification_create(
	struct loop *loop, const struct host_settings *host, struct store *store);
/// Takes NULL.
void verification_destroy(struct verification *v);
LM_DEFINE_CLEANUP(struct verification, verification_destroy)

struct verification_watcher {
	/// Something of what verification_to_json shows has changed.
	void (*changed)(void *ctx);
	/// All images were looked at. `own`: nobody asked for it.
	void (*finished)(void *ctx, bool own);
	void *ctx;
};
/// `watcher` is copied.
void verification_watch(struct verification *v, const struct verification_watcher *watcher);

/// A client asks for it: it gets a line {"verify":{…}} for each image, and the last line. Another
/// client that asks meanwhile is refused.
void verification_ask(struct verification *v, const struct waiter *waiter);
/// The waiter with this `ctx` gets nothing any more; what only it asked for is given up.
void verification_forget(struct verification *v, const void *ctx);
/// The device was not shut down in order: from now on one is due, also over restarts, until it has
/// finished. It begins while no task runs, and reads slowly.
void verification_make_due(struct verification *v);

/// Whether it has begun and not finished, paused or not.
bool verification_is_under_way(const struct verification *v);
/// Kills the worker; nothing of it is left.
void verification_pause(struct verification *v);
/// No other task runs: goes on, a little later. May be called again and again.
void verification_resume(struct verification *v);

/// The damaged images of a generation whose ID is known, as `damaged` of a task in docs/formats.md,
/// and that were not damaged already when they were read after their last repair: a new reference;
/// NULL: none.
json_t *verification_find_damaged(const struct verification *v, unsigned generation);
/// They were replaced: verified anew, by itself. That and what was replaced outlives a restart.
void verification_note_repair(struct verification *v, unsigned generation);

/// The images that only other generations than the current one have and that are damaged, or were
/// removed as they were: as `images` of the task `replace-images` in docs/formats.md, each with
/// `generation`, the newest that has it, but those that were replaced in vain. A new reference.
/// Empty while damaged images of the current generation are to be replaced: these go first.
json_t *verification_list_kept(const struct verification *v);
/// Whether there are such images, by the last report, also of an earlier run.
bool verification_has_kept(const struct verification *v);
/// What became of one of them: `state` as in docs/formats.md, `verify`; NULL: as before;
/// `is_replaced`: it was pulled again; then it is only reported, unless it is whole, until it was
/// found whole once. Outlives a restart.
void verification_note_kept(struct verification *v, const char *id, const char *state,
	bool is_replaced, const char *why);

/// docs/formats.md, `status`, member `verification`; a new reference.
json_t *verification_to_json(const struct verification *v);
/// NULL: nothing was verified.
struct metrics_images verification_measure(const struct verification *v);
