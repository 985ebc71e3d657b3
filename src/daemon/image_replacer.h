// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Replaces damaged images of generations that are kept but are not the current one, whose own are
/// replaced by a deployment (supervisor_repair): workers (task `replace-images`), one for each
/// generation, with its logins. Only while no other task runs: any other worker kills it, and what
/// it has not replaced follows later. What became of each is told to the verification, which is
/// paused meanwhile. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/host_file.h"
#include "daemon/verification.h"
#include "deploy/store.h"
#include "sys/loop.h"

#include <stdbool.h>

struct image_replacer;

/// All is borrowed and outlives it. It begins paused; what an earlier run has left is wanted.
struct image_replacer *image_replacer_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct verification *verification);
/// Takes NULL. A worker that still runs is killed.
void image_replacer_destroy(struct image_replacer *r);
LM_DEFINE_CLEANUP(struct image_replacer, image_replacer_destroy)

/// What the last verification has found is to be replaced, once no other task runs and no
/// verification is under way, and once the current generation has no damaged image: each is tried
/// once.
void image_replacer_want(struct image_replacer *r);
/// A verification has finished. `is_own`: as image_replacer_want; else a person decides.
void image_replacer_note_verified(struct image_replacer *r, bool is_own);
/// Somebody else is about to start a worker: when it returns, none of ours runs, until
/// image_replacer_resume.
void image_replacer_pause(struct image_replacer *r);
/// No other task runs. May be called again and again.
void image_replacer_resume(struct image_replacer *r);
/// Whether a worker of ours runs: the verification is not to be resumed.
bool image_replacer_is_busy(const struct image_replacer *r);
