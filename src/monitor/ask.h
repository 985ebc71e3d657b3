// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One GET to the engine, without waiting: a connection stepped by the loop.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/loop.h"

#include <stddef.h>

struct ask;

struct ask_request {
	const char *socket_path;
	const char *target;
	size_t body_max;
	/// Called for each piece of a 2xx body, which then is not collected. May be NULL.
	lm_rc (*on_body)(void *ctx, struct lm_str piece, struct lm_err *err);
	/// LM_OK: a 2xx answer; its body is borrowed for the call. Otherwise `err` says why there
	/// is none: LM_E_TIMEOUT, LM_E_NOT_FOUND (404, or no socket), LM_E_REFUSED and so on.
	void (*done)(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *err);
	void *ctx;
};

/// Begins. `done` is called later, from the loop, exactly once, at the latest after 10 s; it may
/// destroy the question. `target` need not outlive the call, `socket_path` must outlive the
/// question.
struct ask *ask_create(struct loop *loop, const struct ask_request *request);
/// Without `done`, if that was not called yet.
void ask_destroy(struct ask *a);
LM_DEFINE_CLEANUP(struct ask, ask_destroy)
