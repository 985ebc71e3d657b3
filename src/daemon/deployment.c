// SPDX-License-Identifier: Apache-2.0
#include "daemon/deployment.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/status_message.h"
#include "daemon/image_store.h"
#include "daemon/log_router.h"
#include "daemon/stage_holds.h"

#include <stdlib.h>
#include <string.h>

struct deployment {
	struct store *store;
	struct worker_launcher *workers;
	struct client_devices *devices;
	struct image_store *images;
	struct volume_snapshots *volumes;
	struct activation *activation;
	struct progress_publisher *progress;
	struct deployment_events events;
	struct worker_process *worker; ///< NULL also while certificates are made.
	struct stage_holds holds;      ///< What is awaited before a stage.
	struct outcome outcome;
	bool is_over; ///< The worker has exited; a hold has yet to end.
	unsigned generation, previous;
	struct volume_policy policy;
	unsigned back;
	struct volume_plan volume_plan;
	char *lacking; ///< Where there is no room for a copy of the volumes; NULL: there is.
	uint64_t lacking_bytes;
	bool has_acted; ///< `down` or `up` has begun.
	bool up_brings; ///< `up` has built or pulled an image.
	enum fallback_use use;
	json_t *damaged; ///< As in struct deployment_spec.
	struct group *group;
	bool is_cancelled;
	char *abandoned; ///< Why it is, by deployment_abandon; NULL: it is not.
	const struct deployment_gate *gate;
	char *copy_sha256;  ///< Of the compose file that it is about to deploy; NULL: not known,
	char *copy_version; ///< or not known to be what the definition names. "": of no version.
	struct lm_err
		unkept;     ///< Why the compose file is not in the store; LM_OK: it is, or not yet.
	int64_t started_ms; ///< Wall clock.
	uint64_t began_ms;  ///< On lm_clock_mono_ms().
};

// Holds ------------------------------------------------------------------------------------------

static void on_devices_applied(void *ctx)
{
	stage_holds_end(&((struct deployment *)ctx)->holds, NULL);
}

static bool hold_for_devices(void *ctx)
{
	struct deployment *d = ctx;

	return client_devices_apply(d->devices, d->generation, d->group, on_devices_applied, d);
}

static void forget_devices_hold(void *ctx)
{
	client_devices_forget(((struct deployment *)ctx)->devices);
}

static void on_gate_open(void *ctx)
{
	stage_holds_end(&((struct deployment *)ctx)->holds, NULL);
}

static bool hold_for_gate(void *ctx)
{
	struct deployment *d = ctx;

	return d->gate && d->gate->ask(d->gate->ctx, d->generation, on_gate_open, d);
}

static void forget_gate(void *ctx)
{
	const struct deployment *d = ctx;

	d->gate->cancel(d->gate->ctx);
}

static void on_images_synced(void *ctx, const struct lm_err *why)
{
	stage_holds_end(&((struct deployment *)ctx)->holds, why);
}

static bool hold_for_images(void *ctx)
{
	struct deployment *d = ctx;

	image_store_sync(d->images, on_images_synced, d);
	return true;
}

/// The same for what docker-compose builds, or pulls, by itself.
static bool hold_for_brought_images(void *ctx)
{
	struct deployment *d = ctx;

	return d->up_brings && hold_for_images(d);
}

static void cancel_images_hold(void *ctx)
{
	image_store_cancel(((struct deployment *)ctx)->images);
}

static void forget_images_hold(void *ctx)
{
	image_store_forget(((struct deployment *)ctx)->images);
}

static void on_volumes_done(void *ctx, const struct volume_result *result)
{
	struct deployment *d = ctx;

	if (result->space_directory) {
		free(d->lacking);
		d->lacking = lm_xstrdup(result->space_directory);
		d->lacking_bytes = result->bytes;
	}
	stage_holds_end(&d->holds, result->why);
}

static void on_volumes_measured(void *ctx, const struct volume_result *result)
{
	struct deployment *d = ctx;

	if (!result->why && d->worker)
		worker_process_note_need(d->worker, result->bytes);
	on_volumes_done(ctx, result);
}

static bool measure_for_snapshot(void *ctx)
{
	struct deployment *d = ctx;
	unsigned subject = d->volume_plan.subject;

	if (subject)
		volume_snapshots_measure(d->volumes, subject, &d->policy, on_volumes_measured, d);
	return subject != 0;
}

static bool make_snapshot_now(void *ctx)
{
	struct deployment *d = ctx;
	unsigned subject = d->volume_plan.subject;

	if (subject)
		volume_snapshots_copy(d->volumes, subject, &d->policy, on_volumes_done, d);
	return subject != 0;
}

static bool prepare_volumes(void *ctx)
{
	struct deployment *d = ctx;

	return volume_snapshots_start(d->volumes, d->generation, on_volumes_done, d);
}

static void cancel_volumes(void *ctx)
{
	volume_snapshots_cancel(((struct deployment *)ctx)->volumes, ctx);
}

static void forget_volumes(void *ctx)
{
	volume_snapshots_forget(((struct deployment *)ctx)->volumes, ctx);
}

static void on_activated(void *ctx, const struct lm_err *why)
{
	stage_holds_end(&((struct deployment *)ctx)->holds, why);
}

static bool hold_for_activation(void *ctx)
{
	return activation_hold(((struct deployment *)ctx)->activation, on_activated, ctx);
}

static void forget_activation(void *ctx)
{
	activation_forget(((struct deployment *)ctx)->activation);
}

static const struct stage_hold hold_table[] = {
	// Before anything relies on what was pulled, a power cut must not be able to damage it.
	{.after = DEPLOY_PULL, .begin = hold_for_images, .forget = forget_images_hold},
	{.before = DEPLOY_ADMIT,
		.begin = measure_for_snapshot,
		.cancel = cancel_volumes,
		.forget = forget_volumes},
	// What runs is interrupted by whichever of these comes first.
	{.before = DEPLOY_SNAPSHOT, .begin = hold_for_activation, .forget = forget_activation},
	{.before = DEPLOY_DOWN, .begin = hold_for_activation, .forget = forget_activation},
	{.before = DEPLOY_UP, .begin = hold_for_activation, .forget = forget_activation},
	// Whichever of them comes first changes what runs; the gate opens once. It is asked last.
	{.before = DEPLOY_SNAPSHOT, .begin = hold_for_gate, .forget = forget_gate},
	{.before = DEPLOY_DOWN, .begin = hold_for_gate, .forget = forget_gate},
	{.before = DEPLOY_UP, .begin = hold_for_gate, .forget = forget_gate},
	// The pull has taken room, and the containers have written since.
	{.before = DEPLOY_SNAPSHOT,
		.begin = measure_for_snapshot,
		.cancel = cancel_volumes,
		.forget = forget_volumes},
	{.after = DEPLOY_SNAPSHOT,
		.begin = make_snapshot_now,
		.cancel = cancel_volumes,
		.forget = forget_volumes},
	{.before = DEPLOY_UP,
		.begin = prepare_volumes,
		.cancel = cancel_volumes,
		.forget = forget_volumes},
	// Client devices find their broker when the application starts: some are part of it.
	{.before = DEPLOY_UP, .begin = hold_for_devices, .forget = forget_devices_hold},
	{.before = DEPLOY_COMMIT,
		.begin = hold_for_brought_images,
		.cancel = cancel_images_hold,
		.forget = forget_images_hold},
};

/// Last of all.
static void report_outcome(struct deployment *d)
{
	lm_auto(outcome_finish) struct outcome outcome = d->outcome;

	d->outcome = (struct outcome){0};
	d->events.done(d->events.ctx, &outcome); // may destroy the deployment
}

/// It is up, and must not count as deployed.
static void revoke_outcome(struct deployment *d, const struct lm_err *why)
{
	struct outcome *o = &d->outcome;

	o->success = false;
	o->cancelled = d->is_cancelled;
	o->failure = FAILURE_TRANSIENT;
	o->stage = lm_xstrdup(deploy_stage_name(DEPLOY_UP));
	o->error = lm_xstrdup("InternalError");
	o->message = lm_xasprintf("start the application: %s", why->msg);
	free(lm_take(o->success_status));
}

static void on_holds_ended(void *ctx, const struct lm_err *why)
{
	struct deployment *d = ctx;

	if (d->is_over && why && d->outcome.success)
		revoke_outcome(d, why);
	if (d->is_over)
		report_outcome(d);
	else if (d->worker && why)
		worker_process_refuse(d->worker, why);
	else if (d->worker)
		worker_process_go(d->worker);
}

struct deployment *deployment_create(struct store *store, struct worker_launcher *workers,
	struct client_devices *devices, struct image_store *images,
	struct volume_snapshots *volumes, struct activation *activation,
	struct progress_publisher *progress, const struct deployment_events *events)
{
	struct deployment *d = lm_xcalloc(1, sizeof(*d));

	*d = (struct deployment){.store = store,
		.workers = workers,
		.devices = devices,
		.images = images,
		.volumes = volumes,
		.activation = activation,
		.progress = progress,
		.events = *events,
		.started_ms = lm_clock_wall_ms(),
		.began_ms = lm_clock_mono_ms()};
	d->holds = (struct stage_holds){.table = hold_table,
		.n = LM_ARRAY_SIZE(hold_table),
		.ended = on_holds_ended,
		.ctx = d};
	return d;
}

void deployment_destroy(struct deployment *d)
{
	if (!d)
		return;
	stage_holds_forget(&d->holds);
	volume_snapshots_end(d->volumes);
	client_devices_forget(d->devices);
	image_store_forget(d->images);
	worker_process_destroy(d->worker);
	outcome_finish(&d->outcome);
	json_decref(d->damaged);
	group_destroy(d->group);
	free(d->copy_sha256);
	free(d->copy_version);
	free(d->lacking);
	free(d->abandoned);
	free(d);
}

bool deployment_abandon(struct deployment *d, const char *why)
{
	if (d->has_acted || d->is_over || d->is_cancelled)
		return false;
	deployment_cancel(d);
	d->abandoned = lm_xstrdup(why);
	return true;
}

void deployment_cancel(struct deployment *d)
{
	d->is_cancelled = true;
	free(lm_take(d->abandoned));
	if (d->worker)
		worker_process_cancel(d->worker);
	else
		client_devices_cancel(d->devices);
	(void)stage_holds_cancel(&d->holds);
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

	if (d->unkept.rc != LM_OK) {
		*err = d->unkept;
		return err->rc;
	}
	lm_rc rc = number == DEPLOY_UP ? note_copy(d, err) : LM_OK;

	if (rc == LM_OK)
		rc = store_journal(d->store, d->generation, stage, err);
	// What runs next may lock its HoldFile as soon as it starts, and be waited for.
	if (progress_publisher_has_done(d->progress, "down") ||
		progress_publisher_has_done(d->progress, "up"))
		activation_unlock(d->activation);
	if (rc == LM_OK && (number == DEPLOY_PULL || number == DEPLOY_UP))
		image_store_open(d->images);
	if (rc == LM_OK && deploy_stage_acts(number)) {
		d->has_acted = true;
		d->events.acts(d->events.ctx);
	}
	return rc;
}

static bool deployment_defers(void *ctx, const char *stage)
{
	struct deployment *d = ctx;

	return stage_holds_begin(&d->holds, deploy_stage_from_name(stage));
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

	// Fails before the next stage: what is not in the store could not be restored.
	if (is_end_of_fetch(line) && store_compose_keep(d->store, d->generation, &err)) {
		(void)!lm_wrap(&err, "store the compose file of generation %u", d->generation);
		d->unkept = err;
	}
	progress_publisher_stage(d->progress, line);
}

static void on_image(void *ctx, const struct worker_line *image)
{
	struct deployment *d = ctx;
	struct lm_err err = {LM_OK};

	d->up_brings |= image->pulled && deploy_stage_from_name(d->progress->stage) == DEPLOY_UP;
	if (store_image(d->store, d->generation, lm_str(image->first), lm_str(image->second),
		    lm_str(image->id), &err))
		lm_warn("record the image of generation %u: %s, ignoring", d->generation, err.msg);
	if (store_note_pulled(
		    d->store, d->generation, image->first, image->id, image->pulled, &err))
		lm_warn("record that image %s was pulled: %s, ignoring", image->first, err.msg);
}

static void on_image_removed(void *ctx, const char *id)
{
	struct deployment *d = ctx;
	struct lm_err err = {LM_OK};

	if (store_forget_pulled(d->store, id, &err))
		lm_warn("record that image %s was removed: %s, ignoring", id, err.msg);
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
	if (strcmp(p->stage, "down") == 0 || strcmp(p->stage, "snapshot") == 0)
		return DEPLOY_STOPPING;
	if (progress_publisher_has_done(p, "down") || progress_publisher_has_done(p, "snapshot"))
		return DEPLOY_STOPPED;
	return DEPLOY_UNTOUCHED;
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
static enum lifecycle_failure find_failure(
	const struct deployment *d, const struct worker_result *result)
{
	bool is_definitions = result->error && strcmp(result->error, "InvalidParameter") == 0;

	if (d->abandoned)
		return FAILURE_DEFINITE;
	if (result->space_directory)
		return FAILURE_NO_SPACE;
	return is_definitions ? lifecycle_failure_of(result->rc) : FAILURE_TRANSIENT;
}

/// What the worker says, and what follows from it.
static char *make_message(const struct deployment *d, const struct worker_result *result)
{
	if (d->abandoned)
		return lm_xstrdup(d->abandoned);
	if (!result->space_directory)
		return deployment_copy(result->message);
	return lm_xasprintf("%s; it continues by itself once %.1f MB are free", result->message,
		(double)result->space_bytes / (1 << 20));
}

static void deployment_finish(struct deployment *d, const struct worker_result *result)
{
	const struct connector_definition *def = &d->group->connector;
	bool success = result->verdict == WORKER_SUCCESS;
	enum deploy_effect effect = deploy_effect_from_name(result->effect);

	if (effect == DEPLOY_EFFECTS)
		effect = guess_effect(d->progress);
	d->outcome = (struct outcome){
		.generation = d->generation,
		.success = success,
		.cancelled = d->is_cancelled && !success && !d->abandoned,
		.failure = find_failure(d, result),
		.effect = effect,
		.only_stopped = !success && effect != DEPLOY_UNTOUCHED && !d->has_acted,
		.stage = success ? NULL : deployment_copy(result->stage),
		.error = success ? NULL : deployment_copy(result->error),
		.message = success ? NULL : make_message(d, result),
		.space_directory = deployment_copy(result->space_directory),
		.space_bytes = result->space_bytes,
		.compose_version = deployment_copy(result->compose_version),
		.success_status = success ? status_message_success(
						    def->bucket, def->key, result->compose_version)
					  : NULL,
		.started_ms = d->started_ms,
		.ended_ms = lm_clock_wall_ms(),
		.ms = lm_clock_mono_ms() - d->began_ms,
		.keep = def->policy.keep_generations,
		.rolls_back = def->policy.rollback_on_failure && !d->abandoned,
		.abandoned = d->abandoned && !success,
		.probation_ms = (uint64_t)def->policy.probation_s * 1000,
	};
	// What works for a stage that will not begin must not outlive the deployment.
	d->is_over = true;
	bool waits = stage_holds_cancel(&d->holds) ||
		     (success && stage_holds_begin(&d->holds, DEPLOY_COMMIT));
	if (!waits)
		report_outcome(d);
}

static void deployment_on_worker_exited(void *ctx, const struct worker_result *result)
{
	struct deployment *d = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(d->worker); // has `result`
	struct worker_result checked = check_result(d, result);

	(void)worker;
	if (d->lacking && checked.verdict == WORKER_FAIL) {
		checked.space_directory = d->lacking;
		checked.space_bytes = d->lacking_bytes;
	}
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
		.removed = on_image_removed,
		.compose = deployment_on_compose,
		.copy = on_copy,
		.text = log_router_forward,
		.exited = deployment_on_worker_exited,
		.ctx = d,
	};
	lm_rc rc = volume_snapshots_plan(
		d->volumes, &d->policy, d->generation, d->back, &d->volume_plan, err);
	if (rc == LM_OK)
		rc = store_compose_open(d->store, d->generation, fallback.is_start, &compose, err);
	const struct worker_task task = {
		.kind = "deploy",
		.group = d->group,
		.compose_fd = compose,
		.devices_fd = devices_fd,
		.snapshots = d->volume_plan.subject != 0,
		.restores_data = d->volume_plan.restores,
		.fallback = fallback.document,
		.damaged = d->damaged,
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
	d->damaged = json_incref((json_t *)spec->damaged);
	d->policy = spec->policy;
	d->back = spec->back;
	d->gate = spec->gate;
	d->group = spec->group;
	progress_publisher_begin(d->progress, generation, true);
	lm_auto_free char *file = definition_file_text(&group->connector);
	lm_info("deploying generation %u: %s, connector version %u", generation, file,
		group->connector.version);
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
