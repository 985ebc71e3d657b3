// SPDX-License-Identifier: Apache-2.0
/// A plan: one worker that looks and tells, for one client. It gives way to every order.

#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/fallback.h"

#include <stdio.h>

static void tell(const struct supervisor_waiter *waiter, json_t *line, bool droppable)
{
	lm_auto_json json_t *owned = line;

	if (owned && waiter->told)
		waiter->told(waiter->ctx, owned, droppable);
}

static void end(struct supervisor_waiter *waiter, int status, const char *message)
{
	lm_auto_json json_t *last = control_last_line(status, message);
	struct supervisor_waiter told = *waiter;

	*waiter = (struct supervisor_waiter){0};
	if (told.ended)
		told.ended(told.ctx, last);
}

/// Why nothing can be looked at now; NULL: it can. The caller frees.
static char *find_obstacle(const struct supervisor *s)
{
	if (s->order.kind == ORDER_END)
		return lm_xstrdup("lightermand is ending");
	if (s->planning)
		return lm_xstrdup("another plan is being made; try again when it has ended");
	if (s->down_group)
		return lm_xstrdup(
			"the application is being taken down; try again when that has ended");
	if (s->job || s->ending.pending)
		return lm_xasprintf("generation %u is being deployed; try again when it has ended",
			s->attempt.generation);
	if (s->order.kind != ORDER_NONE)
		return lm_xstrdup("another command is about to begin; try again when it has ended");
	return NULL;
}

static lm_rc on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct supervisor *s = ctx;

	(void)err;
	(void)snprintf(s->stage, sizeof(s->stage), "%s", stage);
	s->stage_began_ms = lm_clock_mono_ms();
	return LM_OK; // it changes nothing, so there is nothing to record
}

static void on_progress(void *ctx, const json_t *line)
{
	struct supervisor *s = ctx;

	tell(&s->plan_waiter, json_pack("{s:O}", "progress", line), false);
}

static void on_plan(void *ctx, const json_t *line)
{
	struct supervisor *s = ctx;

	tell(&s->plan_waiter, json_incref((json_t *)line), false);
}

static void on_ended(void *ctx, const struct job_result *result)
{
	struct supervisor *s = ctx;
	lm_auto(job_destroy_p) struct job *job = supervisor_take_job(s); // has `result`
	const char *why = lm_take(s->why_cancelled);
	const char *message = why ? why : result->message;

	(void)job;
	s->planning = false;
	supervisor_changed(s);
	if (result->verdict == JOB_SUCCESS)
		end(&s->plan_waiter, 0, NULL);
	else
		end(&s->plan_waiter, 1, message ? message : "the worker was told to stop");
	supervisor_next(s);
}

static void begin(struct supervisor *s, const struct group *group)
{
	const struct job_events events = {
		.begin = on_begin,
		.progress = on_progress,
		.plan = on_plan,
		.compose = supervisor_note_compose,
		.text = reporting_text,
		.ended = on_ended,
		.ctx = s,
	};
	struct lm_err err = {LM_OK};
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(s->store, &group->connector, 0);

	s->stage[0] = '\0';
	s->planning = true;
	watching_begin(s);
	lm_info("a plan is being made: %s from bucket %s, connector version %u",
		group->connector.key, group->connector.bucket, group->connector.version);
	// Its compose file is kept nowhere.
	if (supervisor_start_job(s, "plan", group, -1, fallback.document,
		    takedown_previous(s, group), &events, &err) == LM_OK)
		return;
	job_destroy(lm_take(s->job));
	s->planning = false;
	end(&s->plan_waiter, 1, err.msg);
	watching_rest(s);
}

void supervisor_plan(
	struct supervisor *s, struct lm_str group_file, const struct supervisor_waiter *waiter)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_free char *obstacle = NULL;
	struct supervisor_waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (definition_parse(group_file, &faults, &group, &err)) {
		for (size_t i = 0; i < faults.n; i++)
			tell(&waits, supervisor_fault_line(&faults.items[i]), false);
		end(&waits, 2, err.msg);
		return;
	}
	obstacle = find_obstacle(s);
	if (obstacle) {
		end(&waits, 1, obstacle);
		return;
	}
	for (size_t i = 0; i < group->warnings_n; i++)
		tell(&waits, json_pack("{s:s}", "warning", group->warnings[i]), false);
	s->plan_waiter = waits;
	begin(s, group);
}

void planning_cancel(struct supervisor *s, const char *why)
{
	if (!s->planning || s->why_cancelled)
		return;
	s->why_cancelled = why;
	job_cancel(s->job);
}
