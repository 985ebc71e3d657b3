// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Pulls images through the Engine, several at once, in one poll loop. Nothing is tried again but
/// with other credentials (`renew`); the engine itself retries layers.

#include "base/error.h"
#include "base/secret.h"
#include "docker/engine.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

struct pull_item {
	const char *image;    ///< A reference as in a compose file; no tag means "latest".
	const char *platform; ///< "linux/arm64", or NULL. Needs an engine of API 1.32.
	const struct lm_secret
		*auth; ///< Value of X-Registry-Auth (registry.h); NULL or empty: none.
	bool may_fail; ///< It can be done without.
};

struct pull_progress {
	uint64_t bytes_done;
	uint64_t bytes_total; ///< Of the layers whose size is known by now; 0: nothing to download
			      ///< yet.
	const char *status; ///< "Downloading", "Extracting", …; "done" at last.
};

struct pull_options {
	unsigned parallel; ///< At most LIMIT_PARALLEL_PULLS; 0 means that many.
	/// If no pull has made progress for so long, all have failed; 0: never. While layers are
	/// downloaded it is at least as long as PULL_SLOWEST takes from one report of the engine to
	/// the next.
	uint64_t stall_ms;
	/// At most four times a second for an image, and once at its end. May be NULL.
	void (*on_progress)(void *ctx, size_t item, const struct pull_progress *progress);
	/// The image is there. `digest` is "sha256:…", or "" for an image without one. May be NULL.
	void (*on_done)(void *ctx, size_t item, const char *digest);
	/// It could not be pulled; `why` names the image. May be NULL.
	void (*on_failed)(void *ctx, size_t item, const struct lm_err *why);
	/// Asked before the pull of an item begins (`refusal` NULL), and when a registry has
	/// refused it: may put something else into the item's `auth`, which nobody uses meanwhile.
	/// After a refusal `*ret_renewed`, false at first, says whether it did: then the item is
	/// tried once more, and again only if that try lasts for an hour. A failure is the
	/// item's. May be NULL.
	lm_rc (*renew)(void *ctx, size_t item, const struct lm_err *refusal, bool *ret_renewed,
		struct lm_err *err);
	void *ctx;
};

/// The slowest link that is waited for, in bytes a second.
enum { PULL_SLOWEST = 512 };

/// Pulls all `n` items. After the first failure no other pull is begun, and those under way go on
/// to their end: what they bring is kept by the engine, and the next try has less to do. Then the
/// first failure is returned, with the name of its image, the engine's words, and how many others
/// failed: LM_E_REFUSED, LM_E_NOT_FOUND (of the registry), LM_E_DENIED, LM_E_NETWORK, LM_E_TIMEOUT
/// (stalled), LM_E_INVALID. Failures of items that may fail are on_failed's alone. LM_E_CANCELLED,
/// and LM_E_TIMEOUT of the limit, end all at once: the engine stops a pull whose client has gone.
lm_rc engine_pull(const struct engine *e, const struct pull_item *items, size_t n,
	const struct pull_options *options, const struct wait_limit *limit, struct lm_err *err);
