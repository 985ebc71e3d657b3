// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan_request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"

#include <stdio.h>
#include <stdlib.h>

struct plan_request {
	struct store *store;
	struct worker_launcher *workers;
	struct progress_publisher *progress;
	struct plan_request_events events;
	struct worker_process *worker;
	struct group *group;
};

struct plan_request *plan_request_create(struct store *store, struct worker_launcher *workers,
	struct progress_publisher *progress, struct group *group,
	const struct plan_request_events *events)
{
	struct plan_request *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct plan_request){.store = store,
		.workers = workers,
		.progress = progress,
		.group = group,
		.events = *events};
	return p;
}

void plan_request_destroy(struct plan_request *p)
{
	if (!p)
		return;
	worker_process_destroy(p->worker);
	group_destroy(p->group);
	free(p);
}

void plan_request_cancel(struct plan_request *p)
{
	if (p->worker)
		worker_process_cancel(p->worker);
}

static void send(const struct plan_request *p, json_t *line)
{
	waiter_send(p->progress->waiter, line, false);
}

static lm_rc plan_request_on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct progress_publisher *progress = ((struct plan_request *)ctx)->progress;

	(void)err;
	(void)snprintf(progress->stage, sizeof(progress->stage), "%s", stage);
	progress->stage_began_ms = lm_clock_mono_ms();
	return LM_OK; // it changes nothing, so there is nothing to record
}

static void plan_request_on_progress(void *ctx, const json_t *line)
{
	send(ctx, json_pack("{s:O}", "progress", line));
}

static void on_plan(void *ctx, const json_t *line)
{
	send(ctx, json_incref((json_t *)line));
}

static void plan_request_on_compose(void *ctx, const char *stamp, const char *version)
{
	worker_launcher_note_compose(((struct plan_request *)ctx)->workers, stamp, version);
}

static void plan_request_on_worker_exited(void *ctx, const struct worker_result *result)
{
	struct plan_request *p = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(p->worker); // has `result`

	(void)worker;
	worker_launcher_clean_up(p->workers);
	if (result->verdict == WORKER_SUCCESS)
		p->events.done(p->events.ctx, NULL); // may destroy the planning
	else
		p->events.done(p->events.ctx,
			result->message ? result->message : "the worker was stopped");
}

lm_rc plan_request_start(struct plan_request *p, struct lm_err *err)
{
	const struct connector_definition *def = &p->group->connector;
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(p->store, def, 0, FALLBACK_ORDINARY);
	const struct worker_process_events events = {
		.begin = plan_request_on_begin,
		.progress = plan_request_on_progress,
		.plan = on_plan,
		.compose = plan_request_on_compose,
		.text = log_router_forward,
		.exited = plan_request_on_worker_exited,
		.ctx = p,
	};
	const struct worker_task task = {
		.kind = "plan",
		.group = p->group,
		.compose_fd = -1, // it is kept nowhere
		.devices_fd = -1,
		.fallback = fallback.document,
		.previous = generation_before(p->store, p->group),
	};

	p->progress->stage[0] = '\0';
	lm_info("making a plan: %s from bucket %s, connector version %u", def->key, def->bucket,
		def->version);
	return worker_launcher_start(p->workers, &task, &events, &p->worker, err);
}
