// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "deploy/stages.h"

#include <stdio.h>
#include <string.h>

enum { SINCE_STOP_PARAMETER = 6 };

/// The interrupted attempt, if it is its compose file that lies at the destination; else 0.
static unsigned find_half_deployed(const struct store_state *state)
{
	enum deploy_stage stage = deploy_stage_from_name(state->open_stage);

	return state->open && stage != DEPLOY_STAGES && stage >= DEPLOY_UP ? state->open : 0;
}

unsigned takedown_generation(const struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);
	unsigned n = find_half_deployed(state);

	if (n)
		return n;
	return state->current ? state->current : state->newest;
}

/// Whether a generation had another destination than `group` has.
static bool has_moved(struct supervisor *s, unsigned n, const struct group *group)
{
	lm_auto(group_destroy_p) struct group *old = NULL;
	struct lm_err err;

	return supervisor_read_group(s, n, &old, &err) == LM_OK &&
	       strcmp(old->connector.destination, group->connector.destination) != 0;
}

unsigned takedown_previous(struct supervisor *s, const struct group *group)
{
	const struct store_state *state = store_state(s->store);
	unsigned n = find_half_deployed(state);

	// An attempt that was to move the application and is made again: what it was to leave.
	if (n && !has_moved(s, n, group) && state->current)
		return state->current;
	return n ? n : state->current;
}

bool takedown_is_due(struct supervisor *s)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	unsigned n = takedown_generation(s);
	struct lm_err err = {LM_OK};

	if (n == 0 || store_state(s->store)->stopped)
		return false;
	if (supervisor_read_group(s, n, &group, &err)) {
		lm_error("%s; the application is not taken down", err.msg);
		return false;
	}
	if (group->connector.version < SINCE_STOP_PARAMETER ||
		group->connector.stop_containers_on_new_deployment)
		return true;
	lm_info("the application runs on: StopContainersOnNewDeployment is False");
	return false;
}

static lm_rc on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	(void)ctx;
	(void)stage;
	(void)err;
	return LM_OK; // whatever interrupts it, taking down again does no harm
}

static void on_progress(void *ctx, const json_t *line)
{
	reporting_stage(ctx, line);
}

/// It was tried; goes on with what waits.
static void finish(struct supervisor *s, bool ok, const char *message)
{
	group_destroy(lm_take(s->down_group));
	s->down_ended = s->order.kind == ORDER_END;
	if (ok)
		lm_info("the application is taken down");
	else
		lm_error("take down the application: %s", message);
	supervisor_changed(s);
	supervisor_answer(s, control_last_line(ok ? 0 : 1, ok ? NULL : message));
	supervisor_next(s);
}

static void on_ended(void *ctx, const struct job_result *result)
{
	struct supervisor *s = ctx;
	lm_auto(job_destroy_p) struct job *job = supervisor_take_job(s); // has `result`

	(void)job;
	finish(s, result->verdict == JOB_SUCCESS,
		result->message ? result->message : "the worker was told to stop");
}

static lm_rc start_takedown(struct supervisor *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int compose = -1;
	struct lm_err ignored; // without it the worker goes by the local copy alone
	const struct job_events events = {
		.begin = on_begin,
		.progress = on_progress,
		.compose = supervisor_note_compose,
		.text = reporting_text,
		.ended = on_ended,
		.ctx = s,
	};
	lm_rc rc = supervisor_read_group(s, n, &s->down_group, err);

	if (rc)
		return rc;
	(void)!store_read_compose(s->store, n, &compose, &ignored);
	return supervisor_start_job(s, "down", s->down_group, compose, NULL, 0, &events, err);
}

void takedown_begin(struct supervisor *s)
{
	unsigned n = takedown_generation(s);
	struct lm_err err = {LM_OK};

	s->stage[0] = '\0';
	s->down_generation = n;
	lm_info("taking down the application (generation %u)", n);
	if (start_takedown(s, n, &err)) {
		job_destroy(lm_take(s->job));
		finish(s, false, err.msg);
	}
}
