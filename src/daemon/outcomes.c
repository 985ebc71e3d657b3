// SPDX-License-Identifier: Apache-2.0
#include "daemon/outcomes.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/status_message.h"

#include <stdlib.h>

enum { LATER_MAX = 16 };
enum { AGAIN_MS = 5 * 1000, AGAIN_MAX_MS = 10 * 60 * 1000 };

struct outcomes {
	struct store *store;
	struct mqtt_brokers *brokers;
	struct outcome owed;
	struct loop_timer *again;
	unsigned tries;
	/// Status messages that are of no outcome, and have to wait until those before them are in
	/// the outboxes.
	char *later[LATER_MAX];
	size_t later_n;
};

void outcome_finish(struct outcome *o)
{
	free(o->stage);
	free(o->error);
	free(o->message);
	free(o->compose_version);
	free(o->success_status);
	free(o->space_directory);
	*o = (struct outcome){0};
}

/// From memory, as no disk has it yet.
static void outcomes_hold(struct outcomes *o, const char *status)
{
	struct lm_err err = {LM_OK};

	if (mqtt_brokers_hold(o->brokers, OUTBOX_STATUS, lm_str(status), &err))
		lm_error("put the status message into the outbox: %s", err.msg);
}

static void hold_later(struct outcomes *o)
{
	for (size_t i = 0; i < o->later_n; i++) {
		outcomes_hold(o, o->later[i]);
		free(o->later[i]);
	}
	o->later_n = 0;
}

/// Not before those that are not in the outboxes yet. Takes `status` over.
static void hold_in_order(struct outcomes *o, char *status)
{
	if (o->tries > 0 && o->later_n < LATER_MAX) {
		o->later[o->later_n++] = status;
		return;
	}
	outcomes_hold(o, status);
	free(status);
}

/// Each broker takes it once, however often another refuses it.
static lm_rc send_one(struct outcomes *o, const struct store_message *message, struct lm_err *err)
{
	lm_auto_free char *status = NULL;
	lm_auto_free char *key = lm_xasprintf("%u.%u", message->generation, message->attempt);
	lm_rc rc = store_read_status(o->store, message->generation, &status, err);

	if (rc == LM_OK)
		rc = mqtt_brokers_send_once(o->brokers, key, lm_str(status), err);
	return rc ? rc : store_reported(o->store, message->generation, err);
}

void outcomes_send(struct outcomes *o)
{
	lm_auto_free struct store_message *messages = NULL;
	size_t n = 0;
	struct lm_err err = {LM_OK}, failed = {LM_OK};
	// One that cannot be read, or stays, does not hold up the others, for as many as
	// the outboxes remember the names of.
	lm_rc rc = store_unreported(o->store, &messages, &n, &err);

	mqtt_brokers_send_again(o->brokers);
	for (size_t i = 0; i < n && (rc == LM_OK || i < LIMIT_OUTBOX_TAKEN); i++) {
		if (send_one(o, &messages[i], rc == LM_OK ? &err : &failed) != LM_OK)
			rc = LM_E_SYS;
	}
	if (rc == LM_OK) {
		o->tries = 0;
		mqtt_brokers_forget_taken(o->brokers);
		loop_timer_stop(o->again);
		hold_later(o);
		return;
	}
	if (o->tries == 0)
		lm_error("put the status message into the outbox: %s, retrying", err.msg);
	loop_timer_start(o->again, lm_backoff_ms(o->tries++, AGAIN_MS, AGAIN_MAX_MS) + 1, 0);
}

static void outcomes_on_again(void *ctx)
{
	outcomes_send(ctx);
}

struct outcomes *outcomes_create(
	struct loop *loop, struct store *store, struct mqtt_brokers *brokers)
{
	struct outcomes *o = lm_xcalloc(1, sizeof(*o));

	*o = (struct outcomes){.store = store, .brokers = brokers};
	o->again = loop_timer_create(loop, outcomes_on_again, o);
	outcomes_send(o);
	return o;
}

void outcomes_destroy(struct outcomes *o)
{
	if (!o)
		return;
	loop_timer_destroy(o->again);
	hold_later(o);
	outcome_finish(&o->owed);
	free(o);
}

static char *make_status(const struct outcome *outcome)
{
	if (outcome->success)
		return lm_xstrdup(outcome->success_status);
	return status_message_failure(outcome->error, outcome->message);
}

static void prune(struct outcomes *o, unsigned keep)
{
	struct lm_err err = {LM_OK};

	if (store_prune(o->store, keep ? keep : STORE_KEEP_DEFAULT, &err))
		lm_warn("%s, ignoring", err.msg);
}

static lm_rc record(
	struct outcomes *o, const struct outcome *outcome, const char *status, struct lm_err *err)
{
	const struct store_outcome stored = {
		.success = outcome->success,
		.probation = outcome->probation,
		.stage = outcome->stage,
		.error = outcome->error,
		.message = outcome->message,
		.compose_version = outcome->compose_version,
		.started_ms = outcome->started_ms,
		.ended_ms = outcome->ended_ms,
		.status = lm_str(status),
	};
	lm_rc rc = store_finish(o->store, outcome->generation, &stored, err);

	if (rc)
		return rc;
	outcomes_send(o);
	prune(o, outcome->keep);
	return LM_OK;
}

lm_rc outcomes_record(struct outcomes *o, struct outcome *outcome, bool publish, struct lm_err *err)
{
	lm_auto_free char *status = publish ? make_status(outcome) : lm_xstrdup("");
	lm_rc rc = record(o, outcome, status, err);

	if (rc == LM_OK) {
		outcome_finish(outcome);
		return LM_OK;
	}
	lm_error(
		"record the outcome of generation %u: %s, retrying", outcome->generation, err->msg);
	if (publish)
		hold_in_order(o, lm_take(status));
	outcome_finish(&o->owed);
	o->owed = *outcome;
	*outcome = (struct outcome){0};
	return rc;
}

lm_rc outcomes_settle(struct outcomes *o, struct lm_err *err)
{
	if (o->owed.generation == 0)
		return LM_OK;
	lm_rc rc = LM_OK;

	// Unless another attempt of it has begun since.
	if (store_state(o->store)->open == o->owed.generation)
		rc = record(o, &o->owed, "", err); // it was published
	if (rc == LM_OK)
		outcome_finish(&o->owed);
	return rc;
}

static lm_rc close_open(
	struct outcomes *o, const char *message, struct lm_str status, struct lm_err *err)
{
	const struct store_state *state = store_state(o->store);
	const struct store_outcome outcome = {
		.stage = state->open_stage[0] ? state->open_stage : "validate",
		.error = "InternalError",
		.message = message,
		.ended_ms = lm_clock_wall_ms(),
		.status = status,
	};

	if (state->open == 0)
		return LM_OK;
	return store_finish(o->store, state->open, &outcome, err);
}

lm_rc outcomes_close_open(struct outcomes *o, struct lm_err *err)
{
	return close_open(o, "superseded by another deployment", LM_STR(""), err);
}

lm_rc outcomes_give_up_open(struct outcomes *o, const char *message, struct lm_err *err)
{
	lm_auto_free char *status = status_message_failure("InternalError", message);
	lm_rc rc = close_open(o, message, lm_str(status), err);

	if (rc == LM_OK)
		outcomes_send(o);
	return rc;
}

static lm_rc record_revoked(
	struct outcomes *o, unsigned n, const char *message, const char *status, struct lm_err *err)
{
	int64_t now_ms = lm_clock_wall_ms();
	const struct store_outcome outcome = {
		.stage = "probation",
		.error = "InternalError",
		.message = message,
		.started_ms = now_ms,
		.ended_ms = now_ms,
		.status = lm_str(status),
	};
	lm_rc rc = outcomes_settle(o, err);

	outcomes_send(o); // its last message is not to be replaced
	if (rc == LM_OK)
		rc = store_rerun(o->store, n, err);
	return rc ? rc : store_finish(o->store, n, &outcome, err);
}

lm_rc outcomes_revoke(
	struct outcomes *o, unsigned generation, const char *message, struct lm_err *err)
{
	lm_auto_free char *status = status_message_failure("InternalError", message);
	lm_rc rc = record_revoked(o, generation, message, status, err);

	if (rc == LM_OK)
		outcomes_send(o);
	else
		hold_in_order(o, lm_take(status));
	return rc;
}

void outcomes_refuse(struct outcomes *o, const char *error, const char *message)
{
	hold_in_order(o, status_message_failure(error, message));
}
