// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Pulls images through the Engine, several at once. Nothing is retried except with other
/// credentials (`renew`); the engine itself retries layers.

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "docker/engine.h"
#include "docker/engine_json.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

struct pull_item {
	const char *image;    ///< A reference as in a compose file; no tag means "latest".
	const char *platform; ///< "linux/arm64", or NULL. Needs an engine of API 1.32.
	const struct lm_secret
		*auth; ///< Value of X-Registry-Auth (registry_auth.h); NULL or empty: none.
	bool may_fail; ///< Its failure does not fail the whole.
};

struct pull_progress {
	uint64_t bytes_done;
	uint64_t bytes_total; ///< Of the layers whose size is known by now; 0: nothing to download
			      ///< yet.
	const char *status; ///< "Downloading", "Extracting", …; "done" at the end.
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
	/// Called before the pull of an item starts (`refusal` NULL), and when a registry has
	/// refused it: may change the item's `auth`, which is not in use meanwhile. After a refusal
	/// it sets `*ret_renewed`, false at first, if it did: then the item is tried once more, and
	/// again only if that attempt lasts for an hour. A failure is the
	/// item's. May be NULL.
	lm_rc (*renew)(void *ctx, size_t item, const struct lm_err *refusal, bool *ret_renewed,
		struct lm_err *err);
	void *ctx;
};

/// The slowest link that is waited for, in bytes a second.
enum { PULL_SLOWEST = 512 };

/// Pulls all `n` items. After the first failure no other pull is started, and those in progress are
/// finished: the engine keeps what they download, and the next attempt has less to do. Then the
/// first failure is returned, with the name of its image, the engine's error, and how many others
/// failed: LM_E_REFUSED, LM_E_NOT_FOUND (of the registry), LM_E_DENIED, LM_E_NETWORK, LM_E_TIMEOUT
/// (stalled), LM_E_INVALID. Failures of items that may fail are on_failed's alone. LM_E_CANCELLED,
/// and LM_E_TIMEOUT of the limit, cancel all at once: the engine stops a pull whose client has
/// disconnected.
lm_rc engine_pull(const struct engine *e, const struct pull_item *items, size_t n,
	const struct pull_options *options, const struct wait_limit *limit, struct lm_err *err);

struct pull_layer;

/// Reads the progress documents of one POST /images/create. Pure: no I/O, no clock.
struct pull_stream {
	struct json_stream json;
	struct pull_layer *layers;
	size_t layers_n;
	uint64_t moves; ///< Grows with each sign of progress; "Retrying" and "Waiting" are none.
	uint64_t bytes_done;   ///< Downloaded, over all layers.
	uint64_t bytes_total;  ///< Of the layers whose size is known by now.
	uint64_t silent_bytes; ///< That the engine may receive now without a report.
	char status[64];       ///< "Downloading", "Extracting", …
	char digest[128];      ///< From "Digest: …", else "".
	char complete_id[72];  ///< Of the last "Download complete", else "".
	bool finished;         ///< The closing "Digest:" or "Status:" has been seen.
};

void pull_stream_init(struct pull_stream *s);
void pull_stream_finish(struct pull_stream *s);
/// Takes the next piece of the body. An `error` document is LM_E_DENIED, LM_E_NETWORK or
/// LM_E_REFUSED (engine_error_class) with the engine's error; also as json_stream_feed.
lm_rc pull_stream_feed(struct pull_stream *s, struct lm_str piece, struct lm_err *err);
/// At the end of the body. LM_E_NETWORK: the body ended before the pull did.
lm_rc pull_stream_end(const struct pull_stream *s, struct lm_err *err);
