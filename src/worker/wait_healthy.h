// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The policy's WaitHealthy: waits until the application is healthy, by the services of its compose
/// file and the states of their containers. All but wait_healthy is pure.

#include "docker/engine_json.h"
#include "worker/context.h"

/// LM_E_REFUSED: a container has failed. LM_E_TIMEOUT: not healthy in time; the message says what
/// is missing.
lm_rc wait_healthy(struct context *cx, struct lm_err *err);

/// A service that is to run.
struct health_service {
	const char *name; ///< Borrowed.
	unsigned replicas;
};

struct health_container {
	const struct engine_container *listed; ///< Borrowed.
	struct engine_container_state state;
};

/// What was seen of a container so far.
struct health_history {
	char *id;
	int64_t started_ms;
	unsigned restart_count;
	unsigned changes;     ///< How often it was found restarted.
	int exit_code;        ///< Of the last run that was seen to end; -1: none.
	uint64_t up_since_ms; ///< When this run was first seen, on the monotonic clock.
};

struct health_watch {
	struct health_history *items;
	size_t n;
};

/// Notes the containers' states at `now_ms`, on the monotonic clock: the engine's times are of the
/// wall clock, which may be set at any moment. Forgets containers that are gone.
void health_watch_update(struct health_watch *watch, const struct health_container *containers,
	size_t n, uint64_t now_ms);
/// A run of that container ended with that code.
void health_watch_exited(struct health_watch *watch, const char *id, int exit_code);
void health_watch_finish(struct health_watch *watch);

enum health_verdict {
	HEALTH_READY,  ///< Every service has its number of healthy containers.
	HEALTH_WAIT,   ///< Some are not there yet.
	HEALTH_FAILED, ///< One is unhealthy, dead, or has exited with an error and does not
		       ///< restart.
};

struct health_question {
	const struct health_service *services;
	size_t services_n;
	const struct health_container *containers; ///< As the watch was updated with.
	size_t containers_n;
	const struct health_watch *watch;
	uint64_t stable_ms; ///< How long a container without a health check must be up.
	uint64_t now_ms;
};

/// A container counts if it is healthy; without a health check, if it has been up without a restart
/// for `stable_ms`; and if it has exited with 0 and its restart policy leaves it so. Those of
/// `docker-compose run`, and of services that are not in the list, never do. Appends to `why` what
/// is waited for, or what failed. `*ret_due_ms`: when time alone may change the verdict; 0: never.
enum health_verdict health_assess(
	const struct health_question *q, struct lm_buf *why, uint64_t *ret_due_ms);
