// SPDX-License-Identifier: Apache-2.0
#include "daemon/planning.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/daemon_log.h"
#include "daemon/fallback.h"
#include "daemon/generation.h"

#include <stdio.h>
#include <stdlib.h>

struct planning {
	struct store *store;
	struct workers *workers;
	struct progress *progress;
	struct planning_events events;
	struct job *job;
	struct group *group;
};

struct planning *planning_create(struct store *store, struct workers *workers,
	struct progress *progress, struct group *group, const struct planning_events *events)
{
	struct planning *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct planning){.store = store,
		.workers = workers,
		.progress = progress,
		.group = group,
		.events = *events};
	return p;
}

void planning_destroy(struct planning *p)
{
	if (!p)
		return;
	job_destroy(p->job);
	group_destroy(p->group);
	free(p);
}

void planning_cancel(struct planning *p)
{
	if (p->job)
		job_cancel(p->job);
}

static void tell(const struct planning *p, json_t *line)
{
	static const struct waiter nobody;

	waiter_tell(p->progress->waiter ? p->progress->waiter : &nobody, line, false);
}

static lm_rc on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct progress *progress = ((struct planning *)ctx)->progress;

	(void)err;
	(void)snprintf(progress->stage, sizeof(progress->stage), "%s", stage);
	progress->stage_began_ms = lm_clock_mono_ms();
	return LM_OK; // it changes nothing, so there is nothing to record
}

static void on_progress(void *ctx, const json_t *line)
{
	tell(ctx, json_pack("{s:O}", "progress", line));
}

static void on_plan(void *ctx, const json_t *line)
{
	tell(ctx, json_incref((json_t *)line));
}

static void on_compose(void *ctx, const char *stamp, const char *version)
{
	workers_note_compose(((struct planning *)ctx)->workers, stamp, version);
}

static void on_text(void *ctx, struct lm_str line)
{
	(void)ctx;
	daemon_log_forward(line);
}

static void on_ended(void *ctx, const struct job_result *result)
{
	struct planning *p = ctx;
	lm_auto(job_destroy_p) struct job *job = lm_take(p->job); // has `result`

	(void)job;
	workers_clean_up(p->workers);
	if (result->verdict == JOB_SUCCESS)
		p->events.ended(p->events.ctx, NULL); // may destroy the planning
	else
		p->events.ended(p->events.ctx,
			result->message ? result->message : "the worker was told to stop");
}

lm_rc planning_start(struct planning *p, struct lm_err *err)
{
	const struct connector_definition *def = &p->group->connector;
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(p->store, def, 0, FALLBACK_ORDINARY);
	const struct job_events events = {
		.begin = on_begin,
		.progress = on_progress,
		.plan = on_plan,
		.compose = on_compose,
		.text = on_text,
		.ended = on_ended,
		.ctx = p,
	};
	const struct workers_task task = {
		.kind = "plan",
		.group = p->group,
		.compose_fd = -1, // it is kept nowhere
		.fallback = fallback.document,
		.previous = generation_before(p->store, p->group),
	};

	p->progress->stage[0] = '\0';
	lm_info("a plan is being made: %s from bucket %s, connector version %u", def->key,
		def->bucket, def->version);
	return workers_start(p->workers, &task, &events, &p->job, err);
}
