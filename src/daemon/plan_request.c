// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan_request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"
#include "daemon/stage_holds.h"

#include <stdio.h>
#include <stdlib.h>

struct plan_request {
	struct store *store;
	struct worker_launcher *workers;
	struct progress_publisher *progress;
	struct plan_request_events events;
	struct volume_snapshots *volumes;
	struct worker_process *worker;
	struct group *group;
	struct stage_holds holds;
	struct volume_policy policy;
	unsigned back; ///< What would be gone back to.
	struct volume_plan volume_plan;
	bool is_over; ///< The worker has exited; a hold has yet to end.
	char *why;    ///< What it has failed of; NULL: it has not.
};

// Holds ------------------------------------------------------------------------------------------

static void on_volumes_measured_for_plan(void *ctx, const struct volume_result *result)
{
	struct plan_request *p = ctx;

	if (!result->why && p->worker)
		worker_process_note_need(p->worker, result->bytes);
	stage_holds_end(&p->holds, result->why);
}

static bool measure_for_plan(void *ctx)
{
	struct plan_request *p = ctx;
	unsigned subject = p->volume_plan.subject;

	if (subject)
		volume_snapshots_measure(
			p->volumes, subject, &p->policy, on_volumes_measured_for_plan, p);
	return subject != 0;
}

static void cancel_measuring(void *ctx)
{
	volume_snapshots_cancel(((struct plan_request *)ctx)->volumes, ctx);
}

static void forget_measuring(void *ctx)
{
	volume_snapshots_forget(((struct plan_request *)ctx)->volumes, ctx);
}

static const struct stage_hold plan_holds[] = {
	{.before = DEPLOY_ADMIT,
		.begin = measure_for_plan,
		.cancel = cancel_measuring,
		.forget = forget_measuring},
};

static void report_plan_done(struct plan_request *p)
{
	lm_auto_free char *why = lm_take(p->why);

	p->events.done(p->events.ctx, why); // may destroy it
}

static void on_plan_holds_ended(void *ctx, const struct lm_err *why)
{
	struct plan_request *p = ctx;

	if (p->is_over)
		report_plan_done(p);
	else if (why)
		worker_process_refuse(p->worker, why);
	else
		worker_process_go(p->worker);
}

static bool plan_request_defers(void *ctx, const char *stage)
{
	return stage_holds_begin(
		&((struct plan_request *)ctx)->holds, deploy_stage_from_name(stage));
}

struct plan_request *plan_request_create(struct store *store, struct worker_launcher *workers,
	struct volume_snapshots *volumes, unsigned back, struct progress_publisher *progress,
	struct group *group, const struct plan_request_events *events)
{
	struct plan_request *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct plan_request){.store = store,
		.workers = workers,
		.volumes = volumes,
		.back = back,
		.progress = progress,
		.group = group,
		.events = *events};
	p->holds = (struct stage_holds){.table = plan_holds,
		.n = LM_ARRAY_SIZE(plan_holds),
		.ended = on_plan_holds_ended,
		.ctx = p};
	return p;
}

void plan_request_destroy(struct plan_request *p)
{
	if (!p)
		return;
	stage_holds_forget(&p->holds);
	worker_process_destroy(p->worker);
	group_destroy(p->group);
	free(p->why);
	free(p);
}

void plan_request_cancel(struct plan_request *p)
{
	if (p->worker)
		worker_process_cancel(p->worker);
	(void)stage_holds_cancel(&p->holds);
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
	p->is_over = true;
	if (result->verdict != WORKER_SUCCESS)
		p->why = lm_xstrdup(result->message ? result->message : "the worker was stopped");
	if (!stage_holds_cancel(&p->holds))
		report_plan_done(p);
}

lm_rc plan_request_start(struct plan_request *p, struct lm_err *err)
{
	const struct connector_definition *def = &p->group->connector;
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(p->store, def, 0, FALLBACK_ORDINARY);
	const struct worker_process_events events = {
		.begin = plan_request_on_begin,
		.defers = plan_request_defers,
		.progress = plan_request_on_progress,
		.plan = on_plan,
		.compose = plan_request_on_compose,
		.text = log_router_forward,
		.exited = plan_request_on_worker_exited,
		.ctx = p,
	};
	p->policy = volume_policy_of(p->group);
	lm_rc rc = volume_snapshots_plan(p->volumes, &p->policy, 0, p->back, &p->volume_plan, err);
	if (rc)
		return rc;
	const struct worker_task task = {
		.kind = "plan",
		.group = p->group,
		.compose_fd = -1, // it is kept nowhere
		.devices_fd = -1,
		.snapshots = p->volume_plan.subject != 0,
		.fallback = fallback.document,
		.previous = generation_before(p->store, p->group, 0),
	};

	p->progress->stage[0] = '\0';
	lm_auto_free char *file = definition_file_text(def);
	lm_info("making a plan: %s, connector version %u", file, def->version);
	return worker_launcher_start(p->workers, &task, &events, &p->worker, err);
}
