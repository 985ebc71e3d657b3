// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/log.h"
#include "worker/plan_priv.h"

static void planning_finish(struct planning *p)
{
	engine_containers_finish(&p->containers);
	compose_ties_finish(&p->ties);
	compose_hashes_finish(&p->hashes);
	compose_hashes_finish(&p->old_hashes);
	plan_images_finish(&p->images);
	plan_services_finish(&p->services);
	problems_finish(&p->problems);
	free(p->disk);
	free(p->disk_reason);
}

static lm_rc do_prepare(struct planning *p, struct lm_err *err)
{
	return deploy_job_prepare(p->w, err);
}

static lm_rc do_fetch(struct planning *p, struct lm_err *err)
{
	lm_rc rc = fetch_all(p->w, err);

	if (!p->options.offline_mode || !deploy_is_away(rc))
		return rc;
	lm_warn("%s; going on with what is on this device", err->msg);
	p->offline = true;
	return fetch_local_copy(p->w, err);
}

static lm_rc do_resolve(struct planning *p, struct lm_err *err)
{
	lm_rc rc = images_resolve(p->w, err);

	if (!rc)
		rc = requirements_check(p->w, &p->problems, err);
	return rc ? rc : plan_look_at_services(p, err);
}

static lm_rc do_admit(struct planning *p, struct lm_err *err)
{
	lm_rc rc = plan_look_at_images(p, err);

	return rc ? rc : plan_look_at_disk(p, err);
}

/// Those of a deployment, as far as it changes nothing.
static const struct step {
	enum deploy_stage stage;
	lm_rc (*work)(struct planning *p, struct lm_err *err);
} STEPS[] = {
	{DEPLOY_PREPARE, do_prepare},
	{DEPLOY_FETCH, do_fetch},
	{DEPLOY_RESOLVE, do_resolve},
	{DEPLOY_ADMIT, do_admit},
};

static lm_rc run_step(struct planning *p, const struct step *step, struct lm_err *err)
{
	struct deploy_event event = {.stage = step->stage, .state = DEPLOY_BEGIN};
	uint64_t began_ms = lm_clock_mono_ms();
	struct lm_err ignored;
	lm_rc rc = report_stage(p->w->report, &event, err);

	if (rc)
		return rc;
	rc = step->work(p, err);
	event.ms = lm_clock_mono_ms() - began_ms;
	event.state = rc ? DEPLOY_FAIL : DEPLOY_END;
	event.message = rc ? err->msg : NULL;
	if (!rc)
		return report_stage(p->w->report, &event, err);
	if (rc != LM_E_CANCELLED)
		(void)!report_stage(p->w->report, &event, &ignored);
	return rc;
}

static void make(struct planning *p)
{
	const struct plan_input input = {.services = &p->w->services,
		.ties = &p->ties,
		.hashes = &p->hashes,
		.old_hashes = &p->old_hashes,
		.generation = p->w->compose.generation,
		.containers = &p->containers,
		.images = &p->images,
		.takes_down = p->takes_down};

	plan_services_make(&input, &p->services);
	plan_report(p);
}

/// There is a plan, and the deployment would fail.
static void fail_on_problems(const struct planning *p, struct deploy_outcome *ret)
{
	ret->rc = problems_to_error(&p->problems, &ret->err);
	if (ret->rc)
		ret->failed = DEPLOY_RESOLVE;
}

void plan_job_run(struct work *w, struct deploy_outcome *ret)
{
	lm_auto(planning_finish) struct planning p = {
		.w = w, .options = deploy_job_options(work_definition(w))};

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	for (size_t i = 0; i < LM_ARRAY_SIZE(STEPS) && ret->rc == LM_OK; i++) {
		ret->rc = run_step(&p, &STEPS[i], &ret->err);
		if (ret->rc)
			ret->failed = STEPS[i].stage;
	}
	if (ret->rc == LM_OK) {
		make(&p);
		fail_on_problems(&p, ret);
	}
	if (ret->rc == LM_E_INVALID)
		ret->error_class = DEPLOY_INVALID_PARAMETER;
	ret->offline = p.offline;
	ret->ended_ms = lm_clock_mono_ms();
}
