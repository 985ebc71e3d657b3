// SPDX-License-Identifier: Apache-2.0
#include "deploy/stages.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

struct stage_run {
	struct deploy_options options; ///< With every setting that counts for this version.
	const struct deploy_ops *ops;
	void *ctx;
	struct deploy_outcome *outcome;
};

/// A set of error classes.
#define CLASS(rc) (1U << (rc))

struct row {
	const char *name;
	const char *words; ///< What the stage does, in front of its error.
	lm_rc (*work)(struct stage_run *run, struct lm_err *err);
	/// Offline mode: goes on instead, after a failure of a class in `offline`.
	lm_rc (*instead)(struct stage_run *run, struct lm_err *err);
	unsigned offline;
	unsigned definition;      ///< Failures of these classes are errors in the definition.
	bool online_only;         ///< Left out once offline mode has taken over.
	enum deploy_effect after; ///< What has become of what ran before, once it is done.
};

static enum deploy_pull pull_mode(const struct stage_run *run)
{
	if (run->outcome->offline)
		return DEPLOY_PULL_LOCAL;
	return run->options.pull_before_up ? DEPLOY_PULL_ALL : DEPLOY_PULL_MISSING;
}

static lm_rc stage_prepare(struct stage_run *run, struct lm_err *err)
{
	return run->ops->prepare(run->ctx, err);
}

static lm_rc stage_fetch(struct stage_run *run, struct lm_err *err)
{
	bool suffices = false, changed;
	lm_rc rc = LM_OK;

	if (run->options.has_own && run->options.restores)
		rc = run->ops->own_suffices(run->ctx, &suffices, err);
	if (!rc && !suffices)
		return run->ops->fetch(run->ctx, err);
	if (rc)
		return rc;
	run->outcome->offline = true;
	return run->ops->take_own(run->ctx, &changed, err);
}

static lm_rc stage_fetch_local(struct stage_run *run, struct lm_err *err)
{
	return run->ops->fetch_local(run->ctx, err);
}

static lm_rc stage_resolve(struct stage_run *run, struct lm_err *err)
{
	return run->ops->resolve(run->ctx, err);
}

static lm_rc stage_authenticate(struct stage_run *run, struct lm_err *err)
{
	return run->ops->authenticate(run->ctx, err);
}

static lm_rc stage_without_login(struct stage_run *run, struct lm_err *err)
{
	(void)run;
	(void)err;
	return LM_OK; // local images need none
}

static lm_rc stage_admit(struct stage_run *run, struct lm_err *err)
{
	return run->ops->admit(run->ctx, pull_mode(run), err);
}

static lm_rc stage_pull(struct stage_run *run, struct lm_err *err)
{
	return run->ops->pull(run->ctx, pull_mode(run), err);
}

static lm_rc stage_snapshot(struct stage_run *run, struct lm_err *err)
{
	run->outcome->effect = DEPLOY_STOPPING;
	return run->ops->stop(run->ctx, err);
}

static lm_rc stage_down(struct stage_run *run, struct lm_err *err)
{
	run->outcome->effect = DEPLOY_STOPPING;
	return run->ops->down(run->ctx, err);
}

/// As lm_wrap, for a class that came by return: it counts even where `err` was not filled.
static lm_rc wrap_class(struct lm_err *err, lm_rc rc, const char *words)
{
	if (rc == LM_OK)
		return LM_OK;
	err->rc = rc;
	return lm_wrap(err, "%s", words);
}

static lm_rc report_event(
	struct stage_run *run, const struct deploy_event *event, struct lm_err *err)
{
	lm_rc rc = run->ops->report(run->ctx, event, err);

	return wrap_class(err, rc, "report a stage");
}

static lm_rc stage_up(struct stage_run *run, struct lm_err *err)
{
	lm_rc rc = run->ops->place(run->ctx, err);

	if (rc)
		return wrap_class(err, rc, "prepare the destination");
	run->outcome->effect = DEPLOY_STARTING;
	rc = run->ops->up(run->ctx, err);
	if (rc != LM_E_CONFLICT || !run->options.force_deploy)
		return rc;

	char message[LM_ERR_MSG_SIZE + 128];
	(void)snprintf(message, sizeof(message),
		"%s; ForceDeploy: removing what an earlier deployment left, then trying once more",
		err->msg);
	rc = report_event(run,
		&(struct deploy_event){
			.stage = DEPLOY_UP, .state = DEPLOY_PROGRESS, .message = message},
		err);
	if (rc)
		return rc;
	run->outcome->forced = true;
	rc = run->ops->remove_leftovers(run->ctx, err);
	if (rc)
		return wrap_class(err, rc, "remove what an earlier deployment left");
	rc = run->ops->up(run->ctx, err);
	return wrap_class(err, rc, "after the removal of what an earlier deployment left");
}

static lm_rc stage_wait_healthy(struct stage_run *run, struct lm_err *err)
{
	return run->ops->wait_healthy(run->ctx, err);
}

// Services that are not well answer with an error of their own (HTTP 503), and the engine answers
// so for registries that it cannot reach: LM_E_REFUSED.
#define AWAY (CLASS(LM_E_NETWORK) | CLASS(LM_E_TIMEOUT) | CLASS(LM_E_REFUSED))

#define WRONG CLASS(LM_E_INVALID)
#define WRONG_OBJECT (WRONG | CLASS(LM_E_NOT_FOUND) | CLASS(LM_E_TOO_LARGE))

static const struct row rows[DEPLOY_STAGES] = {
	[DEPLOY_VALIDATE] = {.name = "validate"},
	[DEPLOY_PREPARE] = {"prepare", "check this device", stage_prepare, .definition = WRONG},
	[DEPLOY_FETCH] = {"fetch", "fetch the compose file, secrets and tokens", stage_fetch,
		stage_fetch_local, .offline = AWAY, .definition = WRONG_OBJECT},
	// At a start the store may have another file by now, which cannot be used.
	[DEPLOY_RESOLVE] = {"resolve", "read the compose file", stage_resolve, stage_resolve,
		.definition = WRONG},
	[DEPLOY_AUTHENTICATE] = {"authenticate", "log in to the registries", stage_authenticate,
		stage_without_login, .offline = AWAY, .definition = WRONG, .online_only = true},
	[DEPLOY_ADMIT] = {"admit", "check disk space and images", stage_admit, stage_admit,
		.definition = WRONG},
	[DEPLOY_PULL] = {"pull", "pull the images", stage_pull, stage_pull, .offline = AWAY,
		.definition = WRONG},
	[DEPLOY_SNAPSHOT] = {"snapshot", "stop the containers for a snapshot of their volumes",
		stage_snapshot, .after = DEPLOY_STOPPED},
	[DEPLOY_DOWN] = {"down", "stop the previous containers", stage_down, .definition = WRONG,
		.after = DEPLOY_STOPPED},
	[DEPLOY_UP] = {"up", "start the application", stage_up, .definition = WRONG,
		.after = DEPLOY_STARTED},
	[DEPLOY_WAIT_HEALTHY] = {"settle", "wait until healthy", stage_wait_healthy},
	[DEPLOY_COMMIT] = {.name = "commit"},
};

/// What a version of the connector, and all up to the next row, does with images. (Spec
/// "Changelog", 4 and 5.) The versions before 4 never pull on purpose; what is missing is pulled
/// here nevertheless, as `up` would have to: first, so that a failure leaves what runs alone.
static const struct order {
	unsigned version;
	bool pulls;
	enum deploy_stage stages[4];
} orders[] = {
	{1, false, {DEPLOY_PULL, DEPLOY_SNAPSHOT, DEPLOY_DOWN, DEPLOY_UP}},
	{4, true, {DEPLOY_SNAPSHOT, DEPLOY_DOWN, DEPLOY_PULL, DEPLOY_UP}},
	{5, true, {DEPLOY_PULL, DEPLOY_SNAPSHOT, DEPLOY_DOWN, DEPLOY_UP}},
};

/// A damaged image is pulled only once it is gone.
static const struct order repair_order = {
	1, false, {DEPLOY_SNAPSHOT, DEPLOY_DOWN, DEPLOY_PULL, DEPLOY_UP}};

static const struct order *order_of(const struct deploy_options *o)
{
	const struct order *found = o->repairs ? &repair_order : &orders[0];

	for (size_t i = 1; i < LM_ARRAY_SIZE(orders) && !o->repairs; i++)
		if (o->version >= orders[i].version)
			found = &orders[i];
	if (o->pulls_first && found->pulls && !o->repairs)
		found = &orders[LM_ARRAY_SIZE(orders) - 1];
	return found;
}

enum { SINCE_FORCE = 2, SINCE_PULL = 5, SINCE_STOP = 6, SINCE_OFFLINE = 7 };

static struct deploy_options effective(const struct deploy_options *asked)
{
	struct deploy_options o = *asked;

	o.force_deploy = o.version >= SINCE_FORCE && o.force_deploy;
	o.pull_before_up = order_of(&o)->pulls && (o.version < SINCE_PULL || o.pull_before_up);
	o.stop_containers =
		((o.version < SINCE_STOP || o.stop_containers) && !o.adopts) || o.repairs;
	o.offline_mode = o.version >= SINCE_OFFLINE && o.offline_mode && !o.repairs;
	return o;
}

static bool applies(enum deploy_stage stage, const struct deploy_options *o)
{
	switch (stage) {
	case DEPLOY_SNAPSHOT:
		return o->snapshot;
	case DEPLOY_DOWN:
		return o->stop_containers;
	case DEPLOY_WAIT_HEALTHY:
		return o->wait_healthy;
	default:
		return true;
	}
}

bool deploy_is_away(lm_rc rc)
{
	return (AWAY & CLASS(rc)) != 0;
}

enum deploy_pull deploy_pull_mode(const struct deploy_options *options)
{
	return effective(options).pull_before_up ? DEPLOY_PULL_ALL : DEPLOY_PULL_MISSING;
}

bool deploy_pulls_after_down(const struct deploy_options *options)
{
	const struct deploy_options o = effective(options);

	return (o.stop_containers || o.snapshot) && order_of(&o)->stages[0] != DEPLOY_PULL;
}

size_t deploy_plan_stages(const struct deploy_options *options, enum deploy_stage *out)
{
	static const enum deploy_stage first[] = {
		DEPLOY_PREPARE, DEPLOY_FETCH, DEPLOY_RESOLVE, DEPLOY_AUTHENTICATE, DEPLOY_ADMIT};
	const struct deploy_options o = effective(options);
	const struct order *order = order_of(&o);
	size_t n = 0;

	for (size_t i = 0; i < LM_ARRAY_SIZE(first); i++)
		if (!o.read_only || first[i] != DEPLOY_AUTHENTICATE)
			out[n++] = first[i];
	if (o.read_only)
		return n;
	for (size_t i = 0; i < LM_ARRAY_SIZE(order->stages); i++)
		if (applies(order->stages[i], &o))
			out[n++] = order->stages[i];
	if (applies(DEPLOY_WAIT_HEALTHY, &o))
		out[n++] = DEPLOY_WAIT_HEALTHY;
	return n;
}

/// What `stage` does instead.
static lm_rc stage_instead(struct stage_run *run, enum deploy_stage stage, struct lm_err *err)
{
	bool changed = false;
	lm_rc rc = LM_OK;

	if (stage != DEPLOY_FETCH && run->options.has_own)
		rc = run->ops->take_own(run->ctx, &changed, err);
	if (!rc && stage == DEPLOY_RESOLVE && !changed)
		return lm_fail(
			err, LM_E_REFUSED, 0, "that is the compose file that was deployed before");
	if (!rc && stage != DEPLOY_RESOLVE && changed)
		rc = run->ops->resolve(run->ctx, err);
	return rc ? rc : rows[stage].instead(run, err);
}

/// Whether offline mode helps against this failure.
static bool may_go_offline(const struct stage_run *run, enum deploy_stage stage, lm_rc rc)
{
	const struct row *row = &rows[stage];

	if (rc == LM_OK || rc == LM_E_CANCELLED || !row->instead || !run->options.offline_mode ||
		run->outcome->offline)
		return false;
	return run->options.has_own || (row->offline & CLASS(rc)) != 0;
}

/// Offline mode: the stage did not get what it needs; what is on this device has to do.
static lm_rc work_offline(struct stage_run *run, enum deploy_stage stage, struct lm_err *err)
{
	char message[LM_ERR_MSG_SIZE + 128];
	struct lm_err local = {LM_OK};

	(void)snprintf(message, sizeof(message), "%s; falling back to local copies", err->msg);
	run->outcome->offline = true;
	lm_rc rc = report_event(run,
		&(struct deploy_event){.stage = stage,
			.state = DEPLOY_PROGRESS,
			.message = message,
			.is_warning = true},
		err);
	if (rc)
		return rc;
	rc = stage_instead(run, stage, &local);
	if (rc == LM_OK || rc == LM_E_CANCELLED) {
		*err = local;
		return rc;
	}
	return lm_fail(err, rc, local.sys, "%s; offline: %s", err->msg, local.msg);
}

static lm_rc do_work(struct stage_run *run, enum deploy_stage stage, struct lm_err *err)
{
	const struct row *row = &rows[stage];
	lm_rc rc = row->work(run, err);
	bool instead = may_go_offline(run, stage, rc);

	if (instead)
		rc = work_offline(run, stage, err);
	if (rc == LM_OK)
		return LM_OK;
	// What is missing on this device is no error in the definition.
	run->outcome->error_class = !instead && (row->definition & CLASS(rc)) != 0
					    ? DEPLOY_INVALID_PARAMETER
					    : DEPLOY_INTERNAL_ERROR;
	return wrap_class(err, rc, row->words);
}

static lm_rc execute_stage(struct stage_run *run, enum deploy_stage stage, struct lm_err *err)
{
	const struct deploy_ops *ops = run->ops;
	struct deploy_event event = {.stage = stage, .state = DEPLOY_BEGIN};
	lm_rc rc = report_event(run, &event, err);

	if (rc)
		return rc;
	uint64_t began_ms = ops->now(run->ctx);
	rc = do_work(run, stage, err);
	event.ms = ops->now(run->ctx) - began_ms;
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc != LM_OK) {
		event.state = DEPLOY_FAIL;
		event.message = err->msg;
		// The outcome tells it again; a broken report cannot make it worse.
		struct lm_err ignored = {LM_OK};
		(void)ops->report(run->ctx, &event, &ignored);
		return rc;
	}
	if (rows[stage].after != DEPLOY_UNTOUCHED)
		run->outcome->effect = rows[stage].after;
	event.state = DEPLOY_END;
	return report_event(run, &event, err);
}

void deploy_run(const struct deploy_options *options, const struct deploy_ops *ops, void *ctx,
	struct deploy_outcome *ret)
{
	struct stage_run run = {effective(options), ops, ctx, ret};
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(options, stages);

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = ops->now(ctx)};
	for (size_t i = 0; i < n && ret->rc == LM_OK; i++) {
		struct lm_err err = {LM_OK};

		if (rows[stages[i]].online_only && ret->offline)
			continue;
		ret->rc = execute_stage(&run, stages[i], &err);
		if (ret->rc != LM_OK) {
			ret->failed = stages[i];
			ret->err = err;
		}
	}
	ret->ended_ms = ops->now(ctx);
}

const char *deploy_stage_name(enum deploy_stage stage)
{
	return (unsigned)stage < DEPLOY_STAGES ? rows[stage].name : "";
}

enum deploy_stage deploy_stage_from_name(const char *name)
{
	for (unsigned i = 0; i < DEPLOY_STAGES; i++)
		if (strcmp(rows[i].name, name) == 0)
			return (enum deploy_stage)i;
	return DEPLOY_STAGES;
}

bool deploy_stage_acts(enum deploy_stage stage)
{
	return stage == DEPLOY_DOWN || stage == DEPLOY_UP;
}

const char *deploy_state_name(enum deploy_state state)
{
	static const char *const names[] = {"begin", "progress", "end", "fail"};

	return (unsigned)state < LM_ARRAY_SIZE(names) ? names[state] : "";
}

const char *deploy_effect_name(enum deploy_effect effect)
{
	static const char *const names[] = {
		"untouched", "stopping", "stopped", "starting", "started"};

	return (unsigned)effect < LM_ARRAY_SIZE(names) ? names[effect] : "";
}

enum deploy_effect deploy_effect_from_name(const char *name)
{
	unsigned i = 0;

	while (i < DEPLOY_EFFECTS &&
		!(name && strcmp(deploy_effect_name((enum deploy_effect)i), name) == 0))
		i++;
	return (enum deploy_effect)i;
}

const char *deploy_effect_text(enum deploy_effect effect)
{
	static const char *const texts[] = {
		[DEPLOY_UNTOUCHED] = "the previous application was not changed",
		[DEPLOY_STOPPING] = "the previous application may be partly stopped",
		[DEPLOY_STOPPED] =
			"the previous application is stopped, and nothing new was started",
		[DEPLOY_STARTING] = "the new containers may be partly started",
		[DEPLOY_STARTED] = "the new containers were started",
	};

	return (unsigned)effect < LM_ARRAY_SIZE(texts) ? texts[effect] : "";
}

const char *deploy_error_class_name(enum deploy_error_class error_class)
{
	return error_class == DEPLOY_INVALID_PARAMETER ? "InvalidParameter" : "InternalError";
}
