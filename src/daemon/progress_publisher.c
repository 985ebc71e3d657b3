// SPDX-License-Identifier: Apache-2.0
#include "daemon/progress_publisher.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "daemon/mqtt_brokers.h"
#include "deploy/stages.h"

#include <stdio.h>
#include <string.h>

void progress_publisher_finish(struct progress_publisher *p)
{
	json_decref(lm_take(p->stages));
}

void progress_publisher_begin(struct progress_publisher *p, unsigned generation, bool counts)
{
	p->generation = generation;
	p->counts = counts;
	p->stage[0] = '\0';
	if (!counts)
		return;
	json_decref(p->stages);
	p->stages = json_array();
}

/// To the progress topic, with an id by which a receiver knows a message that came twice.
static void publish(struct progress_publisher *p, const json_t *line)
{
	lm_auto_json json_t *message = json_object();
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_MQTT_PAYLOAD);
	char id[MQTT_BROKERS_ID_SIZE], time[LM_TIME_SIZE];
	struct lm_err ignored; // progress may be lost

	json_object_set_new(message, "id", json_string(mqtt_brokers_make_id(id)));
	json_object_set_new(
		message, "time", json_string(lm_time_format_iso(lm_clock_wall_ms(), time)));
	json_object_set_new(message, "generation", json_integer(p->generation));
	(void)json_object_update(message, (json_t *)line);
	if (json_write(message, &payload))
		(void)!mqtt_brokers_send(
			p->brokers, OUTBOX_PROGRESS, lm_buf_str(&payload), &ignored);
}

static void note_done(struct progress_publisher *p, const char *stage, int64_t ms)
{
	lm_info("stage %s: done in %.3f s", stage, (double)ms / 1000);
	if (!p->counts)
		return;
	json_array_append_new(
		p->stages, json_pack("{s:s, s:I}", "stage", stage, "ms", (json_int_t)ms));
	struct metrics_stage *total = &p->totals[deploy_stage_from_name(stage)];
	total->n++;
	total->ms += ms > 0 ? (uint64_t)ms : 0; // a worker reports it
}

void progress_publisher_stage(struct progress_publisher *p, const json_t *line)
{
	const char *stage = json_get_text(line, "stage");
	const char *state = json_get_text(line, "state");
	const char *message = json_get_text(line, "message");
	bool only_how_far = strcmp(state, "progress") == 0;

	if (strcmp(state, "begin") == 0) {
		(void)snprintf(p->stage, sizeof(p->stage), "%s", stage);
		p->stage_began_ms = lm_clock_mono_ms();
	} else if (strcmp(state, "end") == 0) {
		note_done(p, stage, json_get_int(line, "ms", 0));
	} else if (only_how_far && message) {
		lm_log(json_get_bool(line, "warning", false) ? LM_WARN : LM_INFO, "stage %s: %s",
			stage, message);
	}
	if (!only_how_far) {
		p->changed(p->ctx);
		publish(p, line);
	}
	waiter_send(p->waiter, json_pack("{s:O}", "progress", line), only_how_far && !message);
}

void progress_publisher_wait(struct progress_publisher *p, const char *message, const json_t *waits)
{
	lm_auto_json json_t *line = json_pack("{s:s, s:s, s:s, s:O}", "stage", p->stage, "state",
		"progress", "message", message, "waits", waits);

	progress_publisher_stage(p, line);
	publish(p, line);
}

void progress_publisher_own_stage(
	struct progress_publisher *p, const char *stage, uint64_t began_ms)
{
	lm_auto_json json_t *begin = json_pack("{s:s, s:s}", "stage", stage, "state", "begin");
	lm_auto_json json_t *end = json_pack("{s:s, s:s, s:I}", "stage", stage, "state", "end",
		"ms", (json_int_t)(lm_clock_mono_ms() - began_ms));

	progress_publisher_stage(p, begin);
	progress_publisher_stage(p, end);
}

bool progress_publisher_has_done(const struct progress_publisher *p, const char *stage)
{
	size_t i;
	json_t *done;

	json_array_foreach(p->stages, i, done)
	{
		if (strcmp(json_get_text(done, "stage"), stage) == 0)
			return true;
	}
	return false;
}
