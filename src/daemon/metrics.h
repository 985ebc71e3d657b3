// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand can be measured by, as Prometheus text (format version 0.0.4). Pure: only the
/// text is made here. The families are listed in docs/formats.md.

#include "base/buf.h"
#include "base/cleanup.h"
#include "deploy/lifecycle.h"
#include "deploy/stages.h"
#include "docker/engine_json.h"
#include "mqtt/outbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How attempts to deploy end. INVALID: the definition is to blame.
enum metrics_outcome {
	METRICS_SUCCESS,
	METRICS_INVALID,
	METRICS_FAILED,
	METRICS_CANCELLED,
	METRICS_OUTCOMES,
};

struct metrics_stage {
	uint64_t n, ms;
};

struct metrics_deployments {
	uint64_t by_outcome[METRICS_OUTCOMES];      ///< Since the program's start.
	struct metrics_stage stages[DEPLOY_STAGES]; ///< Completed since then.
	int64_t last_success_ms;                    ///< Wall clock; 0: never.
	unsigned generation;                        ///< That is deployed; 0: none.
	bool stopped;                               ///< It is to stay down.
	bool on_probation;                          ///< What runs is.
	bool awaits_activation; ///< A deployment waits for its ActivateAt or HoldFile.
	unsigned quarantined;   ///< Generations in quarantine.
	uint64_t rollbacks; ///< Attempts to go back to an earlier one, since the program's start.
	enum lifecycle_activity activity; ///< What is being done.
};

enum { METRICS_STATES = 7, METRICS_HEALTHS = ENGINE_UNHEALTHY + 1 };

/// The application's containers.
struct metrics_containers {
	bool known;    ///< Whether there is an engine; else nothing here means anything.
	bool answered; ///< There is. Else the counts mean nothing.
	size_t by_state[METRICS_STATES];
	size_t by_health[METRICS_HEALTHS];
};

struct metrics_broker {
	const char *name;
	bool connected;
	struct outbox_counts outbox;
	size_t refused_topics;
};

/// The client devices of the group.
struct metrics_devices {
	bool known; ///< The group has some; else nothing here means anything.
	bool broker_up, discovery_up;
	unsigned broker_failures, discovery_failures; ///< How often they ended by themselves.
	bool fault; ///< Their files could not be brought up to date.
	size_t devices, connected;
	uint64_t routed, delivered, refused, refused_connections;
	uint64_t shadow_updates, shadow_rejected;
	int cloud; ///< Whether there is a connection: 1, 0, or -1: there is to be none.
	uint64_t cloud_sent, cloud_received;
};

/// The images of the generations kept, as they were verified last.
struct metrics_images {
	int64_t verified_ms; ///< Wall clock; 0: never, then nothing here means anything.
	size_t damaged, missing, unreadable;
};

/// The jobs of AWS IoT Jobs.
struct metrics_jobs {
	bool known; ///< Some broker has them; else nothing here means anything.
	bool connected, in_progress;
	bool unreported;                      ///< The outcome of the last one.
	uint64_t succeeded, failed, rejected; ///< Since the program's start.
};

struct metrics_restarts {
	const char *service;
	uint64_t n;
};

/// How often the containers of each service were restarted.
struct metrics_restart_list {
	struct metrics_restarts *items; ///< Owns the names.
	size_t n;
};

/// Adds a container's. Once LIMIT_SERVICES are known, all others count as the service "".
void metrics_restarts_add(struct metrics_restart_list *r, const char *service, uint64_t n);
void metrics_restarts_finish(struct metrics_restart_list *r);

/// Everything is borrowed.
struct metrics {
	int64_t started_ms; ///< Wall clock, of the program.
	bool exited;        ///< It is at its end.
	struct metrics_deployments deployments;
	struct metrics_containers containers;
	const struct metrics_restarts *restarts;
	size_t restarts_n;
	struct metrics_restart_list unhealthy_restarts; ///< By lightermand.
	struct metrics_devices devices;
	struct metrics_images images;
	struct metrics_jobs jobs;
	const struct metrics_broker *brokers;
	size_t brokers_n;
};

/// Counts a container; `state` is the engine's word.
void metrics_count_container(
	struct metrics_containers *counts, const char *state, enum engine_health health);

/// Appends the text. False: it is over the buffer's ceiling.
bool metrics_write(const struct metrics *m, struct lm_buf *out);
