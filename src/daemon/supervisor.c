// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/activation.h"
#include "daemon/answers.h"
#include "daemon/container_list.h"
#include "daemon/control_server.h"
#include "daemon/deployment.h"
#include "daemon/earlier_run.h"
#include "daemon/generation.h"
#include "daemon/image_store.h"
#include "daemon/log_router.h"
#include "daemon/orders.h"
#include "daemon/outcomes.h"
#include "daemon/plan_request.h"
#include "daemon/policy_cache.h"
#include "daemon/probation.h"
#include "daemon/progress_publisher.h"
#include "daemon/quarantine.h"
#include "daemon/repair_order.h"
#include "daemon/retries.h"
#include "daemon/teardown.h"
#include "daemon/volume_snapshots.h"
#include "daemon/waiters.h"
#include "daemon/worker_launcher.h"
#include "deploy/lifecycle.h"
#include "docker/compose.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 16 }; ///< More than can follow from one.

struct supervisor {
	struct loop *loop;
	struct store *store;
	struct lifecycle lifecycle;
	struct lifecycle_event events[EVENTS_MAX];
	size_t events_n;
	bool steps; ///< Events are being taken.

	struct waiters waiters;
	struct orders orders;

	struct worker_launcher *workers;
	struct client_devices *devices;
	struct image_store *images;
	struct volume_snapshots *volumes;
	struct activation *activation;
	struct container_list *containers;
	struct outcomes *outcomes;
	struct progress_publisher progress;
	struct deployment *deployment;
	struct teardown *teardown;
	struct plan_request *plan_request;
	bool awaits_workers; ///< `pending` begins once the lock is free,
	bool awaits_leave;   ///< or once the watcher lets it.
	struct lifecycle_action pending;

	struct outcome finished; ///< Of the last deployment, until it is recorded.
	struct repair_order repair;
	struct answers answers;
	struct quarantine *quarantine;
	struct probation *probation;
	struct deployment_gate gate;
	uint64_t probation_ms;        ///< By the policy of what was deployed last.
	unsigned hurried;             ///< Of this one, supervisor_abandon has cut a wait short.
	enum deploy_effect half_done; ///< What the last deployment that was cancelled has done.
	struct metrics_deployments counts; ///< What is not in the store.

	struct retries *retries;
	struct supervisor_watcher watcher;
	struct policy_cache policies;
	loop_cb *exited_cb;
	void *exited_ctx;
};

static void post(struct supervisor *s, struct lifecycle_event event);

static void post_kind(struct supervisor *s, enum lifecycle_event_kind kind)
{
	post(s, (struct lifecycle_event){.kind = kind});
}

static void begin_repair_if_due(struct supervisor *s)
{
	if (repair_order_is_due(&s->repair, &s->lifecycle))
		post_kind(s, EVENT_DAMAGED);
}

// Waiters --------------------------------------------------------------------------------------

/// The client of the stop that waits, or is carried out with nothing behind it; 0: there is none.
static unsigned find_stop(const struct supervisor *s)
{
	const struct lifecycle *l = &s->lifecycle;

	if (l->wanted.state != WANTED_DOWN)
		return 0;
	if (l->next == COMMAND_STOP)
		return l->next_client;
	return l->next == COMMAND_NONE && l->activity == ACTIVITY_STOPPING ? l->client : 0;
}

static const struct waiter *present_waiter(const struct supervisor *s)
{
	return waiters_get(&s->waiters, s->lifecycle.client);
}

static const char *error_name(const struct lm_err *err)
{
	bool is_definitions = err->rc == LM_E_INVALID || err->rc == LM_E_TOO_LARGE;

	return is_definitions ? "InvalidParameter" : "InternalError";
}

// Quarantine -----------------------------------------------------------------------------------

static lm_rc write_quarantine(struct supervisor *s, struct lm_err *err)
{
	lm_rc rc = quarantine_write(s->quarantine, err);

	if (rc == LM_OK)
		post_kind(s, EVENT_QUARANTINED);
	return rc;
}

/// For the first time, or again after the disk has refused it.
static void supervisor_quarantine(struct supervisor *s, const struct lifecycle_action *action)
{
	struct lm_err err = {LM_OK};

	quarantine_add(s->quarantine, action->generation, action->why, s->answers.failure.message);
	if (write_quarantine(s, &err) == LM_OK)
		return;
	lm_error("%s, retrying", err.msg);
	post_kind(s, EVENT_NOT_QUARANTINED);
}

static void lift(struct supervisor *s, unsigned n)
{
	answers_forget_rollback(&s->answers);
	quarantine_lift(s->quarantine, n);
}

static lm_rc confirm(struct supervisor *s, unsigned n, struct lm_err *err)
{
	lm_rc rc = store_confirm(s->store, n, err);

	if (rc && rc != LM_E_INVALID) // another one has taken its place
		return lm_wrap(err, "record that generation %u has passed its probation", n);
	volume_snapshots_tidy(s->volumes);
	post_kind(s, EVENT_CONFIRMED);
	return LM_OK;
}

static void supervisor_confirm(struct supervisor *s, unsigned n)
{
	struct lm_err err = {LM_OK};

	if (confirm(s, n, &err) == LM_OK)
		return;
	lm_error("%s, retrying", err.msg);
	post_kind(s, EVENT_NOT_CONFIRMED);
}

/// What the disk has refused until now, before anything else begins.
static lm_rc settle(struct supervisor *s, struct lm_err *err)
{
	const struct lifecycle *l = &s->lifecycle;
	lm_rc rc = outcomes_settle(s->outcomes, err);

	if (rc == LM_OK && quarantine_is_owed(s->quarantine)) // else its event is on the way
		rc = write_quarantine(s, err);
	if (rc == LM_OK && l->unconfirmed)
		rc = confirm(s, l->proven, err);
	return rc;
}

// Deployments ----------------------------------------------------------------------------------

static void on_acts(void *ctx)
{
	post_kind(ctx, EVENT_ACTS);
}

/// What a deployment that was cancelled for this one had already done is part of what happened to
/// what ran.
static void add_half_done(struct supervisor *s, struct outcome *outcome)
{
	const struct lifecycle *l = &s->lifecycle;
	bool is_ordered = l->command == COMMAND_DEPLOY && !l->own;
	char *message;

	if (outcome->success || outcome->effect != DEPLOY_UNTOUCHED || !is_ordered ||
		l->actual != ACTUAL_PARTIAL || l->runs == 0 || l->runs == outcome->generation)
		return;
	if (l->good)
		message = lm_xasprintf("%s; generation %u, which was still being deployed, had "
				       "already changed the running application, so generation %u "
				       "is started again",
			outcome->message, l->runs, l->good);
	else
		message = lm_xasprintf("%s; generation %u, which was still being deployed, had "
				       "already changed the running application",
			outcome->message, l->runs);
	free(outcome->message);
	outcome->message = message;
	outcome->effect = s->half_done;
}

/// What ran was stopped for a snapshot of its volumes, and nothing else was done.
static void add_stopped(const struct supervisor *s, struct outcome *outcome)
{
	const struct lifecycle *l = &s->lifecycle;

	if (!outcome->only_stopped || !l->good || l->before.state == WANTED_DOWN)
		return;
	char *message =
		lm_xasprintf("%s; generation %u is started again", outcome->message, l->good);
	free(outcome->message);
	outcome->message = message;
}

static void note_success(struct supervisor *s)
{
	if (s->watcher.deployed)
		s->watcher.deployed(s->watcher.ctx);
	if (!s->repair.is_under_way)
		return;
	lm_info("the damaged images of generation %u were replaced", s->repair.generation);
	if (s->watcher.repaired)
		s->watcher.repaired(s->watcher.ctx, s->repair.generation);
	repair_order_end(&s->repair);
}

static void on_deployment_done(void *ctx, struct outcome *outcome)
{
	struct supervisor *s = ctx;

	deployment_destroy(lm_take(s->deployment));
	activation_end(s->activation, outcome->success);
	outcome_finish(&s->finished);
	if (!outcome->cancelled) {
		add_half_done(s, outcome);
		add_stopped(s, outcome);
	} else if (s->lifecycle.actual == ACTUAL_PARTIAL)
		s->half_done = outcome->effect;
	s->finished = *outcome;
	*outcome = (struct outcome){0};
	answers_note_outcome(&s->answers, &s->finished);
	retries_note_space(
		s->retries, lm_take(s->finished.space_directory), s->finished.space_bytes);
	if (s->finished.success) {
		note_success(s);
		s->probation_ms = s->finished.probation_ms;
		post(s, (struct lifecycle_event){
				.kind = EVENT_DEPLOYED, .probation = s->probation_ms > 0});
	} else if (s->finished.cancelled) {
		s->counts.by_outcome[METRICS_CANCELLED]++;
		post(s, (struct lifecycle_event){
				.kind = EVENT_CANCELLED, .stopped = s->finished.only_stopped});
	} else {
		post(s, (struct lifecycle_event){.kind = EVENT_FAILED,
				.failure = s->finished.failure,
				.stopped = s->finished.only_stopped,
				.abandoned = s->finished.abandoned,
				.rolls_back = s->finished.rolls_back});
	}
}

/// An attempt of another generation is still open in the store.
static lm_rc close_other(struct supervisor *s, unsigned n, struct lm_err *err)
{
	unsigned open = store_state(s->store)->open;

	return open && open != n ? outcomes_close_open(s->outcomes, err) : LM_OK;
}

static lm_rc begin_generation(struct supervisor *s, const struct lifecycle_action *action,
	unsigned *ret_n, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	unsigned n = action->own ? orders_find_quarantined(&s->orders, s->orders.deploy, NULL) : 0;

	if (n) // since it was ordered
		return lm_fail(err, LM_E_INVALID, 0,
			"the group file is that of generation %u, which is quarantined; use "
			"'lighterman deploy FILE' to try it again",
			n);
	lm_rc rc = orders_format(s->orders.deploy, &text, err);
	if (rc == LM_OK && !action->own)
		rc = close_other(s, 0, err);
	if (rc == LM_OK)
		rc = store_begin(s->store, lm_buf_str(&text), action->own, action->before,
			action->touched, ret_n, err);
	if (rc != LM_E_CONFLICT)
		return rc;
	rc = close_other(s, 0, err);
	return rc ? rc
		  : store_begin(s->store, lm_buf_str(&text), action->own, action->before,
			    action->touched, ret_n, err);
}

/// The generation whose attempt begins, its definition, and what runs until then.
static lm_rc supervisor_begin_attempt(struct supervisor *s, const struct lifecycle_action *action,
	struct deployment_spec *spec, struct lm_err *err)
{
	unsigned n = action->generation;

	// Before another attempt replaces its outcome.
	lm_rc rc = settle(s, err);
	outcomes_send(s->outcomes);
	if (rc == LM_OK && n == 0) {
		spec->previous = generation_before(s->store, s->orders.deploy, 0);
		rc = begin_generation(s, action, &spec->generation, err);
		if (rc == LM_OK)
			spec->group = lm_take(s->orders.deploy);
		return rc;
	}
	spec->generation = n;
	if (rc == LM_OK)
		rc = generation_read(s->store, n, &spec->group, err);
	if (rc == LM_OK) {
		spec->previous = generation_before(s->store, spec->group, s->lifecycle.leaves);
		rc = close_other(s, n, err);
	}
	return rc ? rc : store_rerun(s->store, n, err);
}

static void refuse_deployment(struct supervisor *s, const struct lm_err *err)
{
	lm_error("cannot start the deployment: %s", err->msg);
	s->counts.by_outcome[METRICS_FAILED]++;
	answers_note_failure(&s->answers, error_name(err), err->msg);
	post(s, (struct lifecycle_event){
			.kind = EVENT_NOT_BEGUN, .failure = lifecycle_failure_of(err->rc)});
}

/// What brings up an application that is down or damaged, or goes back, does not wait.
static void begin_activation(struct supervisor *s, const struct lifecycle_action *action,
	const struct deployment_spec *spec)
{
	const struct activation_terms terms = {
		.generation = spec->generation,
		.policy = &spec->group->connector.policy,
		.may_wait = !action->restores && !action->touched,
		.now = action->generation == 0 && s->orders.now,
	};

	activation_begin(s->activation, &terms);
}

static void begin_deployment(struct supervisor *s, const struct lifecycle_action *action)
{
	const struct deployment_events events = {on_acts, on_deployment_done, s};
	struct deployment_spec spec = {.use = action->keeps      ? FALLBACK_KEEPS
					      : action->restores ? FALLBACK_RESTORES
								 : FALLBACK_ORDINARY};
	struct lm_err err = {LM_OK};

	if (supervisor_begin_attempt(s, action, &spec, &err)) {
		group_destroy(spec.group);
		refuse_deployment(s, &err);
		return;
	}
	// What runs again instead of what has failed needs no copy of what that has done.
	if (!action->restores || s->lifecycle.command == COMMAND_ROLLBACK)
		spec.policy = volume_policy_of(spec.group);
	spec.back = s->lifecycle.good;
	spec.gate = s->gate.ask ? &s->gate : NULL;
	log_router_apply(spec.group);
	s->counts.rollbacks += action->restores && s->lifecycle.leaves &&
			       spec.generation == s->lifecycle.wanted.generation;
	spec.damaged = repair_order_begin(&s->repair, &s->lifecycle, spec.generation);
	if (spec.damaged) {
		lm_info("replacing damaged images of generation %u", spec.generation);
		spec.use = FALLBACK_ORDINARY;
	}
	if (spec.use != FALLBACK_ORDINARY)
		lm_info("generation %u ran before: what cannot be fetched is taken from this "
			"device",
			spec.generation);
	post(s, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = spec.generation});
	waiter_send(
		present_waiter(s), json_pack("{s:i}", "generation", (int)spec.generation), false);
	begin_activation(s, action, &spec);
	s->deployment = deployment_create(s->store, s->workers, s->devices, s->images, s->volumes,
		s->activation, &s->progress, &events);
	deployment_start(s->deployment, &spec);
}

static void log_outcome(const struct outcome *o)
{
	if (o->success)
		lm_info("generation %u is deployed, in %.1f s", o->generation,
			(double)o->ms / 1000);
	else
		lm_error("the deployment of generation %u failed in stage %s (%s): %s",
			o->generation, o->stage, o->error, o->message);
}

static void count_outcome(struct supervisor *s, const struct outcome *o)
{
	bool is_definitions = o->error && strcmp(o->error, "InvalidParameter") == 0;

	if (o->success)
		s->counts.last_success_ms = o->ended_ms;
	s->counts.by_outcome[o->success       ? METRICS_SUCCESS
			     : is_definitions ? METRICS_INVALID
					      : METRICS_FAILED]++;
}

/// The deployment that has failed is rolled back: whoever waits gets the answer after that.
static void note_rollback(struct supervisor *s, const struct lifecycle_target *back)
{
	struct outcome *o = &s->finished;
	char *message = answers_note_rollback(&s->answers, o->message, back);

	free(o->message);
	o->message = message;
	waiter_send(present_waiter(s), json_pack("{s:s}", "warning", message), false);
}

static void supervisor_record_outcome(struct supervisor *s, const struct lifecycle_action *action)
{
	bool success = s->finished.success;
	uint64_t began_ms = lm_clock_mono_ms();
	struct lm_err err = {LM_OK};

	s->finished.probation = action->probation;
	if (action->back.state != WANTED_NOTHING)
		note_rollback(s, &action->back);
	count_outcome(s, &s->finished);
	log_outcome(&s->finished);
	if (outcomes_record(s->outcomes, &s->finished, action->publish, &err) == LM_OK) {
		volume_snapshots_tidy(s->volumes);
		if (success)
			progress_publisher_own_stage(&s->progress, "commit", began_ms);
		post_kind(s, EVENT_RECORDED);
		return;
	}
	lm_auto_free char *text = lm_xasprintf(
		"the outcome of this deployment could not be recorded yet: %s", err.msg);
	// Still of the one who waits for it.
	waiter_send(s->progress.waiter, json_pack("{s:s}", "warning", text), false);
	post_kind(s, EVENT_NOT_RECORDED);
}

static void record_again(struct supervisor *s)
{
	struct lm_err ignored; // logged when it failed first

	if (outcomes_settle(s->outcomes, &ignored))
		post_kind(s, EVENT_NOT_RECORDED);
	else
		post_kind(s, EVENT_RECORDED);
}

// Probation ------------------------------------------------------------------------------------

static void on_probation_passed(void *ctx)
{
	struct supervisor *s = ctx;

	lm_info("generation %u has passed its probation", lifecycle_on_probation(&s->lifecycle));
	post_kind(s, EVENT_PROVEN);
}

static void on_probation_failed(void *ctx, const char *why)
{
	struct supervisor *s = ctx;
	const struct lifecycle *l = &s->lifecycle;
	unsigned n = lifecycle_on_probation(l);
	lm_auto_free char *text =
		lm_xasprintf("generation %u has failed in its probation: %s%s", n, why,
			l->proven ? ""
				  : "; it keeps running, as no earlier generation was deployed "
				    "successfully");

	lm_error("%s", text);
	answers_note_unsound(&s->answers, text);
	post_kind(s, EVENT_UNSOUND);
}

static void revoke_success(struct supervisor *s, const struct lifecycle_action *action)
{
	lm_auto_free char *message = answers_note_revocation(&s->answers, &action->back);
	struct lm_err err = {LM_OK};

	s->counts.by_outcome[METRICS_FAILED]++;
	if (outcomes_revoke(s->outcomes, action->generation, message, &err))
		lm_error("record that generation %u has failed in its probation: %s, ignoring",
			action->generation, err.msg);
}

/// What runs is watched as long as it is on probation and we leave it alone.
static void follow_probation(struct supervisor *s)
{
	const struct lifecycle *l = &s->lifecycle;
	bool rests = l->activity == ACTIVITY_IDLE || l->activity == ACTIVITY_WAITING ||
		     l->activity == ACTIVITY_RECORDING;
	unsigned n = lifecycle_on_probation(l);

	if (!n) {
		probation_end(s->probation);
		return;
	}
	if (!probation_is_on(s->probation)) {
		lm_info("generation %u is on probation for %u s", n,
			(unsigned)(s->probation_ms / 1000));
		probation_begin(s->probation, s->probation_ms);
	}
	probation_pause(s->probation, !rests);
	probation_look(s->probation);
}

void supervisor_containers_changed(struct supervisor *s)
{
	activation_containers_changed(s->activation);
	probation_look(s->probation);
}

// Stops, plans, questions ------------------------------------------------------------------------

static void on_teardown_done(void *ctx, const char *why)
{
	struct supervisor *s = ctx;

	if (why) {
		lm_error("stop the application: %s", why);
		lm_auto_free char *text = lm_xasprintf("stop the application: %s", why);
		answers_note_failure(&s->answers, "InternalError", text);
	} else {
		client_devices_stop(s->devices);
	}
	teardown_destroy(lm_take(s->teardown)); // has `why`
	post_kind(s, why ? EVENT_FAILED : EVENT_TORN_DOWN);
}

static void begin_teardown(struct supervisor *s)
{
	const struct teardown_events events = {on_teardown_done, s};

	s->teardown = teardown_create(s->store, s->workers, &s->progress, &events);
	teardown_start(s->teardown);
}

static void on_plan_done(void *ctx, const char *why)
{
	struct supervisor *s = ctx;

	if (why)
		answers_note_failure(&s->answers, "InternalError",
			s->answers.why_cancelled ? s->answers.why_cancelled : why);
	else
		answers_forget_failure(&s->answers);
	plan_request_destroy(lm_take(s->plan_request)); // has `why`
	post_kind(s, EVENT_PLANNED);
}

static void begin_plan(struct supervisor *s)
{
	const struct plan_request_events events = {on_plan_done, s};
	struct lm_err err = {LM_OK};

	s->plan_request = plan_request_create(s->store, s->workers, s->volumes, s->lifecycle.good,
		&s->progress, lm_take(s->orders.plan), &events);
	if (plan_request_start(s->plan_request, &err) == LM_OK)
		return;
	plan_request_destroy(lm_take(s->plan_request));
	answers_note_failure(&s->answers, error_name(&err), err.msg);
	post(s, (struct lifecycle_event){
			.kind = EVENT_NOT_BEGUN, .failure = lifecycle_failure_of(err.rc)});
}

/// Whether a container of the application (not a one-off one) keeps it from being stopped. Before a
/// teardown one that has exited counts, too: the engine may start it again. Afterwards only one
/// that runs does.
static bool is_left(const struct engine_container *c, bool after_teardown)
{
	return (container_list_is_up(c) || !after_teardown) && !c->oneoff && c->service[0] != '\0';
}

static void on_looked(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct supervisor *s = ctx;
	const struct engine_container *found = NULL;
	bool after_teardown = s->lifecycle.command == COMMAND_STOP;

	for (size_t i = 0; rc == LM_OK && i < list->n && !found; i++)
		found = is_left(&list->items[i], after_teardown) ? &list->items[i] : NULL;
	if (rc) {
		lm_auto_free char *text =
			lm_xasprintf("find out which containers run: %s", err->msg);
		lm_warn("%s", text);
		answers_note_failure(&s->answers, "InternalError", text);
		post_kind(s, EVENT_ENGINE_AWAY);
	} else if (found) {
		lm_auto_free char *text = lm_xasprintf(
			"the application should be stopped, but there is container '%s' (%s)",
			found->name, found->state);
		lm_info("%s", text);
		answers_note_failure(&s->answers, "InternalError", text);
		post_kind(s, EVENT_RUNS_SOMETHING);
	} else {
		lm_info("the application is stopped");
		post_kind(s, EVENT_RUNS_NOTHING);
	}
}

static void supervisor_look(struct supervisor *s)
{
	container_list_forget(s->containers, s);
	container_list_ask(s->containers, on_looked, s);
}

static void supervisor_save(struct supervisor *s)
{
	const struct lifecycle *l = &s->lifecycle;
	const struct store_want want = {.wanted = l->wanted,
		.before = l->before,
		.touched = l->touched,
		.leaves = l->leaves,
		.failed = l->failed};
	struct lm_err err = {LM_OK};

	if (store_want(s->store, &want, &err) == LM_OK) {
		post_kind(s, EVENT_SAVED);
		return;
	}
	lm_error("%s, retrying", err.msg);
	post_kind(s, EVENT_NOT_SAVED);
}

// Actions ----------------------------------------------------------------------------------------

static void begin_with_worker(struct supervisor *s, const struct lifecycle_action *action);

static void on_workers_may_start(void *ctx)
{
	struct supervisor *s = ctx;
	const struct lifecycle_action action = s->pending;

	begin_with_worker(s, &action);
}

static void begin_with_worker(struct supervisor *s, const struct lifecycle_action *action)
{
	s->answers.why_cancelled = NULL;
	s->progress.waiter = present_waiter(s);
	if (s->watcher.starts)
		s->watcher.starts(s->watcher.ctx, action->kind != ACTION_PLAN);
	s->awaits_leave = action->kind != ACTION_PLAN && s->watcher.may_act &&
			  !s->watcher.may_act(s->watcher.ctx);
	s->awaits_workers =
		s->awaits_leave || !worker_launcher_may_start(s->workers, on_workers_may_start, s);
	if (s->awaits_workers)
		s->pending = *action;
	else if (action->kind == ACTION_BEGIN)
		begin_deployment(s, action);
	else if (action->kind == ACTION_TAKE_DOWN)
		begin_teardown(s);
	else
		begin_plan(s);
}

void supervisor_continue(struct supervisor *s)
{
	if (s->awaits_workers && s->awaits_leave)
		on_workers_may_start(s);
	activation_continue(s->activation);
}

/// What has not begun is over at once.
static void cancel_pending(struct supervisor *s)
{
	bool plans = s->pending.kind == ACTION_PLAN;

	worker_launcher_forget(s->workers);
	s->awaits_workers = false;
	answers_note_failure(&s->answers, "InternalError", s->answers.why_cancelled);
	post_kind(s, plans ? EVENT_PLANNED : EVENT_CANCELLED);
}

static void cancel(struct supervisor *s, enum lifecycle_reason reason)
{
	bool plans = s->plan_request || (s->awaits_workers && s->pending.kind == ACTION_PLAN);

	answers_note_cancel(&s->answers, reason, plans);
	if (!plans)
		lm_info("the deployment of generation %u is cancelled: %s", s->lifecycle.subject,
			s->answers.why_cancelled);
	if (s->awaits_workers)
		cancel_pending(s);
	else if (s->plan_request)
		plan_request_cancel(s->plan_request);
	else
		deployment_cancel(s->deployment);
}

static bool waits_for_activation(const struct supervisor *s)
{
	struct activation_view ignored;

	return activation_view(s->activation, &ignored);
}

static void answer(struct supervisor *s, const struct lifecycle_action *action)
{
	enum lifecycle_command command = waiters_command(&s->waiters, action->client);

	if (s->progress.waiter == waiters_get(&s->waiters, action->client))
		s->progress.waiter = NULL;
	waiters_answer(&s->waiters, action->client,
		answers_last_line(&s->answers, &s->lifecycle, action->answer, command,
			waits_for_activation(s)));
}

static void exit_program(struct supervisor *s)
{
	loop_cb *exited = lm_take(s->exited_cb);

	if (s->lifecycle.unrecorded)
		lm_warn("the outcome of the last deployment is not recorded; the next start "
			"deploys it again");
	if (s->lifecycle.unsaved)
		lm_warn("the last command is not recorded; the next start follows the one before "
			"it");
	if (exited)
		exited(s->exited_ctx);
}

static void perform(struct supervisor *s, const struct lifecycle_action *action)
{
	switch (action->kind) {
	case ACTION_BEGIN:
	case ACTION_TAKE_DOWN:
	case ACTION_PLAN:
		begin_with_worker(s, action);
		break;
	case ACTION_CANCEL:
		cancel(s, action->reason);
		break;
	case ACTION_LOOK:
		supervisor_look(s);
		break;
	case ACTION_SAVE:
		supervisor_save(s);
		break;
	case ACTION_RECORD:
		supervisor_record_outcome(s, action);
		break;
	case ACTION_RECORD_AGAIN:
		record_again(s);
		break;
	case ACTION_QUARANTINE:
		supervisor_quarantine(s, action);
		break;
	case ACTION_LIFT:
		lift(s, action->generation);
		break;
	case ACTION_CONFIRM:
		supervisor_confirm(s, action->generation);
		break;
	case ACTION_REVOKE:
		revoke_success(s, action);
		break;
	case ACTION_PUBLISH:
		outcomes_refuse(s->outcomes, s->answers.failure.error, s->answers.failure.message);
		break;
	case ACTION_ANSWER:
		answer(s, action);
		break;
	case ACTION_SET_TIMER:
		retries_set(s->retries, action, s->lifecycle.wanted.state);
		break;
	case ACTION_STOP_TIMER:
		retries_stop(s->retries);
		break;
	case ACTION_SET_DEBT_TIMER:
		retries_set_debt(s->retries);
		break;
	case ACTION_EXIT:
		exit_program(s);
		break;
	}
}

// Events -----------------------------------------------------------------------------------------

static bool supervisor_is_idle(const struct supervisor *s)
{
	return s->lifecycle.activity == ACTIVITY_IDLE ||
	       s->lifecycle.activity == ACTIVITY_WAITING ||
	       s->lifecycle.activity == ACTIVITY_RECORDING;
}

/// However it came to be down: a deployment that failed after `down` leaves nothing to be stopped.
static void stop_devices_if_down(struct supervisor *s)
{
	if (s->lifecycle.wanted.state == WANTED_DOWN && s->lifecycle.actual == ACTUAL_NOTHING)
		client_devices_stop(s->devices);
}

static void notify_watcher(struct supervisor *s)
{
	s->progress.waiter = present_waiter(s);
	if (s->watcher.changed)
		s->watcher.changed(s->watcher.ctx);
	if (supervisor_is_idle(s) && s->watcher.idle)
		s->watcher.idle(s->watcher.ctx);
}

/// Takes the events one after the other, and those that follow from them.
static void take_events(struct supervisor *s)
{
	s->steps = true;
	while (s->events_n > 0) {
		const struct lifecycle_event event = s->events[0];
		struct lifecycle_actions actions = {.n = 0};

		memmove(s->events, s->events + 1, --s->events_n * sizeof(*s->events));
		lifecycle_step(&s->lifecycle, &event, &actions);
		for (size_t i = 0; i < actions.n; i++)
			perform(s, &actions.items[i]);
	}
	s->steps = false;
	retries_note_debts(s->retries, &s->lifecycle);
	stop_devices_if_down(s);
	notify_watcher(s);
	follow_probation(s); // last, as is what follows: more events may come of it
	begin_repair_if_due(s);
}

static void post(struct supervisor *s, struct lifecycle_event event)
{
	assert(s->events_n < EVENTS_MAX);
	s->events[s->events_n++] = event;
	if (!s->steps)
		take_events(s);
}

static void on_again(void *ctx)
{
	post_kind(ctx, EVENT_TIMER);
}

static void on_settle(void *ctx)
{
	post_kind(ctx, EVENT_DEBT_TIMER);
}

static void on_progress_changed(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->watcher.changed)
		s->watcher.changed(s->watcher.ctx);
}

// Activation -------------------------------------------------------------------------------------

/// While a deployment waits, what runs is watched as if there were none.
static void on_activation_waits(void *ctx, bool waits)
{
	struct supervisor *s = ctx;

	if (waits && s->watcher.waits)
		s->watcher.waits(s->watcher.ctx);
	else if (!waits && s->watcher.starts)
		s->watcher.starts(s->watcher.ctx, true);
	notify_watcher(s);
}

static void on_activation_changed(void *ctx, const char *message)
{
	struct supervisor *s = ctx;
	struct activation_view view;
	lm_auto_json json_t *waits =
		activation_view(s->activation, &view) ? activation_to_json(&view) : json_null();

	progress_publisher_wait(&s->progress, message, waits);
	notify_watcher(s);
}

static bool activation_may_act(void *ctx)
{
	const struct supervisor *s = ctx;

	return !s->watcher.may_act || s->watcher.may_act(s->watcher.ctx);
}

void supervisor_activate(struct supervisor *s, const struct waiter *waiter)
{
	struct waiter waits = *waiter;
	unsigned n = s->lifecycle.subject;

	if (s->lifecycle.activity != ACTIVITY_DEPLOYING || !activation_now(s->activation)) {
		waiter_finish(&waits, control_last_line(1, "no deployment waits"));
		return;
	}
	lm_info("a person wants generation %u activated at once", n);
	lm_auto_free char *text = lm_xasprintf("generation %u is activated now", n);
	waiter_finish(&waits, control_last_line(0, text));
}

// Commands ---------------------------------------------------------------------------------------

static void send_warnings(const struct group *group, const struct waiter *waiter)
{
	for (size_t i = 0; i < group->warnings_n; i++)
		waiter_send(waiter, json_pack("{s:s}", "warning", group->warnings[i]), false);
}

/// Whether a definition that nobody but a file names is to be deployed: not if it is quarantined,
/// nor while it is being gone back to, which needs nothing of the file, nor at our own start if it
/// was left running. Logs why not.
static bool is_deployed_by_file(struct supervisor *s, const struct group *group, bool is_own)
{
	const struct lifecycle *l = &s->lifecycle;
	lm_auto_free char *reason = NULL;
	unsigned n = orders_find_quarantined(&s->orders, group, &reason);

	if (n) {
		lm_warn("the group file is that of generation %u, which is quarantined (%s): it is "
			"not deployed; 'lighterman deploy FILE' tries it again",
			n, reason);
		return false;
	}
	n = orders_find_deployed(&s->orders, group);
	if (n != 0 && is_own && supervisor_left_running(s) == n)
		return false;
	if (n == 0 || l->leaves == 0 || l->wanted.generation != n)
		return true;
	lm_info("the group file is that of generation %u, which is started again already", n);
	return false;
}

/// Only a person may try again what is quarantined. Answers the waiter.
static bool refuse_quarantined(
	struct supervisor *s, const struct group *group, struct waiter *waiter)
{
	lm_auto_free char *reason = NULL, *text = NULL;
	unsigned n = orders_find_quarantined(&s->orders, group, &reason);

	if (!n)
		return false;
	text = lm_xasprintf("the definition is that of generation %u, which is quarantined: %s; "
			    "'lighterman deploy FILE' on the device tries it again",
		n, reason);
	waiter_finish(waiter, control_last_line(2, text));
	return true;
}

void supervisor_deploy(struct supervisor *s, struct lm_str group_file,
	enum supervisor_origin origin, const struct waiter *waiter)
{
	bool own = origin == ORIGIN_START;
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (orders_parse(group_file, waiter, &group, &err)) {
		lm_error("the group file is not valid: %s", err.msg);
		s->counts.by_outcome[METRICS_INVALID]++;
		outcomes_refuse(s->outcomes, "InvalidParameter", err.msg);
		notify_watcher(s);
		waiter_finish(&waits, control_last_line(2, err.msg));
		if (own)
			supervisor_resume(s);
		return;
	}
	log_router_apply(group);
	for (size_t i = 0; i < group->warnings_n; i++)
		lm_warn("group file: %s", group->warnings[i]);
	send_warnings(group, waiter);
	if (origin == ORIGIN_JOB && refuse_quarantined(s, group, &waits))
		return;
	bool is_order =
		origin == ORIGIN_PERSON || origin == ORIGIN_PERSON_NOW || origin == ORIGIN_JOB;
	if (!is_order && !is_deployed_by_file(s, group, own)) {
		if (own)
			supervisor_resume(s);
		return;
	}
	if (!s->lifecycle.exits) {
		orders_set_deploy(&s->orders, lm_take(group), origin == ORIGIN_PERSON_NOW);
	}
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_DEPLOY,
			.client = waiters_add(&s->waiters, COMMAND_DEPLOY, waiter, 0),
			.own = own});
}

void supervisor_refuse(struct supervisor *s, const struct lm_err *err)
{
	lm_error("%s", err->msg);
	s->counts.by_outcome[METRICS_FAILED]++;
	outcomes_refuse(s->outcomes, error_name(err), err->msg);
	notify_watcher(s);
}

/// Of what a deployment of it would end.
static void send_plan_warnings(
	struct supervisor *s, const struct group *group, const struct waiter *waiter)
{
	lm_auto_free char *reason = NULL, *text = NULL;
	unsigned n = orders_find_quarantined(&s->orders, group, &reason);
	unsigned proving = lifecycle_on_probation(&s->lifecycle);
	bool runs = s->lifecycle.wanted.state != WANTED_NOTHING && !s->lifecycle.touched &&
		    s->lifecycle.actual != ACTUAL_NOTHING;
	lm_auto_free char *wait = runs ? activation_foretell(&group->connector.policy) : NULL;

	if (wait)
		waiter_send(waiter, json_pack("{s:s}", "warning", wait), false);
	if (n) {
		text = lm_xasprintf("this is the definition of generation %u, which is "
				    "quarantined: %s; 'lighterman deploy' tries it again",
			n, reason);
		waiter_send(waiter, json_pack("{s:s}", "warning", text), false);
	}
	if (proving) {
		free(text);
		text = lm_xasprintf("generation %u is still on probation, which the deployment of "
				    "another one ends",
			proving);
		waiter_send(waiter, json_pack("{s:s}", "warning", text), false);
	}
}

void supervisor_plan(struct supervisor *s, struct lm_str group_file, const struct waiter *waiter)
{
	struct group *group = NULL;
	struct waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (orders_parse(group_file, waiter, &group, &err)) {
		waiter_finish(&waits, control_last_line(2, err.msg));
		return;
	}
	if (supervisor_is_idle(s)) {
		send_warnings(group, waiter);
		send_plan_warnings(s, group, waiter);
	}
	if (s->awaits_workers && s->pending.kind == ACTION_PLAN)
		group_destroy(group); // that of the plan that waits stays
	else
		orders_set_plan(&s->orders, group);
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_PLAN,
			.client = waiters_add(&s->waiters, COMMAND_PLAN, waiter, 0)});
}

/// The newest generation before the present one that was deployed with success and is not
/// quarantined; 0: there is none.
static unsigned find_earlier(struct supervisor *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	struct lm_err ignored; // none is known then

	if (store_list(s->store, &numbers, &n, &ignored))
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (numbers[i] < s->lifecycle.good &&
			generation_was_deployed(s->store, numbers[i]) &&
			!quarantine_has(s->quarantine, numbers[i], NULL))
			return numbers[i];
	}
	return 0;
}

static lm_rc check_rollback(struct supervisor *s, unsigned n, struct lm_err *err)
{
	const struct lifecycle *l = &s->lifecycle;
	lm_auto_free char *definition = NULL;
	struct lm_err ignored;

	if (n == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"there is no earlier generation to go back to that was deployed "
			"successfully and is not quarantined");
	if (store_read_definition(s->store, n, &definition, &ignored) == LM_E_NOT_FOUND)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"there is no generation %u (any more): 'lighterman history' lists those "
			"that are kept",
			n);
	if (!generation_was_deployed(s->store, n))
		return lm_fail(err, LM_E_INVALID, 0,
			"generation %u was never deployed successfully: 'lighterman history' lists "
			"those that were",
			n);
	if (l->wanted.state == WANTED_UP && l->wanted.generation == n && lifecycle_is_fulfilled(l))
		return lm_fail(err, LM_E_CONFLICT, 0, "generation %u runs already", n);
	return LM_OK;
}

static unsigned find_rollback_target(struct supervisor *s)
{
	unsigned n = lifecycle_rollback_target(&s->lifecycle);

	return n ? n : find_earlier(s);
}

lm_rc supervisor_find_rollback(struct supervisor *s, unsigned *ret, struct lm_err *err)
{
	*ret = find_rollback_target(s);
	if (s->lifecycle.wanted.state == WANTED_NOTHING)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "nothing was deployed yet");
	return check_rollback(s, *ret, err);
}

bool supervisor_abandon(struct supervisor *s, unsigned generation, const char *why)
{
	const struct lifecycle *l = &s->lifecycle;

	if (l->activity == ACTIVITY_WAITING && l->wanted.state == WANTED_UP &&
		l->wanted.generation == generation && s->hurried != generation) {
		// The attempt that waits, perhaps for disk space, comes now, and is abandoned. If
		// it cannot even begin, it is when its time has come.
		s->hurried = generation;
		retries_stop(s->retries);
		post_kind(s, EVENT_TIMER);
	}
	return s->deployment && l->activity == ACTIVITY_DEPLOYING && l->subject == generation &&
	       deployment_abandon(s->deployment, why);
}

void supervisor_set_gate(struct supervisor *s, const struct deployment_gate *gate)
{
	s->gate = *gate;
}

void supervisor_rollback(struct supervisor *s, unsigned generation, const struct waiter *waiter)
{
	struct waiter waits = *waiter;
	unsigned n = generation ? generation : find_rollback_target(s);
	struct lm_err err = {LM_OK};

	if (s->lifecycle.wanted.state != WANTED_NOTHING && check_rollback(s, n, &err)) {
		waiter_finish(&waits, control_last_line(1, err.msg));
		return;
	}
	lm_info("going back to generation %u, as ordered", n);
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_ROLLBACK,
			.client = waiters_add(&s->waiters, COMMAND_ROLLBACK, waiter, 0),
			.generation = n,
			.quarantined = quarantine_has(s->quarantine, n, NULL)});
}

void supervisor_start(struct supervisor *s, const struct waiter *waiter)
{
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_START,
			.client = waiters_add(&s->waiters, COMMAND_START, waiter, 0)});
}

void supervisor_stop(struct supervisor *s, const struct waiter *waiter)
{
	unsigned first = find_stop(s);

	if (first && !s->lifecycle.unsaved) {
		(void)waiters_add(&s->waiters, COMMAND_STOP, waiter, first);
		return;
	}
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_STOP,
			.client = waiters_add(&s->waiters, COMMAND_STOP, waiter, 0)});
}

void supervisor_resume(struct supervisor *s)
{
	switch (s->lifecycle.wanted.state) {
	case WANTED_NOTHING:
		lm_info("nothing was deployed yet: use 'lighterman deploy FILE'");
		break;
	case WANTED_DOWN:
		lm_info("the application stays stopped: 'lighterman start' starts it");
		break;
	case WANTED_UP:
		if (lifecycle_is_fulfilled(&s->lifecycle))
			lm_info("generation %u was left running and runs on", s->lifecycle.runs);
		break;
	}
	post_kind(s, EVENT_RESUME);
}

void supervisor_exit(struct supervisor *s, bool leaves_running, loop_cb *done, void *ctx)
{
	s->exited_cb = done;
	s->exited_ctx = ctx;
	post(s, (struct lifecycle_event){.kind = EVENT_EXIT,
			.takes_down = !leaves_running && teardown_is_due_at_exit(s->store)});
}

unsigned supervisor_left_running(const struct supervisor *s)
{
	const struct lifecycle *l = &s->lifecycle;

	return l->wanted.state == WANTED_UP && lifecycle_is_fulfilled(l) ? l->runs : 0;
}

void supervisor_forget(struct supervisor *s, const void *ctx)
{
	unsigned number = waiters_forget(&s->waiters, ctx);

	if (number)
		post(s, (struct lifecycle_event){.kind = EVENT_FORGET, .client = number});
}

void supervisor_repair(struct supervisor *s, unsigned n, json_t *images, bool at_once)
{
	repair_order_set(&s->repair, n, images, at_once);
	if (!images && s->lifecycle.damaged)
		post_kind(s, EVENT_SOUND);
	begin_repair_if_due(s);
}

void supervisor_engine_back(struct supervisor *s)
{
	post_kind(s, EVENT_ENGINE_BACK);
}

void supervisor_watch(struct supervisor *s, const struct supervisor_watcher *watcher)
{
	s->watcher = *watcher;
	notify_watcher(s);
}

struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers, struct client_devices *devices,
	const struct monitor *monitor, unsigned left_running)
{
	struct supervisor *s = lm_xcalloc(1, sizeof(*s));
	const struct probation_events events = {on_probation_passed, on_probation_failed, s};

	*s = (struct supervisor){.loop = loop, .store = store, .devices = devices};
	s->policies.store = store;
	s->quarantine = quarantine_create(store);
	s->orders = (struct orders){.store = store, .quarantine = s->quarantine};
	const struct earlier_run earlier = {store, s->quarantine};
	const struct lifecycle_record record = earlier_run_record(&earlier, left_running);
	s->lifecycle = lifecycle_begin(&record);
	s->probation = probation_create(loop, monitor, &events);
	s->workers = worker_launcher_create(loop, host, store);
	s->images = image_store_create(loop, host->docker_socket);
	s->volumes = volume_snapshots_create(loop, host, store);
	s->activation = activation_create(loop, host,
		&(struct activation_events){.waits = on_activation_waits,
			.changed = on_activation_changed,
			.may_act = activation_may_act,
			.ctx = s});
	s->containers = container_list_create(loop, host->docker_socket, COMPOSE_PROJECT);
	s->outcomes = outcomes_create(loop, store, brokers);
	s->progress = (struct progress_publisher){
		.brokers = brokers, .changed = on_progress_changed, .ctx = s};
	s->retries = retries_create(
		loop, &(struct retries_events){.again = on_again, .settle = on_settle, .ctx = s});
	s->counts.last_success_ms = generation_last_success_ms(store);
	earlier_run_close(&earlier, s->outcomes, &s->lifecycle);
	(void)quarantine_has(s->quarantine, s->lifecycle.leaves, &s->answers.rolled_back.message);
	s->probation_ms = earlier_run_probation_ms(&earlier, lifecycle_on_probation(&s->lifecycle));
	return s;
}

void supervisor_destroy(struct supervisor *s)
{
	if (!s)
		return;
	deployment_destroy(s->deployment);
	teardown_destroy(s->teardown);
	plan_request_destroy(s->plan_request);
	outcome_finish(&s->finished);
	answers_finish(&s->answers);
	quarantine_destroy(s->quarantine);
	probation_destroy(s->probation);
	repair_order_finish(&s->repair);
	orders_finish(&s->orders);
	progress_publisher_finish(&s->progress);
	retries_destroy(s->retries);
	outcomes_destroy(s->outcomes);
	container_list_destroy(s->containers);
	activation_destroy(s->activation);
	image_store_destroy(s->images);
	volume_snapshots_destroy(s->volumes);
	worker_launcher_destroy(s->workers);
	free(s);
}

// What others ask ---------------------------------------------------------------------------------

bool supervisor_is_stopped(const struct supervisor *s)
{
	return s->lifecycle.wanted.state == WANTED_DOWN;
}

struct metrics_deployments supervisor_measure(const struct supervisor *s)
{
	struct metrics_deployments measured = s->counts;

	memcpy(measured.stages, s->progress.totals, sizeof(measured.stages));
	measured.generation = store_state(s->store)->current;
	measured.stopped = supervisor_is_stopped(s);
	measured.on_probation = lifecycle_on_probation(&s->lifecycle) != 0;
	measured.awaits_activation = waits_for_activation(s);
	measured.quarantined = generation_count_quarantined(s->store);
	measured.activity = s->lifecycle.activity;
	return measured;
}

void supervisor_apply_loggers(struct supervisor *s)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	unsigned n = s->lifecycle.wanted.generation;
	struct lm_err ignored; // reported when it is started

	if (n && generation_read(s->store, n, &group, &ignored) == LM_OK)
		log_router_apply(group);
}

unsigned supervisor_status_frequency_s(struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	if (state->current == 0 || supervisor_is_stopped(s) ||
		s->lifecycle.actual == ACTUAL_NOTHING)
		return 0;
	return policy_cache_frequency_s(&s->policies, state->current);
}

unsigned supervisor_restarts_unhealthy(struct supervisor *s)
{
	const struct lifecycle *l = &s->lifecycle;
	unsigned n = l->runs;

	if (!(supervisor_is_idle(s) || waits_for_activation(s)) || l->next != COMMAND_NONE ||
		l->exits || n == 0 || l->wanted.state != WANTED_UP ||
		(l->actual != ACTUAL_WHOLE && l->actual != ACTUAL_PARTIAL))
		return 0;
	return policy_cache_restarts_unhealthy(&s->policies, n) ? n : 0;
}

struct status supervisor_status(const struct supervisor *s)
{
	uint64_t left_ms = probation_left_ms(s->probation);
	struct activation_view view = {0};
	bool waits = activation_view(s->activation, &view);

	return (struct status){
		.lifecycle = &s->lifecycle,
		.store = s->store,
		.progress = &s->progress,
		.task = s->plan_request ? STATUS_PLAN
			: s->teardown   ? STATUS_DOWN
			: s->deployment ? STATUS_DEPLOY
					: STATUS_NO_TASK,
		.why_cancelled = s->answers.why_cancelled,
		.retry_at_ms = retries_at_ms(s->retries),
		.probation_until_ms = left_ms ? lm_clock_wall_ms() + (int64_t)left_ms : 0,
		.unsound_why = s->lifecycle.unsound ? s->answers.unsound : NULL,
		.rollback_why = s->lifecycle.leaves ? s->answers.rolled_back.message : NULL,
		.waits = waits,
		.activation = view,
	};
}
