// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the supervisor: supervisor.c changes it, view.c shows it.

#include "base/limits.h"
#include "daemon/containers.h"
#include "daemon/deployment.h"
#include "daemon/outcomes.h"
#include "daemon/planning.h"
#include "daemon/progress.h"
#include "daemon/supervisor.h"
#include "daemon/teardown.h"
#include "daemon/workers.h"
#include "deploy/lifecycle.h"

#include <stdint.h>

enum {
	SUPERVISOR_CLIENTS = LIMIT_CONTROL_CLIENTS + LIMIT_CONTROL_RESERVED,
	SUPERVISOR_EVENTS = 16, ///< More than can follow from one.
};

/// Who waits for a command.
struct supervisor_client {
	bool is_used;
	unsigned with; ///< It is answered together with this one; 0: on its own.
	enum lifecycle_command command;
	struct waiter waiter;
};

/// Why something failed, until that is answered and published.
struct supervisor_failure {
	char *error, *message;
	json_t *last_line; ///< For who waits for it.
};

struct supervisor {
	struct loop *loop;
	struct store *store;
	struct lifecycle lifecycle;
	struct lifecycle_event events[SUPERVISOR_EVENTS];
	size_t events_n;
	bool steps; ///< Events are being taken.

	struct supervisor_client clients[SUPERVISOR_CLIENTS]; ///< Number n is at n - 1.
	struct group *ordered;      ///< What COMMAND_DEPLOY brought, until it has begun.
	struct group *plan_ordered; ///< The same for COMMAND_PLAN.

	struct workers *workers;
	struct containers *containers;
	struct outcomes *outcomes;
	struct progress progress;
	struct deployment *deployment;
	struct teardown *teardown;
	struct planning *planning;
	bool awaits_workers; ///< `pending` begins once the lock is free.
	struct lifecycle_action pending;

	struct outcome ended; ///< Of the deployment that ended, until it is recorded.
	struct supervisor_failure failure;
	enum deploy_effect half_done; ///< What the last deployment that was cancelled has done.
	const char *why_cancelled;    ///< Static storage.
	struct metrics_deployments counts; ///< What is not in the store.

	struct loop_timer *retry, *debt;
	uint64_t retry_at_ms; ///< On lm_clock_mono_ms().
	unsigned debt_tries;
	struct supervisor_watcher watcher;
	unsigned frequency_of; ///< The generation of `frequency_s`; 0: none.
	unsigned frequency_s;
	loop_cb *ended_cb;
	void *ended_ctx;
};
