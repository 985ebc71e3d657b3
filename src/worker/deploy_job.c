// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/log.h"
#include "worker/hints.h"
#include "worker/local_copy.h"
#include "worker/requirements.h"
#include "worker/work_priv.h"

lm_rc deploy_job_prepare(struct work *w, struct lm_err *err)
{
	lm_rc rc = prepare_engine(w, err);

	if (!rc)
		rc = prepare_destination(w, err);
	if (!rc) // `up` is too late to find out
		rc = local_copy_check(w->destination_fd, work_definition(w)->destination, err);
	if (!rc)
		rc = prepare_compose(w, err);
	if (rc)
		return rc;
	prepare_previous(w);
	lm_info("Docker Engine %s, docker-compose %s (%s)", w->engine.version.engine,
		w->compose.version, w->compose.program);
	return LM_OK;
}

static lm_rc do_prepare(void *ctx, struct lm_err *err)
{
	return deploy_job_prepare(ctx, err);
}

/// The moment at which nothing needs the old generation's files any more: it can be gone back to
/// by what lightermand keeps.
static void clean_up(const struct work *w)
{
	const struct previous *p = &w->previous;
	bool removed = false;
	struct lm_err err = {LM_OK};

	application_sweep_networks(w, false);
	if (previous_remove_copy(p, &removed, &err))
		lm_warn("the local copy of the earlier deployment stays: %s", err.msg);
	else if (removed)
		lm_info("removed the local copy of the earlier deployment in '%s'", p->directory);
	else if (p->moved && p->directory_fd < 0)
		lm_warn("the local copy of the earlier deployment in '%s' stays, as that directory "
			"cannot be used: remove it, if it is there",
			p->directory);
}

static lm_rc do_fetch(void *ctx, struct lm_err *err)
{
	return fetch_all(ctx, err);
}

static lm_rc do_fetch_local(void *ctx, struct lm_err *err)
{
	return fetch_local_copy(ctx, err);
}

static lm_rc do_take_own(void *ctx, bool *ret_changed, struct lm_err *err)
{
	return fetch_take_own(ctx, ret_changed, err);
}

static lm_rc do_resolve(void *ctx, struct lm_err *err)
{
	lm_rc rc = images_resolve(ctx, err);

	if (!rc && (rc = requirements_enforce(ctx, err)) != LM_OK)
		rc = hints_explain(ctx, HINTS_NEEDS, rc, err);
	return rc;
}

static lm_rc do_authenticate(void *ctx, struct lm_err *err)
{
	return images_authenticate(ctx, err);
}

static lm_rc do_admit(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	return hints_explain(ctx, HINTS_IMAGES, admit_deployment(ctx, mode, err), err);
}

static lm_rc do_pull(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	return hints_explain(ctx, HINTS_IMAGES, images_pull(ctx, mode, err), err);
}

static lm_rc do_down(void *ctx, struct lm_err *err)
{
	struct work *w = ctx;
	bool exists = false;
	lm_rc rc = application_exists(w, &exists, err);

	if (rc || !exists) // then docker-compose need not be started at all
		return rc;
	bool is_kept = w->previous.text.len > 0;
	const struct application_down how = {.place = work_running_place(w),
		.fallback = lm_buf_str(is_kept ? &w->previous.text : &w->text),
		.fallback_words =
			is_kept ? "the generation's compose file" : "the new compose file",
		// The new file's paths mean nothing there.
		.by_label = w->previous.moved,
		.timeout_ms = APPLICATION_DOWN_MS};
	rc = application_down(w, &how, err);
	if (!rc)
		application_sweep_networks(w, true);
	return rc;
}

static lm_rc do_place(void *ctx, struct lm_err *err)
{
	const struct work *w = ctx;

	return local_copy_place(
		w->destination_fd, work_definition(w)->destination, lm_buf_str(&w->text), err);
}

static lm_rc do_up(void *ctx, struct lm_err *err)
{
	return application_up(ctx, err);
}

static lm_rc do_remove_leftovers(void *ctx, struct lm_err *err)
{
	return application_remove_conflicts(ctx, err);
}

static lm_rc do_settle(void *ctx, struct lm_err *err)
{
	return hints_explain(ctx, HINTS_HEALTH, settle_application(ctx, err), err);
}

static lm_rc do_report(void *ctx, const struct deploy_event *event, struct lm_err *err)
{
	struct work *w = ctx;

	return report_stage(w->report, event, err);
}

static uint64_t do_now(void *ctx)
{
	(void)ctx;
	return lm_clock_mono_ms();
}

static const struct deploy_ops ops = {
	.prepare = do_prepare,
	.fetch = do_fetch,
	.fetch_local = do_fetch_local,
	.take_own = do_take_own,
	.resolve = do_resolve,
	.authenticate = do_authenticate,
	.admit = do_admit,
	.pull = do_pull,
	.down = do_down,
	.place = do_place,
	.up = do_up,
	.remove_leftovers = do_remove_leftovers,
	.settle = do_settle,
	.report = do_report,
	.now = do_now,
};

struct deploy_options deploy_job_options(const struct connector_definition *d)
{
	return (struct deploy_options){
		.version = d->version,
		.force_deploy = d->force_deploy,
		.pull_before_up = d->pull_before_up,
		.stop_containers = d->stop_containers_on_new_deployment,
		.offline_mode = d->offline_mode,
		.settle = d->policy.wait_healthy,
	};
}

enum { SINCE_OFFLINE = 7 };

void deploy_job_run(struct work *w, struct deploy_outcome *ret)
{
	const struct connector_definition *d = work_definition(w);
	struct deploy_options options = deploy_job_options(d);

	options.has_own = w->job->fallback.is_start;
	if (w->job->fallback.restores) {
		options.version = SINCE_OFFLINE;
		options.offline_mode = true;
		options.stop_containers &= !w->job->fallback.keeps;
	}
	deploy_run(&options, &ops, w, ret);
	if (ret->rc != LM_OK)
		return;
	clean_up(w);
	uint64_t ms = ret->ended_ms - ret->started_ms;
	lm_info("deployed '%s' from bucket '%s' in %llu.%03u s: %zu services, %zu images%s%s",
		d->key, d->bucket, (unsigned long long)(ms / 1000), (unsigned)(ms % 1000),
		w->services.n, w->images.n, ret->offline ? ", offline" : "",
		ret->forced ? ", after the removal of what an earlier deployment left" : "");
}
