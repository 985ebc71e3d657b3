// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The outcomes of deployments: recorded in the store, and published as status messages. What the
/// disk refuses is kept in memory, recorded later, and published all the same. From the loop's
/// thread; logs.

#include "base/error.h"
#include "daemon/mqtt_brokers.h"
#include "deploy/lifecycle.h"
#include "deploy/stages.h"
#include "deploy/store.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

/// The outcome of an attempt. All zero: there is none.
struct outcome {
	unsigned generation;
	bool success;
	bool cancelled; ///< The worker stopped on request, or was killed.
	enum lifecycle_failure failure;
	enum deploy_effect effect;
	bool only_stopped; ///< What ran before it was stopped, and nothing else was changed.
	/// Owned. Stage, error and message: NULL after success; the version: NULL if there is none.
	char *stage, *error, *message, *compose_version;
	char *success_status;         ///< The status message of a success; owned.
	int64_t started_ms, ended_ms; ///< Wall clock.
	uint64_t ms;                  ///< How long it took.
	char *space_directory;        ///< Of FAILURE_NO_SPACE: where so many bytes
	uint64_t space_bytes;         ///< have to be free; owned. NULL: none.
	unsigned keep;                ///< Generations, by the policy; 0: the default.
	bool rolls_back;              ///< By the policy.
	bool abandoned;               ///< A failure, by deployment_abandon.
	uint64_t probation_ms;        ///< By the policy; 0: none.
	bool probation;               ///< A success that is to prove itself in that time.
};

void outcome_finish(struct outcome *o);

struct outcomes;

/// All is borrowed and outlives it. Sends what an earlier run could not.
struct outcomes *outcomes_create(
	struct loop *loop, struct store *store, struct mqtt_brokers *brokers);
/// Takes NULL.
void outcomes_destroy(struct outcomes *o);

/// Records `outcome` and takes its content over. `publish`: its status message, too. After an
/// error it is owed: outcomes_settle.
lm_rc outcomes_record(
	struct outcomes *o, struct outcome *outcome, bool publish, struct lm_err *err);
/// Records what is owed, if anything is.
lm_rc outcomes_settle(struct outcomes *o, struct lm_err *err);
/// Closes the attempt that was interrupted, or cancelled, and will not be resumed.
lm_rc outcomes_close_open(struct outcomes *o, struct lm_err *err);
/// The same for one whose outcome an earlier lightermand could not record; published. `message`:
/// why it failed.
lm_rc outcomes_give_up_open(struct outcomes *o, const char *message, struct lm_err *err);
/// A generation that was deployed with success has failed in its probation: records that as a
/// failed attempt, and publishes it. What cannot be recorded is published all the same.
lm_rc outcomes_revoke(
	struct outcomes *o, unsigned generation, const char *message, struct lm_err *err);
/// Publishes the failure of something that has no generation, or no attempt.
void outcomes_refuse(struct outcomes *o, const char *error, const char *message);
/// Sends each status message that is not known to be in the outboxes; tries again later if that
/// fails.
void outcomes_send(struct outcomes *o);
