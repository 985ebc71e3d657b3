// SPDX-License-Identifier: Apache-2.0
#include "daemon/deployment.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/status_message.h"
#include "daemon/log_router.h"

#include <stdlib.h>
#include <string.h>

struct deployment {
	struct store *store;
	struct worker_launcher *workers;
	struct client_devices *devices;
	struct progress_publisher *progress;
	struct deployment_events events;
	struct worker_process *worker; ///< NULL also while certificates are made.
	unsigned generation, previous;
	enum fallback_use use;
	struct group *group;
	bool is_cancelled;
	char *copy_sha256;  ///< Of the compose file that it is about to deploy; NULL: not known,
	char *copy_version; ///< or not known to be what the definition names. "": of no version.
	int64_t started_ms; ///< Wall clock.
	uint64_t began_ms;  ///< On lm_clock_mono_ms().
};

struct deployment *deployment_create(struct store *store, struct worker_launcher *workers,
	struct client_devices *devices, struct progress_publisher *progress,
	const struct deployment_events *events)
{
	struct deployment *d = lm_xcalloc(1, sizeof(*d));

	*d = (struct deployment){.store = store,
		.workers = workers,
		.devices = devices,
		.progress = progress,
		.events = *events,
		.started_ms = lm_clock_wall_ms(),
		.began_ms = lm_clock_mono_ms()};
	return d;
}

void deployment_destroy(struct deployment *d)
{
	if (!d)
		return;
	client_devices_forget(d->devices);
	worker_process_destroy(d->worker);
	group_destroy(d->group);
	free(d->copy_sha256);
	free(d->copy_version);
	free(d);
}

void deployment_cancel(struct deployment *d)
{
	d->is_cancelled = true;
	if (d->worker)
		worker_process_cancel(d->worker);
	else
		client_devices_cancel(d->devices);
}

/// From `up` on the compose file is at the destination.
static lm_rc note_copy(struct deployment *d, struct lm_err *err)
{
	if (!d->copy_sha256)
		return LM_OK;
	lm_rc rc = store_note_copy(d->store, d->generation, d->copy_sha256, d->copy_version, err);
	return rc ? lm_wrap(err, "record the compose file of generation %u", d->generation) : LM_OK;
}

static lm_rc deployment_on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct deployment *d = ctx;
	enum deploy_stage number = deploy_stage_from_name(stage);
	lm_rc rc = number == DEPLOY_UP ? note_copy(d, err) : LM_OK;

	if (rc == LM_OK)
		rc = store_journal(d->store, d->generation, stage, err);
	if (rc == LM_OK && deploy_stage_acts(number))
		d->events.acts(d->events.ctx);
	return rc;
}

static void on_devices_applied(void *ctx)
{
	struct deployment *d = ctx;

	if (d->worker)
		worker_process_go(d->worker);
}

/// Client devices find their broker when the application starts: some of them are part of it.
static bool deployment_defers(void *ctx, const char *stage)
{
	struct deployment *d = ctx;

	return deploy_stage_from_name(stage) == DEPLOY_UP &&
	       client_devices_apply(d->devices, d->generation, d->group, on_devices_applied, d);
}

static void on_copy(void *ctx, const char *sha256, const char *version)
{
	struct deployment *d = ctx;

	free(d->copy_sha256);
	free(d->copy_version);
	d->copy_sha256 = lm_xstrdup(sha256);
	d->copy_version = lm_xstrdup(version);
}

static bool is_end_of_fetch(const json_t *line)
{
	return strcmp(json_get_text(line, "stage"), "fetch") == 0 &&
	       strcmp(json_get_text(line, "state"), "end") == 0;
}

static void deployment_on_progress(void *ctx, const json_t *line)
{
	struct deployment *d = ctx;
	struct lm_err err = {LM_OK};

	if (is_end_of_fetch(line) && store_compose_keep(d->store, d->generation, &err))
		lm_error("store the compose file of generation %u: %s", d->generation, err.msg);
	progress_publisher_stage(d->progress, line);
}

static void on_image(void *ctx, const char *ref, const char *digest)
{
	struct deployment *d = ctx;
	struct lm_err err = {LM_OK};

	if (store_image(d->store, d->generation, lm_str(ref), lm_str(digest), &err))
		lm_warn("record the image of generation %u: %s, ignoring", d->generation, err.msg);
}

static void deployment_on_compose(void *ctx, const char *stamp, const char *version)
{
	worker_launcher_note_compose(((struct deployment *)ctx)->workers, stamp, version);
}

/// Where the worker did not report it: what it can have done by the stage that it had reached.
static enum deploy_effect guess_effect(const struct progress_publisher *p)
{
	if (progress_publisher_has_done(p, "up"))
		return DEPLOY_STARTED;
	if (strcmp(p->stage, "up") == 0)
		return DEPLOY_STARTING;
	if (progress_publisher_has_done(p, "down"))
		return DEPLOY_STOPPED;
	return strcmp(p->stage, "down") == 0 ? DEPLOY_STOPPING : DEPLOY_UNTOUCHED;
}

/// A success that cannot be one is a failure: a worker is not trusted blindly.
static struct worker_result check_result(
	const struct deployment *d, const struct worker_result *result)
{
	struct worker_result checked = *result;

	if (result->verdict == WORKER_SUCCESS && !progress_publisher_has_done(d->progress, "up"))
		checked = (struct worker_result){.verdict = WORKER_FAIL,
			.rc = LM_E_PROTOCOL,
			.error = "InternalError",
			.message = "the worker reported success without having started the "
				   "application; are lightermand and lighterman-worker of the same "
				   "version?"};
	if (checked.verdict != WORKER_SUCCESS && !checked.error)
		checked.error = "InternalError";
	if (checked.verdict != WORKER_SUCCESS && !checked.message)
		checked.message = "cancelled";
	if (checked.verdict != WORKER_SUCCESS && !checked.stage)
		checked.stage = d->progress->stage;
	return checked;
}

static char *deployment_copy(const char *text)
{
	return text ? lm_xstrdup(text) : NULL;
}

/// What is no fault of the definition may go away by itself.
static enum lifecycle_failure find_failure(const struct worker_result *result)
{
	bool is_definitions = result->error && strcmp(result->error, "InvalidParameter") == 0;

	return is_definitions ? lifecycle_failure_of(result->rc) : FAILURE_TRANSIENT;
}

static void deployment_finish(struct deployment *d, const struct worker_result *result)
{
	const struct connector_definition *def = &d->group->connector;
	bool success = result->verdict == WORKER_SUCCESS;
	enum deploy_effect effect = deploy_effect_from_name(result->effect);
	lm_auto(outcome_finish) struct outcome outcome = {
		.generation = d->generation,
		.success = success,
		.cancelled = d->is_cancelled && !success,
		.failure = find_failure(result),
		.effect = effect == DEPLOY_EFFECTS ? guess_effect(d->progress) : effect,
		.stage = success ? NULL : deployment_copy(result->stage),
		.error = success ? NULL : deployment_copy(result->error),
		.message = success ? NULL : deployment_copy(result->message),
		.compose_version = deployment_copy(result->compose_version),
		.success_status = success ? status_message_success(
						    def->bucket, def->key, result->compose_version)
					  : NULL,
		.started_ms = d->started_ms,
		.ended_ms = lm_clock_wall_ms(),
		.ms = lm_clock_mono_ms() - d->began_ms,
		.keep = def->policy.keep_generations,
	};

	d->events.done(d->events.ctx, &outcome);
}

static void deployment_on_worker_exited(void *ctx, const struct worker_result *result)
{
	struct deployment *d = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(d->worker); // has `result`
	const struct worker_result checked = check_result(d, result);

	(void)worker;
	worker_launcher_clean_up(d->workers);
	deployment_finish(d, &checked); // may destroy the deployment
}

/// Before there was a worker.
static void fail_to_start(struct deployment *d, const struct lm_err *err)
{
	bool is_cancelled = d->is_cancelled || err->rc == LM_E_CANCELLED;
	const struct worker_result result = {
		.verdict = is_cancelled ? WORKER_CANCELLED : WORKER_FAIL,
		.rc = err->rc,
		.stage = "prepare",
		.error = err->rc == LM_E_INVALID ? "InvalidParameter" : "InternalError",
		.message = err->msg,
		.effect = deploy_effect_name(DEPLOY_UNTOUCHED),
	};

	deployment_finish(d, &result);
}

static lm_rc deployment_start_worker_of(struct deployment *d, int devices_fd, struct lm_err *err)
{
	lm_auto_close int compose = -1;
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(d->store, &d->group->connector, d->generation, d->use);
	const struct worker_process_events events = {
		.begin = deployment_on_begin,
		.defers = deployment_defers,
		.progress = deployment_on_progress,
		.image = on_image,
		.compose = deployment_on_compose,
		.copy = on_copy,
		.text = log_router_forward,
		.exited = deployment_on_worker_exited,
		.ctx = d,
	};
	lm_rc rc = store_compose_open(d->store, d->generation, fallback.is_start, &compose, err);
	const struct worker_task task = {
		.kind = "deploy",
		.group = d->group,
		.compose_fd = compose,
		.devices_fd = devices_fd,
		.fallback = fallback.document,
		.previous = d->previous,
	};

	return rc ? rc : worker_launcher_start(d->workers, &task, &events, &d->worker, err);
}

static void on_devices_prepared(void *ctx, int files_fd, const struct lm_err *why)
{
	struct deployment *d = ctx;
	lm_auto_close int files = files_fd;
	struct lm_err err = {LM_OK};

	// A device that starts keeps its application, with the certificates that are there.
	bool goes_on = !why || (why->rc != LM_E_CANCELLED &&
				       generation_was_deployed(d->store, d->generation));
	if (d->is_cancelled)
		(void)!lm_fail(&err, LM_E_CANCELLED, 0, "cancelled");
	else if (!goes_on)
		err = *why;
	else {
		if (why)
			lm_warn("%s; starting the application all the same", why->msg);
		(void)!deployment_start_worker_of(d, files, &err);
	}
	if (err.rc)
		fail_to_start(d, &err); // may destroy the deployment
}

/// A key takes up to a second: with many devices somebody wonders.
static void report_preparation(const struct deployment *d)
{
	enum { SHOWN_FROM = 10 };

	if (d->group->devices_n < SHOWN_FROM)
		return;
	lm_auto_free char *text = lm_xasprintf("making keys and certificates for those of %zu "
					       "client devices that have none",
		d->group->devices_n);
	lm_auto_json json_t *line = json_pack(
		"{s:s, s:s, s:s}", "stage", "prepare", "state", "progress", "message", text);
	progress_publisher_stage(d->progress, line);
}

void deployment_start(struct deployment *d, const struct deployment_spec *spec)
{
	const struct group *group = spec->group;
	unsigned generation = spec->generation;
	struct lm_err err = {LM_OK};

	d->generation = generation;
	d->previous = spec->previous;
	d->use = spec->use;
	d->group = spec->group;
	progress_publisher_begin(d->progress, generation, true);
	lm_info("deploying generation %u: %s from bucket %s, connector version %u", generation,
		group->connector.key, group->connector.bucket, group->connector.version);
	d->progress->changed(d->progress->ctx);
	progress_publisher_own_stage(d->progress, "validate", d->began_ms);
	if (client_devices_prepare(d->devices, group, on_devices_prepared, d)) {
		report_preparation(d);
		return;
	}
	lm_auto_close int nothing = client_devices_prepare_nothing(d->devices);
	if (deployment_start_worker_of(d, nothing, &err))
		fail_to_start(d, &err);
}
