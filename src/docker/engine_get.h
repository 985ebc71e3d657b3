// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One GET to the engine, without waiting: a connection stepped by the loop, under a time limit.
/// Never logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/loop.h"

struct engine_get;

/// LM_OK: a 2xx answer with this body. Otherwise `err` says why there is none. Both are borrowed
/// for the call.
typedef void engine_get_done(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *err);

/// Asks; `done` is called later, from the loop, exactly once, at the latest after `limit_ms`
/// (LM_E_TIMEOUT); the request may be destroyed inside. `what` ("list containers") is for messages,
/// in static storage. `socket_path` must outlive the request; `target` is copied.
/// Other errors: as http_unix_create and http_unix_step; what the engine itself answers by
/// engine_error_class.
struct engine_get *engine_get_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx);

/// Called for each piece of a 2xx body as it comes; LM_OK to go on, an error ends the request.
typedef lm_rc engine_get_piece(void *ctx, struct lm_str piece, struct lm_err *err);

/// As engine_get_start, but the body is not collected.
struct engine_get *engine_get_start_pieces(struct loop *loop, const char *socket_path,
	const char *target, const char *what, unsigned limit_ms, engine_get_piece *piece,
	engine_get_done *done, void *ctx);
/// One under way ends without `done`. Takes NULL.
void engine_get_destroy(struct engine_get *get);
LM_DEFINE_CLEANUP(struct engine_get, engine_get_destroy)
