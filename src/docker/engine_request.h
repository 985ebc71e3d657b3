// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Requests to the Docker Engine over its unix socket: one that the caller waits for, several at
/// the same time, and one on the event loop. Never logs, never retries by itself. What is asked is
/// in docker/engine.h, docker/engine_images.h, docker/pull.h and docker/login.h.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct http_unix;
struct http_unix_request;
struct loop;
struct wait_limit;

/// Replaces the message of a failed http_unix_create by one that has the fix.
lm_rc engine_explain(lm_rc rc, const char *socket_path, struct lm_err *err);

/// Connects; a failure is explained.
lm_rc engine_connect(
	const struct http_unix_request *request, struct http_unix **ret, struct lm_err *err);
/// The error in an answer that is not 2xx: its class and the Engine's message.
lm_rc engine_answer_error(const struct http_unix *h, struct lm_err *err);

/// Sends a request and waits for the whole answer, whatever its status is, for at most
/// `timeout_ms`.
lm_rc engine_exchange(const struct http_unix_request *request, uint64_t timeout_ms,
	const struct wait_limit *limit, struct http_unix **ret, struct lm_err *err);
/// GET `target`; an answer that is not 2xx is an error.
lm_rc engine_fetch(const char *socket_path, const char *target, const struct wait_limit *limit,
	struct http_unix **ret, struct lm_err *err);

#define ENGINE_BATCH_DONE UINT64_MAX

/// Requests that a program waits for, several at the same time. All is borrowed.
struct engine_batch {
	const char *what; ///< "pull images", for messages.
	/// The name of request `i`, for the message when the limit ends it. NULL: `what` says
	/// enough.
	const char *(*name)(void *ctx, size_t i);
	size_t n;
	unsigned parallel; ///< At most so many are under way.
	/// Begins no further request, but for those that are to be sent again. May be set by the
	/// functions below.
	bool draining;
	/// Connects for request `i`. A failure is passed to `finish`.
	lm_rc (*start)(void *ctx, size_t i, struct http_unix **ret, struct lm_err *err);
	/// When a request that began at `begun_ms` fails with LM_E_TIMEOUT, on lm_clock_mono_ms();
	/// UINT64_MAX: never. It may change as long as the request lasts.
	uint64_t (*deadline_ms)(void *ctx, uint64_t begun_ms);
	/// More of the answer to request `i` has arrived. May be NULL.
	void (*progress)(void *ctx, size_t i);
	/// Request `i` is over: with the complete answer `http`, or, if `err->rc` is not LM_OK,
	/// with a failure (`http` NULL: to connect). `*ret_again_ms`, at first ENGINE_BATCH_DONE,
	/// is in how many ms it is to be sent again. An error ends all others and the batch.
	lm_rc (*finish)(void *ctx, size_t i, const struct http_unix *http, uint64_t *ret_again_ms,
		struct lm_err *err);
	void *ctx;
};

/// Returns when all requests are done, or with the error of `finish`. LM_E_TIMEOUT and
/// LM_E_CANCELLED of the limit end all requests.
lm_rc engine_batch_run(
	struct engine_batch *batch, const struct wait_limit *limit, struct lm_err *err);

/// One request without a body (GET or POST) on the event loop, under a time limit.
struct engine_get;

/// LM_OK: a 2xx answer with this body. Otherwise `err` is the reason. Both are borrowed
/// for the call.
typedef void engine_get_done(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *err);

/// Asks; `done` is called later, from the loop, exactly once, at the latest after `limit_ms`
/// (LM_E_TIMEOUT); the request may be destroyed inside. `what` ("list containers") is for messages,
/// in static storage. `socket_path` must outlive the request; `target` is copied.
/// Other errors: as http_unix_create and http_unix_step; what the engine itself answers by
/// engine_error_class.
struct engine_get *engine_get_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx);

/// The same with POST.
struct engine_get *engine_post_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx);

/// Called for each piece of a 2xx body as it comes; LM_OK to go on, an error cancels the request.
typedef lm_rc engine_get_piece(void *ctx, struct lm_str piece, struct lm_err *err);

/// As engine_get_start, but the body is not collected.
struct engine_get *engine_get_start_pieces(struct loop *loop, const char *socket_path,
	const char *target, const char *what, unsigned limit_ms, engine_get_piece *piece,
	engine_get_done *done, void *ctx);
/// Cancels the request, without `done`. Accepts NULL.
void engine_get_destroy(struct engine_get *get);
LM_DEFINE_CLEANUP(struct engine_get, engine_get_destroy)
