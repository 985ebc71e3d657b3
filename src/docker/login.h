// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Checks credentials against their registries through the Engine (POST /auth), all at the same
/// time, each with retries.

#include "base/error.h"
#include "docker/engine.h"
#include "docker/registry_auth.h"
#include "sys/wait.h"

#include <stddef.h>
#include <stdint.h>

struct login_options {
	/// Attempts for each, from 1; again only after a transient failure: a registry or engine
	/// that does not answer or fails itself. Never after a refusal.
	unsigned attempts;
	/// Between tries: exponential backoff with full jitter.
	uint64_t backoff_base_ms, backoff_max_ms;
	/// One is tried again in `delay_ms`, because of `why`. May be NULL.
	void (*on_retry)(void *ctx, size_t i, uint64_t delay_ms, const struct lm_err *why);
	/// The registry accepts them. May be NULL.
	void (*on_done)(void *ctx, size_t i);
	void *ctx;
};

/// Logs in with each of `n` credentials. The first final failure cancels the others and is
/// returned: LM_E_DENIED (the registry refuses them), LM_E_NETWORK (it cannot be reached),
/// LM_E_TIMEOUT, LM_E_REFUSED (any other error of the engine), LM_E_INVALID, LM_E_CANCELLED.
/// The message names registry and user.
lm_rc login_all(const struct engine *e, const struct registry_credentials *list, size_t n,
	const struct login_options *options, const struct wait_limit *limit, struct lm_err *err);
