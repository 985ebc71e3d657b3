// SPDX-License-Identifier: Apache-2.0
#include "daemon/job_priv.h"

#include "base/limits.h"

#include <stdio.h>

static void begin_stage(struct job *job, const char *stage)
{
	struct lm_err err = {LM_OK};

	(void)snprintf(job->stage, sizeof(job->stage), "%s", stage);
	// A cancelled worker must not begin anything; it notices SIGTERM while it waits.
	if (job->cancelled)
		return;
	lm_rc rc = job->events.begin(job->events.ctx, stage, &err);
	if (rc) {
		job_kill_worker(job, &err);
		return;
	}
	job_order(job, "go");
}

/// Nobody can look into it any more: now it gets what others must not have.
static void hand_over_rest(struct job *job)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = handover_send(job->in_fd, &job->handover, (const char *const *)environ, &err);

	handover_finish(&job->handover);
	job->is_hardened = true;
	if (rc && rc != LM_E_NETWORK) // else its end says why
		job_kill_worker(job, &err);
	else
		job_write_more(job);
}

static void fail_rubbish(struct job *job, struct lm_str line)
{
	char shown[4 * 80 + 32];
	struct lm_err err;

	(void)!lm_fail(&err, LM_E_PROTOCOL, 0,
		"the worker said what is not of its protocol ('%s') and was ended; are lightermand "
		"and lighterman-worker of the same version?",
		lm_str_shorten(line, 80, shown, sizeof(shown)));
	job_kill_worker(job, &err);
}

static bool is_expected(const struct job *job, enum job_line_kind kind)
{
	const struct job_events *e = &job->events;

	if (!job->is_hardened)
		return kind == JOB_LINE_HARDENED || kind == JOB_LINE_RESULT;
	switch (kind) {
	case JOB_LINE_HARDENED:
		return false;
	case JOB_LINE_STAGE:
		return e->begin && e->progress;
	case JOB_LINE_IMAGE:
		return e->image;
	case JOB_LINE_COMPOSE:
		return e->compose;
	case JOB_LINE_COPY:
		return e->copy;
	case JOB_LINE_SHIPPED:
		return e->shipped;
	case JOB_LINE_IDLE:
		return e->idle;
	case JOB_LINE_PLAN:
		return e->plan;
	case JOB_LINE_ALIVE:
	case JOB_LINE_RESULT:
		break;
	}
	return true;
}

/// What is kept of a line is bounded by this: a stage begins once and then ends once, and an image
/// is one of a service. One that is idle ships nothing.
static bool is_due(struct job *job, const struct job_line *line)
{
	if (line->kind == JOB_LINE_IMAGE)
		return ++job->images <= LIMIT_SERVICES;
	if (line->kind == JOB_LINE_IDLE || line->kind == JOB_LINE_SHIPPED)
		return !job->idle;
	if (line->kind != JOB_LINE_STAGE || !(line->begins || line->ends))
		return true;
	enum stage_state *state = &job->stages[deploy_stage_from_name(line->stage)];
	if (*state != (line->begins ? STAGE_AHEAD : STAGE_BEGUN))
		return false;
	*state = line->begins ? STAGE_BEGUN : STAGE_ENDED;
	return true;
}

static void hand_over(struct job *job, const json_t *line, const struct job_line *parsed)
{
	void *ctx = job->events.ctx;

	if (parsed->kind == JOB_LINE_HARDENED)
		hand_over_rest(job);
	if (parsed->kind == JOB_LINE_STAGE)
		job->events.progress(ctx, line);
	if (parsed->kind == JOB_LINE_STAGE && parsed->begins)
		begin_stage(job, parsed->stage);
	else if (parsed->kind == JOB_LINE_IMAGE)
		job->events.image(ctx, parsed->first, parsed->second);
	else if (parsed->kind == JOB_LINE_COMPOSE)
		job->events.compose(ctx, parsed->first, parsed->second);
	else if (parsed->kind == JOB_LINE_COPY)
		job->events.copy(ctx, parsed->first, parsed->second);
	else if (parsed->kind == JOB_LINE_PLAN)
		job->events.plan(ctx, line);
	else if (parsed->kind == JOB_LINE_SHIPPED)
		job->events.shipped(ctx, parsed->shipped, parsed->rejected);
	else if (parsed->kind == JOB_LINE_IDLE) {
		job->idle = true;
		job->events.idle(ctx);
	}
}

void job_take_line(void *ctx, struct lm_str text)
{
	struct job *job = ctx;
	lm_auto_json json_t *line = NULL;
	struct job_line parsed;

	if (job->fault.rc != LM_OK || job->result)
		return;
	if (job_line_parse(text, &line, &parsed) != LM_OK || !is_expected(job, parsed.kind) ||
		!is_due(job, &parsed)) {
		fail_rubbish(job, text);
		return;
	}
	job_note_life(job);
	if (parsed.kind == JOB_LINE_RESULT)
		job->result = json_incref(line);
	else
		hand_over(job, line, &parsed);
}
