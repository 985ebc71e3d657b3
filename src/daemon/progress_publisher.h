// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How far the current task is: for the client that waits for it, for the log, for the progress
/// topic, and for `status`. From the loop's thread; logs.

#include "daemon/metrics.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/waiters.h"
#include "deploy/store.h"
#include "sys/json.h"
#include "sys/loop.h"

struct progress_publisher {
	struct mqtt_brokers *brokers;
	const struct waiter *waiter; ///< NULL: nobody waits.
	loop_cb *changed;            ///< A stage has begun or finished.
	void *ctx;

	unsigned generation;          ///< That it is about.
	bool counts;                  ///< It is a deployment: its stages are remembered.
	char stage[STORE_STAGE_SIZE]; ///< "": none yet.
	uint64_t stage_began_ms;
	json_t *stages; ///< Of the last deployment: [{"stage","ms"},…].
	struct metrics_stage totals[DEPLOY_STAGES];
};

void progress_publisher_finish(struct progress_publisher *p);
/// Another task begins.
void progress_publisher_begin(struct progress_publisher *p, unsigned generation, bool counts);
/// Passes a stage's line on; if it begins or finishes a stage, to the progress topic, too.
void progress_publisher_stage(struct progress_publisher *p, const json_t *line);
/// The stage under way has yet to wait: `message` says for what, and so does `waits` for programs.
void progress_publisher_wait(
	struct progress_publisher *p, const char *message, const json_t *waits);
/// As progress_publisher_stage for a stage of lightermand's own, which ends now.
void progress_publisher_own_stage(
	struct progress_publisher *p, const char *stage, uint64_t began_ms);
/// Whether a stage of the last deployment was completed.
bool progress_publisher_has_done(const struct progress_publisher *p, const char *stage);
