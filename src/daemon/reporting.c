// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "connector/status.h"
#include "daemon/daemon_log.h"
#include "daemon/presence.h"
#include "deploy/stages.h"

#include <stdio.h>
#include <string.h>

enum { AGAIN_MS = 5 * 1000, AGAIN_MAX_MS = 10 * 60 * 1000 };

/// Each broker takes it once, however often another refuses it.
static lm_rc send_one(struct supervisor *s, const struct store_message *message, struct lm_err *err)
{
	lm_auto_free char *status = NULL;
	lm_auto_free char *key = lm_xasprintf("%u.%u", message->generation, message->attempt);
	lm_rc rc = store_read_status(s->store, message->generation, &status, err);

	if (rc == LM_OK)
		rc = outgoing_send_once(s->outgoing, key, lm_str(status), err);
	return rc ? rc : store_reported(s->store, message->generation, err);
}

void reporting_send(struct supervisor *s)
{
	lm_auto_free struct store_message *messages = NULL;
	size_t n = 0;
	struct lm_err err = {LM_OK}, failed = {LM_OK};
	lm_rc rc = store_unreported(s->store, &messages, &n, &err);

	outgoing_send_again(s->outgoing);
	// One that stays does not hold up the others, for as many as the outboxes know the names
	// of.
	for (size_t i = 0; i < n && (rc == LM_OK || i < LIMIT_OUTBOX_TAKEN); i++) {
		if (send_one(s, &messages[i], rc == LM_OK ? &err : &failed) != LM_OK)
			rc = LM_E_SYS;
	}
	if (rc == LM_OK) {
		s->report_tries = 0;
		outgoing_forget_taken(s->outgoing);
		loop_timer_stop(s->report_again);
		return;
	}
	if (s->report_tries == 0)
		lm_error("put the status message into the outbox: %s, retrying", err.msg);
	loop_timer_start(
		s->report_again, lm_backoff_ms(s->report_tries++, AGAIN_MS, AGAIN_MAX_MS) + 1, 0);
}

void reporting_refuse(struct supervisor *s, const char *message)
{
	lm_auto_free char *status = status_failure("InvalidParameter", message);
	struct lm_err err = {LM_OK};

	// Unlike one of a generation it is in no store, from which it could be sent again.
	if (outgoing_hold(s->outgoing, OUTBOX_STATUS, lm_str(status), &err))
		lm_error("put the status message into the outbox: %s", err.msg);
}

void reporting_text(void *ctx, struct lm_str line)
{
	(void)ctx;
	daemon_log_forward(line);
}

/// To the progress topic, with an id by which a receiver knows a message that came twice.
static void publish(struct supervisor *s, const json_t *line)
{
	lm_auto_json json_t *message = json_object();
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_MQTT_PAYLOAD);
	char id[PRESENCE_ID_SIZE], time[LM_TIME_SIZE];
	struct lm_err ignored; // progress may be lost

	json_object_set_new(message, "id", json_string(presence_make_id(id)));
	json_object_set_new(
		message, "time", json_string(lm_time_format_iso(lm_clock_wall_ms(), time)));
	json_object_set_new(message, "generation",
		json_integer(s->down_group ? s->down_generation : s->attempt.generation));
	(void)json_object_update(message, (json_t *)line);
	if (json_write(message, &payload))
		(void)!outgoing_send(s->outgoing, OUTBOX_PROGRESS, lm_buf_str(&payload), &ignored);
}

static void note_end(struct supervisor *s, const char *stage, int64_t ms)
{
	lm_info("stage %s: done in %.3f s", stage, (double)ms / 1000);
	if (s->down_group)
		return;
	json_array_append_new(
		s->stages, json_pack("{s:s, s:I}", "stage", stage, "ms", (json_int_t)ms));
	struct metrics_stage *count = &s->counts.stages[deploy_stage_from_name(stage)];
	count->n++;
	count->ms += ms > 0 ? (uint64_t)ms : 0; // a worker says it
}

void reporting_stage(struct supervisor *s, const json_t *line)
{
	const char *stage = json_get_text(line, "stage");
	const char *state = json_get_text(line, "state");
	const char *message = json_get_text(line, "message");
	bool only_how_far = strcmp(state, "progress") == 0;

	if (strcmp(state, "begin") == 0) {
		(void)snprintf(s->stage, sizeof(s->stage), "%s", stage);
		s->stage_began_ms = lm_clock_mono_ms();
	} else if (strcmp(state, "end") == 0) {
		note_end(s, stage, json_get_int(line, "ms", 0));
	} else if (only_how_far && message) {
		lm_log(json_get_bool(line, "warning", false) ? LM_WARN : LM_INFO, "stage %s: %s",
			stage, message);
	}
	if (!only_how_far) {
		supervisor_changed(s);
		publish(s, line);
	}
	if (s->waiter.told) {
		lm_auto_json json_t *wrapped = json_pack("{s:O}", "progress", line);
		s->waiter.told(s->waiter.ctx, wrapped, only_how_far && !message);
	}
}

void reporting_own_stage(struct supervisor *s, const char *stage, uint64_t began_ms)
{
	lm_auto_json json_t *begin = json_pack("{s:s, s:s}", "stage", stage, "state", "begin");
	lm_auto_json json_t *end = json_pack("{s:s, s:s, s:I}", "stage", stage, "state", "end",
		"ms", (json_int_t)(lm_clock_mono_ms() - began_ms));

	reporting_stage(s, begin);
	reporting_stage(s, end);
}
