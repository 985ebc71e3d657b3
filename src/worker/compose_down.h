// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Stops and removes the application: with docker-compose down, or by our project's label where
/// docker-compose or a usable compose file is missing. And the task `down`.

#include "worker/context.h"

/// The limit for a whole `down` (spec: "10-minute timeout for cleanup operations").
enum { COMPOSE_DOWN_MS = 600 * 1000 };

/// All borrowed.
struct compose_down_options {
	struct project_directory dir;    ///< Where the application's local copy is.
	struct lm_str fallback;          ///< For an unusable local copy; n 0: none.
	const char *fallback_name;       ///< For messages.
	bool by_label;                   ///< As a last resort, by our label.
	const struct lm_err *no_compose; ///< Why docker-compose cannot be run; NULL: it can.
	uint64_t timeout_ms;             ///< For all of it.
};

/// Whether the engine has anything that carries our project's label.
lm_rc compose_down_is_needed(const struct context *cx, bool *ret, struct lm_err *err);
/// LM_E_NOT_FOUND: there is no compose file. LM_E_TIMEOUT: what was started for it has been killed;
/// the message names the containers that still run.
lm_rc compose_down_application(
	struct context *cx, const struct compose_down_options *options, struct lm_err *err);
/// Warns of containers with our label that are left after a `down`.
void compose_down_warn_left(const struct context *cx);

/// Runs the task `down`; there is always an outcome.
void down_task_run(struct context *cx, struct deploy_outcome *ret);
