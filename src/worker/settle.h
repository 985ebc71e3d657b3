// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The policy's WaitHealthy: whether the application is healthy, by the services of its compose
/// file and the states of their containers. All but settle_application (work_priv.h) is pure.

#include "base/buf.h"
#include "docker/answer.h"
#include "docker/container_state.h"

/// A service that is to run.
struct settle_service {
	const char *name; ///< Borrowed.
	unsigned replicas;
};

struct settle_container {
	const struct engine_container *listed; ///< Borrowed.
	struct engine_container_state state;
};

/// What earlier looks saw of a container.
struct settle_history {
	char *id;
	int64_t started_ms;
	unsigned restart_count;
	unsigned changes;     ///< How often it was found started anew.
	int exit_code;        ///< Of its last run that ended, as far as it was seen; -1: none was.
	uint64_t up_since_ms; ///< When it was first seen in this run, on the monotonic clock.
};

struct settle_watch {
	struct settle_history *items;
	size_t n;
};

/// Takes note of what the containers are like at `now_ms`, on the monotonic clock: the engine's
/// times are by a wall clock that a device may set at any moment. What is gone is forgotten.
void settle_watch_update(struct settle_watch *watch, const struct settle_container *containers,
	size_t n, uint64_t now_ms);
/// A run of that container ended so.
void settle_watch_exited(struct settle_watch *watch, const char *id, int exit_code);
void settle_watch_finish(struct settle_watch *watch);

enum settle_verdict {
	SETTLE_READY,  ///< Every service has its number of containers that are as they should be.
	SETTLE_WAIT,   ///< Some are not there yet.
	SETTLE_FAILED, ///< One is unhealthy, dead, or has exited with an error and stays so.
};

struct settle_question {
	const struct settle_service *services;
	size_t services_n;
	const struct settle_container *containers; ///< As the watch was updated with.
	size_t containers_n;
	const struct settle_watch *watch;
	uint64_t stable_ms; ///< How long one without a health check must be up.
	uint64_t now_ms;
};

/// A container counts if it is healthy; without a health check, if it has been up without a restart
/// for `stable_ms`; and if it has exited with 0 and its restart policy leaves it so. Those of
/// `docker-compose run`, and of services that are not in the list, never do. Appends to `why` what
/// is waited for, or what failed. `*ret_due_ms`: when time alone may change the verdict; 0: never.
enum settle_verdict settle_judge(
	const struct settle_question *q, struct lm_buf *why, uint64_t *ret_due_ms);
