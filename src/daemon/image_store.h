// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The file systems on which the Docker Engine keeps its images: synced before anything relies on
/// what was pulled, as the Engine of Debian 12 does not do that, and a power cut soon after a pull
/// would leave layers of empty files. From the loop's thread, which never waits; logs.
///
/// An Engine that keeps its images elsewhere (rootless, in a virtual machine, behind a forwarded
/// socket) is left alone, with one line in the log.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/loop.h"

struct image_store;

/// `engine_socket` is borrowed and outlives it.
struct image_store *image_store_create(struct loop *loop, const char *engine_socket);
/// Takes NULL.
void image_store_destroy(struct image_store *s);
LM_DEFINE_CLEANUP(struct image_store, image_store_destroy)

/// A pull begins: asks the Engine where its images are and opens those directories, so that every
/// write that fails from now on is found by image_store_sync. What was begun before is forgotten.
void image_store_open(struct image_store *s);

/// `why` is NULL if what was written is on disk, or is not on this device's disks. Otherwise the
/// disk has lost some of it, or the Engine does not answer where it is. Borrowed for the call.
typedef void image_store_done(void *ctx, const struct lm_err *why);
/// The pull has finished: syncs, in a thread. `done` is called later, once, from the loop.
void image_store_sync(struct image_store *s, image_store_done *done, void *ctx);
/// `done` is called soon, with LM_E_CANCELLED, unless it was called already.
void image_store_cancel(struct image_store *s);
/// `done` is not called any more; what was opened is closed.
void image_store_forget(struct image_store *s);
