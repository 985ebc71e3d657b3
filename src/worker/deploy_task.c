// SPDX-License-Identifier: Apache-2.0
#include "worker/deploy_task.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "worker/compose_down.h"
#include "worker/compose_up.h"
#include "worker/device_files.h"
#include "worker/disk_check.h"
#include "worker/fetch.h"
#include "worker/hints.h"
#include "worker/local_copy.h"
#include "worker/preflight.h"
#include "worker/pull.h"
#include "worker/repair.h"
#include "worker/requirements.h"
#include "worker/resolve.h"
#include "worker/up_conflicts.h"
#include "worker/wait_healthy.h"

static lm_rc do_prepare(void *ctx, struct lm_err *err)
{
	return preflight_run(ctx, err);
}

/// Nothing needs the old generation's files any more: a rollback uses lightermand's copies.
static void clean_up(const struct context *cx)
{
	const struct previous *p = &cx->previous;
	bool removed = false;
	struct lm_err err = {LM_OK};

	up_conflicts_remove_unused_networks(cx, false);
	if (previous_remove_copy(p, &removed, &err))
		lm_warn("cannot remove the local copy of the earlier deployment: %s, ignoring",
			err.msg);
	else if (removed)
		lm_info("removed the local copy of the earlier deployment in '%s'", p->directory);
	else if (p->moved && p->directory_fd < 0)
		lm_warn("cannot remove the local copy of the earlier deployment in '%s', as that "
			"directory cannot be used: remove it by hand",
			p->directory);
	if (p->moved && p->directory_fd >= 0 &&
		device_files_remove(p->directory_fd, p->directory, &err))
		lm_warn("%s, ignoring", err.msg);
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

static lm_rc do_own_suffices(void *ctx, bool *ret, struct lm_err *err)
{
	return fetch_own_suffices(ctx, ret, err);
}

static lm_rc do_resolve(void *ctx, struct lm_err *err)
{
	lm_rc rc = resolve_compose_file(ctx, err);

	if (!rc && (rc = requirements_enforce(ctx, err)) != LM_OK)
		rc = hints_explain(ctx, HINTS_NEEDS, rc, err);
	return rc;
}

static lm_rc do_authenticate(void *ctx, struct lm_err *err)
{
	return login_to_registries(ctx, err);
}

static lm_rc do_admit(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	lm_rc rc = repair_is_wanted(ctx) ? repair_admit(ctx, err) : LM_OK;

	return hints_explain(
		ctx, HINTS_IMAGES, rc ? rc : disk_check_deployment(ctx, mode, err), err);
}

static lm_rc do_pull(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	lm_rc rc = repair_is_wanted(ctx) ? repair_pull(ctx, err) : pull_images(ctx, mode, err);

	return hints_explain(ctx, HINTS_IMAGES, rc, err);
}

/// The containers stay, so that whatever fails from now on can start them again.
static lm_rc do_stop(void *ctx, struct lm_err *err)
{
	const struct context *cx = ctx;

	return engine_stop_project(&cx->engine, COMPOSE_PROJECT, &cx->limit, err);
}

static lm_rc do_down(void *ctx, struct lm_err *err)
{
	struct context *cx = ctx;
	bool exists = false;

	if (repair_is_wanted(cx))
		return repair_remove(cx, err);
	lm_rc rc = compose_down_is_needed(cx, &exists, err);

	if (rc || !exists) // nothing to stop
		return rc;
	bool is_kept = cx->previous.text.len > 0;
	const struct compose_down_options options = {.dir = context_running_directory(cx),
		.fallback = lm_buf_str(is_kept ? &cx->previous.text : &cx->text),
		.fallback_name = is_kept ? "the generation's compose file" : "the new compose file",
		// Paths in the new file are not relative to the old directory.
		.by_label = cx->previous.moved,
		.timeout_ms = COMPOSE_DOWN_MS};
	rc = compose_down_application(cx, &options, err);
	if (!rc)
		up_conflicts_remove_unused_networks(cx, true);
	return rc;
}

/// Containers may mount them. Those of an earlier group go with its devices.
static lm_rc place_device_files(const struct context *cx, struct lm_err *err)
{
	lm_auto_buf struct lm_buf bundle = LM_BUF_SECRET(LIMIT_DEVICE_BUNDLE);
	const char *destination = context_definition(cx)->destination;

	if (cx->task->group->devices_n == 0)
		return device_files_remove(cx->destination_fd, destination, err);
	lm_rc rc = cx->devices_fd < 0
			   ? LM_OK
			   : lm_fd_read_all(cx->devices_fd, "the devices' files", &bundle, err);
	return rc ? rc
		  : device_files_place(
			    cx->destination_fd, destination, lm_buf_str(&bundle), &cx->limit, err);
}

static lm_rc do_place(void *ctx, struct lm_err *err)
{
	const struct context *cx = ctx;
	lm_rc rc = place_device_files(cx, err); // first: a failure leaves the old local copy

	return rc ? rc
		  : local_copy_place(cx->destination_fd, context_definition(cx)->destination,
			    lm_buf_str(&cx->text), err);
}

static lm_rc do_up(void *ctx, struct lm_err *err)
{
	return compose_up_application(ctx, err);
}

static lm_rc do_remove_leftovers(void *ctx, struct lm_err *err)
{
	return up_conflicts_remove(ctx, err);
}

static lm_rc do_wait_healthy(void *ctx, struct lm_err *err)
{
	return hints_explain(ctx, HINTS_HEALTH, wait_healthy(ctx, err), err);
}

static lm_rc do_report(void *ctx, const struct deploy_event *event, struct lm_err *err)
{
	struct context *cx = ctx;

	return protocol_report_stage(cx->protocol, event, err);
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
	.own_suffices = do_own_suffices,
	.resolve = do_resolve,
	.authenticate = do_authenticate,
	.admit = do_admit,
	.pull = do_pull,
	.stop = do_stop,
	.down = do_down,
	.place = do_place,
	.up = do_up,
	.remove_leftovers = do_remove_leftovers,
	.wait_healthy = do_wait_healthy,
	.report = do_report,
	.now = do_now,
};

enum { SINCE_OFFLINE = 7 };

void deploy_task_run(struct context *cx, struct deploy_outcome *ret)
{
	const struct connector_definition *d = context_definition(cx);
	struct deploy_options options = context_deploy_options(cx);

	options.has_own = cx->task->fallback.is_start;
	options.repairs = repair_is_wanted(cx);
	if (cx->task->fallback.restores) {
		options.version = SINCE_OFFLINE;
		options.offline_mode = true;
		options.restores = true;
		options.stop_containers &= !cx->task->fallback.keeps;
	}
	// Nothing may run when volumes are put back before `up`, and none of the containers that
	// `snapshot` has stopped may be started again by the engine before that.
	options.snapshot |= cx->task->restores_data;
	options.stop_containers |= options.snapshot;
	deploy_run(&options, &ops, cx, ret);
	repair_destroy(lm_take(cx->repair));
	if (ret->rc != LM_OK)
		return;
	clean_up(cx);
	uint64_t ms = ret->ended_ms - ret->started_ms;
	lm_auto_free char *file = definition_file_text(d);
	lm_info("deployed %s in %llu.%03u s: %zu services, %zu images%s%s", file,
		(unsigned long long)(ms / 1000), (unsigned)(ms % 1000), cx->services.n,
		cx->images.n, ret->offline ? ", offline" : "",
		ret->forced ? ", after removing leftovers of an earlier deployment" : "");
}
