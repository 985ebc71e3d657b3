// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/container_list.h"
#include "daemon/control_server.h"
#include "daemon/deployment.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"
#include "daemon/outcomes.h"
#include "daemon/plan_request.h"
#include "daemon/progress_publisher.h"
#include "daemon/teardown.h"
#include "daemon/waiters.h"
#include "daemon/worker_launcher.h"
#include "deploy/lifecycle.h"
#include "docker/compose.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_MS = 15 * 1000,
	RETRY_MAX_MS = 10 * 60 * 1000,
	DEBT_MS = 1000,
	DEBT_MAX_MS = 60 * 1000,
	EVENTS_MAX = 16, ///< More than can follow from one.
};

/// Why something failed, until that is answered and published.
struct supervisor_failure {
	char *error, *message;
	json_t *last_line; ///< For the client that waits for it.
};

struct supervisor {
	struct loop *loop;
	struct store *store;
	struct lifecycle lifecycle;
	struct lifecycle_event events[EVENTS_MAX];
	size_t events_n;
	bool steps; ///< Events are being taken.

	struct waiters waiters;
	struct group *ordered;      ///< What COMMAND_DEPLOY brought, until it has begun.
	struct group *plan_ordered; ///< The same for COMMAND_PLAN.

	struct worker_launcher *workers;
	struct client_devices *devices;
	struct container_list *containers;
	struct outcomes *outcomes;
	struct progress_publisher progress;
	struct deployment *deployment;
	struct teardown *teardown;
	struct plan_request *plan_request;
	bool awaits_workers; ///< `pending` begins once the lock is free.
	struct lifecycle_action pending;

	struct outcome finished; ///< Of the last deployment, until it is recorded.
	struct supervisor_failure failure;
	enum deploy_effect half_done; ///< What the last deployment that was cancelled has done.
	const char *why_cancelled;    ///< Static storage.
	struct metrics_deployments counts; ///< What is not in the store.

	struct loop_timer *retry, *debt;
	uint64_t retry_at_ms; ///< On lm_clock_mono_ms().
	unsigned debt_tries;
	struct supervisor_watcher watcher;
	unsigned frequency_of; ///< The generation of `frequency_s`; 0: none.
	unsigned frequency_s;
	loop_cb *exited_cb;
	void *exited_ctx;
};

static void post(struct supervisor *s, struct lifecycle_event event);

static void post_kind(struct supervisor *s, enum lifecycle_event_kind kind)
{
	post(s, (struct lifecycle_event){.kind = kind});
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

// Failures -------------------------------------------------------------------------------------

static void forget_failure(struct supervisor *s)
{
	free(s->failure.error);
	free(s->failure.message);
	json_decref(s->failure.last_line);
	s->failure = (struct supervisor_failure){0};
}

static void supervisor_note_failure(struct supervisor *s, const char *error, const char *message)
{
	forget_failure(s);
	s->failure = (struct supervisor_failure){
		.error = lm_xstrdup(error),
		.message = lm_xstrdup(message),
		.last_line = control_last_line(1, message),
	};
}

static const char *error_name(const struct lm_err *err)
{
	bool is_definitions = err->rc == LM_E_INVALID || err->rc == LM_E_TOO_LARGE;

	return is_definitions ? "InvalidParameter" : "InternalError";
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

static void note_outcome(struct supervisor *s)
{
	const struct outcome *o = &s->finished;
	const char *effect = deploy_effect_name(o->effect);

	if (o->cancelled)
		supervisor_note_failure(
			s, o->error, s->why_cancelled ? s->why_cancelled : o->message);
	else if (o->success)
		supervisor_note_failure(s, "", "");
	else
		supervisor_note_failure(s, o->error, o->message);
	if (o->success) {
		json_decref(s->failure.last_line);
		s->failure.last_line = control_last_line(0, NULL);
	}
	json_object_set_new(s->failure.last_line, "generation", json_integer(o->generation));
	if (o->cancelled)
		return;
	json_object_set_new(s->failure.last_line, "ms", json_integer((json_int_t)o->ms));
	json_object_set_new(s->failure.last_line, "effect", json_string(effect));
}

static void on_deployment_done(void *ctx, struct outcome *outcome)
{
	struct supervisor *s = ctx;

	deployment_destroy(lm_take(s->deployment));
	outcome_finish(&s->finished);
	if (!outcome->cancelled)
		add_half_done(s, outcome);
	else if (s->lifecycle.actual == ACTUAL_PARTIAL)
		s->half_done = outcome->effect;
	s->finished = *outcome;
	*outcome = (struct outcome){0};
	note_outcome(s);
	if (s->finished.success) {
		post_kind(s, EVENT_DEPLOYED);
	} else if (s->finished.cancelled) {
		s->counts.by_outcome[METRICS_CANCELLED]++;
		post_kind(s, EVENT_CANCELLED);
	} else {
		post(s, (struct lifecycle_event){
				.kind = EVENT_FAILED, .failure = s->finished.failure});
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
	lm_auto_json json_t *json = group_to_json(s->ordered);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);

	if (!json_write(json, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the group file is too large to store");
	lm_rc rc = action->own ? LM_OK : close_other(s, 0, err);
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
	lm_rc rc = outcomes_settle(s->outcomes, err);
	outcomes_send(s->outcomes);
	if (rc == LM_OK && n == 0) {
		spec->previous = generation_before(s->store, s->ordered);
		rc = begin_generation(s, action, &spec->generation, err);
		if (rc == LM_OK)
			spec->group = lm_take(s->ordered);
		return rc;
	}
	spec->generation = n;
	if (rc == LM_OK)
		rc = generation_read(s->store, n, &spec->group, err);
	if (rc == LM_OK) {
		spec->previous = generation_before(s->store, spec->group);
		rc = close_other(s, n, err);
	}
	return rc ? rc : store_rerun(s->store, n, err);
}

static void refuse_deployment(struct supervisor *s, const struct lm_err *err)
{
	lm_error("cannot start the deployment: %s", err->msg);
	s->counts.by_outcome[METRICS_FAILED]++;
	supervisor_note_failure(s, error_name(err), err->msg);
	post(s, (struct lifecycle_event){
			.kind = EVENT_NOT_BEGUN, .failure = lifecycle_failure_of(err->rc)});
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
	log_router_apply(spec.group);
	if (spec.use != FALLBACK_ORDINARY)
		lm_info("generation %u ran before: what cannot be fetched is taken from this "
			"device",
			spec.generation);
	post(s, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = spec.generation});
	waiter_send(
		present_waiter(s), json_pack("{s:i}", "generation", (int)spec.generation), false);
	s->deployment = deployment_create(s->store, s->workers, s->devices, &s->progress, &events);
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

static void supervisor_record_outcome(struct supervisor *s, bool publish)
{
	bool success = s->finished.success;
	uint64_t began_ms = lm_clock_mono_ms();
	struct lm_err err = {LM_OK};

	count_outcome(s, &s->finished);
	log_outcome(&s->finished);
	if (outcomes_record(s->outcomes, &s->finished, publish, &err) == LM_OK) {
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

// Stops, plans, questions ------------------------------------------------------------------------

static void on_teardown_done(void *ctx, const char *why)
{
	struct supervisor *s = ctx;

	if (why) {
		lm_error("stop the application: %s", why);
		lm_auto_free char *text = lm_xasprintf("stop the application: %s", why);
		supervisor_note_failure(s, "InternalError", text);
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
		supervisor_note_failure(
			s, "InternalError", s->why_cancelled ? s->why_cancelled : why);
	else
		forget_failure(s);
	plan_request_destroy(lm_take(s->plan_request)); // has `why`
	post_kind(s, EVENT_PLANNED);
}

static void begin_plan(struct supervisor *s)
{
	const struct plan_request_events events = {on_plan_done, s};
	struct lm_err err = {LM_OK};

	s->plan_request = plan_request_create(
		s->store, s->workers, &s->progress, lm_take(s->plan_ordered), &events);
	if (plan_request_start(s->plan_request, &err) == LM_OK)
		return;
	plan_request_destroy(lm_take(s->plan_request));
	supervisor_note_failure(s, error_name(&err), err.msg);
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
		supervisor_note_failure(s, "InternalError", text);
		post_kind(s, EVENT_ENGINE_AWAY);
	} else if (found) {
		lm_auto_free char *text = lm_xasprintf(
			"the application should be stopped, but there is container '%s' (%s)",
			found->name, found->state);
		lm_info("%s", text);
		supervisor_note_failure(s, "InternalError", text);
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
	struct lm_err err = {LM_OK};

	if (store_want(s->store, l->wanted, l->before, l->touched, &err) == LM_OK) {
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
	s->why_cancelled = NULL;
	s->progress.waiter = present_waiter(s);
	if (s->watcher.starts)
		s->watcher.starts(s->watcher.ctx, action->kind != ACTION_PLAN);
	s->awaits_workers = !worker_launcher_may_start(s->workers, on_workers_may_start, s);
	if (s->awaits_workers)
		s->pending = *action;
	else if (action->kind == ACTION_BEGIN)
		begin_deployment(s, action);
	else if (action->kind == ACTION_TAKE_DOWN)
		begin_teardown(s);
	else
		begin_plan(s);
}

static const char *reason_text(enum lifecycle_reason reason, bool plans)
{
	static const char *const texts[] = {
		[REASON_NONE] = "",
		[REASON_DEPLOY] = "superseded by a newer deployment",
		[REASON_START] = "superseded by a start",
		[REASON_STOP] = "the application is to be stopped",
		[REASON_EXIT] = "lightermand is shutting down",
		[REASON_FORGOTTEN] = "the client has disconnected",
	};

	if (plans && reason != REASON_FORGOTTEN)
		return "cancelled by another command; try again when that has finished";
	return texts[reason];
}

/// What has not begun is over at once.
static void cancel_pending(struct supervisor *s)
{
	bool plans = s->pending.kind == ACTION_PLAN;

	worker_launcher_forget(s->workers);
	s->awaits_workers = false;
	supervisor_note_failure(s, "InternalError", s->why_cancelled);
	post_kind(s, plans ? EVENT_PLANNED : EVENT_CANCELLED);
}

static void cancel(struct supervisor *s, enum lifecycle_reason reason)
{
	bool plans = s->plan_request || (s->awaits_workers && s->pending.kind == ACTION_PLAN);

	s->why_cancelled = reason_text(reason, plans);
	if (!plans)
		lm_info("the deployment of generation %u is cancelled: %s", s->lifecycle.subject,
			s->why_cancelled);
	if (s->awaits_workers)
		cancel_pending(s);
	else if (s->plan_request)
		plan_request_cancel(s->plan_request);
	else
		deployment_cancel(s->deployment);
}

/// Why a command has to come again later. The caller frees.
static char *busy_text(const struct supervisor *s, enum lifecycle_command command)
{
	const struct lifecycle *l = &s->lifecycle;

	if (command == COMMAND_START && l->activity == ACTIVITY_DEPLOYING && l->subject)
		return lm_xasprintf("generation %u is being deployed already", l->subject);
	if (command == COMMAND_START)
		return lm_xstrdup("a deployment is about to begin already");
	if (l->activity == ACTIVITY_PLANNING)
		return lm_xstrdup("another plan is being made; try again when it has finished");
	if (l->activity == ACTIVITY_STOPPING || l->activity == ACTIVITY_LOOKING)
		return lm_xstrdup(
			"the application is being stopped; try again when that has finished");
	if (l->activity == ACTIVITY_DEPLOYING && l->subject)
		return lm_xasprintf(
			"generation %u is being deployed; try again when it has finished",
			l->subject);
	return lm_xstrdup("another command is about to begin; try again when it has finished");
}

/// Of what was just done.
static json_t *take_last_line(struct supervisor *s)
{
	json_t *last = lm_take(s->failure.last_line);

	return last ? last : control_last_line(0, NULL);
}

static json_t *last_line(
	struct supervisor *s, enum lifecycle_answer answer, enum lifecycle_command command)
{
	lm_auto_free char *text = NULL;

	switch (answer) {
	case ANSWER_DONE:
		return command == COMMAND_STOP ? control_last_line(0, NULL) : take_last_line(s);
	case ANSWER_NOT_LASTING:
		return control_last_line(1,
			"the application is stopped, but that could not be recorded: a restart "
			"of lightermand would start it again; see 'lighterman logs'");
	case ANSWER_FAILED:
	case ANSWER_CANCELLED:
	case ANSWER_PLANNED:
		return take_last_line(s);
	case ANSWER_SUPERSEDED:
		return control_last_line(1, "superseded by a later command");
	case ANSWER_EXITING:
		return control_last_line(1, "lightermand is shutting down");
	case ANSWER_STOP_LATER:
		return control_last_line(
			1, "lightermand is shutting down: its next start stops the application");
	case ANSWER_BUSY:
		text = busy_text(s, command);
		return control_last_line(1, text);
	case ANSWER_NOTHING_DEPLOYED:
		break;
	}
	if (command == COMMAND_STOP)
		return control_last_line(0, "nothing was deployed yet");
	return control_last_line(1, "nothing was deployed yet: use 'lighterman deploy FILE'");
}

static void answer(struct supervisor *s, const struct lifecycle_action *action)
{
	enum lifecycle_command command = waiters_command(&s->waiters, action->client);

	if (s->progress.waiter == waiters_get(&s->waiters, action->client))
		s->progress.waiter = NULL;
	waiters_answer(&s->waiters, action->client, last_line(s, action->answer, command));
}

static void set_retry(struct supervisor *s, unsigned tries)
{
	uint64_t delay_ms =
		RETRY_MS + lm_backoff_ms(tries > 0 ? tries - 1 : 0, RETRY_MS, RETRY_MAX_MS);

	lm_info("retrying %s in %u s",
		s->lifecycle.wanted.state == WANTED_DOWN ? "to stop the application" : "the start",
		(unsigned)(delay_ms / 1000));
	s->retry_at_ms = lm_clock_mono_ms() + delay_ms;
	loop_timer_start(s->retry, delay_ms, 0);
}

static void set_debt_timer(struct supervisor *s)
{
	loop_timer_start(s->debt, lm_backoff_ms(s->debt_tries++, DEBT_MS, DEBT_MAX_MS) + 1, 0);
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
		supervisor_record_outcome(s, action->publish);
		break;
	case ACTION_RECORD_AGAIN:
		record_again(s);
		break;
	case ACTION_PUBLISH:
		outcomes_refuse(s->outcomes, s->failure.error, s->failure.message);
		break;
	case ACTION_ANSWER:
		answer(s, action);
		break;
	case ACTION_SET_TIMER:
		set_retry(s, action->tries);
		break;
	case ACTION_STOP_TIMER:
		loop_timer_stop(s->retry);
		break;
	case ACTION_SET_DEBT_TIMER:
		set_debt_timer(s);
		break;
	case ACTION_EXIT:
		exit_program(s);
		break;
	}
}

// Events -----------------------------------------------------------------------------------------

static void note_debts(struct supervisor *s)
{
	if (s->lifecycle.unsaved || s->lifecycle.unrecorded)
		return;
	s->debt_tries = 0;
	loop_timer_stop(s->debt);
}

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
	note_debts(s);
	stop_devices_if_down(s);
	notify_watcher(s);
}

static void post(struct supervisor *s, struct lifecycle_event event)
{
	assert(s->events_n < EVENTS_MAX);
	s->events[s->events_n++] = event;
	if (!s->steps)
		take_events(s);
}

static void supervisor_on_retry(void *ctx)
{
	post_kind(ctx, EVENT_TIMER);
}

static void on_debt(void *ctx)
{
	post_kind(ctx, EVENT_DEBT_TIMER);
}

static void on_progress_changed(void *ctx)
{
	struct supervisor *s = ctx;

	if (s->watcher.changed)
		s->watcher.changed(s->watcher.ctx);
}

// Commands ---------------------------------------------------------------------------------------

static json_t *fault_line(const struct validation_error *fault)
{
	lm_auto_free char *text = validation_error_text(fault);

	return json_pack("{s:{s:s?, s:s?, s:s?, s:s?, s:s}}", "fault", "entry", fault->entry,
		"parameter", fault->parameter, "value", fault->value, "rule", fault->rule, "text",
		text);
}

/// Parses a group file; the waiter gets every validation error.
static lm_rc parse(struct lm_str group_file, const struct waiter *waiter, struct group **ret,
	struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_rc rc = definition_parse(group_file, &errors, ret, err);

	for (size_t i = 0; rc != LM_OK && i < errors.n; i++)
		waiter_send(waiter, fault_line(&errors.items[i]), false);
	return rc;
}

static void send_warnings(const struct group *group, const struct waiter *waiter)
{
	for (size_t i = 0; i < group->warnings_n; i++)
		waiter_send(waiter, json_pack("{s:s}", "warning", group->warnings[i]), false);
}

void supervisor_deploy(
	struct supervisor *s, struct lm_str group_file, bool own, const struct waiter *waiter)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (parse(group_file, waiter, &group, &err)) {
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
	if (!s->lifecycle.exits) {
		group_destroy(s->ordered);
		s->ordered = lm_take(group);
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

void supervisor_plan(struct supervisor *s, struct lm_str group_file, const struct waiter *waiter)
{
	struct group *group = NULL;
	struct waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (parse(group_file, waiter, &group, &err)) {
		waiter_finish(&waits, control_last_line(2, err.msg));
		return;
	}
	if (supervisor_is_idle(s))
		send_warnings(group, waiter);
	if (s->awaits_workers && s->pending.kind == ACTION_PLAN) {
		group_destroy(group); // that of the plan that waits stays
	} else {
		group_destroy(s->plan_ordered);
		s->plan_ordered = group;
	}
	post(s, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_PLAN,
			.client = waiters_add(&s->waiters, COMMAND_PLAN, waiter, 0)});
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
		break;
	}
	post_kind(s, EVENT_RESUME);
}

void supervisor_exit(struct supervisor *s, loop_cb *done, void *ctx)
{
	s->exited_cb = done;
	s->exited_ctx = ctx;
	post(s, (struct lifecycle_event){
			.kind = EVENT_EXIT, .takes_down = teardown_is_due_at_exit(s->store)});
}

void supervisor_forget(struct supervisor *s, const void *ctx)
{
	unsigned number = waiters_forget(&s->waiters, ctx);

	if (number)
		post(s, (struct lifecycle_event){.kind = EVENT_FORGET, .client = number});
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

static struct lifecycle_record read_record(const struct store_state *state)
{
	return (struct lifecycle_record){
		.wanted = state->wanted,
		.before = state->before,
		.good = state->current,
		.touched = state->touched,
	};
}

/// What is wanted was saved, but not the outcome of the attempt that changed it.
static void close_unrecorded(struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);
	struct lm_err err = {LM_OK};

	if (state->open == 0 || state->open == state->wanted.generation ||
		state->open == state->current)
		return;
	if (outcomes_give_up_open(s->outcomes, &err))
		lm_error("%s; retrying with the next deployment", err.msg);
}

struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers, struct client_devices *devices)
{
	struct supervisor *s = lm_xcalloc(1, sizeof(*s));
	const struct lifecycle_record record = read_record(store_state(store));

	*s = (struct supervisor){.loop = loop, .store = store, .devices = devices};
	s->lifecycle = lifecycle_begin(&record);
	s->workers = worker_launcher_create(loop, host, store);
	s->containers = container_list_create(loop, host->docker_socket, COMPOSE_PROJECT);
	s->outcomes = outcomes_create(loop, store, brokers);
	s->progress = (struct progress_publisher){
		.brokers = brokers, .changed = on_progress_changed, .ctx = s};
	s->retry = loop_timer_create(loop, supervisor_on_retry, s);
	s->debt = loop_timer_create(loop, on_debt, s);
	s->counts.last_success_ms = generation_last_success_ms(store);
	close_unrecorded(s);
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
	forget_failure(s);
	group_destroy(s->ordered);
	group_destroy(s->plan_ordered);
	progress_publisher_finish(&s->progress);
	loop_timer_destroy(s->retry);
	loop_timer_destroy(s->debt);
	outcomes_destroy(s->outcomes);
	container_list_destroy(s->containers);
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

static unsigned read_frequency(struct supervisor *s, unsigned n)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (generation_read(s->store, n, &group, &err) == LM_OK)
		return group->connector.status_log_frequency_s;
	lm_error("%s; the status of its containers is not logged", err.msg);
	return 0;
}

unsigned supervisor_status_frequency_s(struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	if (state->current == 0 || supervisor_is_stopped(s) ||
		s->lifecycle.actual == ACTUAL_NOTHING)
		return 0;
	if (s->frequency_of != state->current) { // a generation does not change
		s->frequency_s = read_frequency(s, state->current);
		s->frequency_of = state->current;
	}
	return s->frequency_s;
}

struct status supervisor_status(const struct supervisor *s)
{
	return (struct status){
		.lifecycle = &s->lifecycle,
		.store = s->store,
		.progress = &s->progress,
		.task = s->plan_request ? STATUS_PLAN
			: s->teardown   ? STATUS_DOWN
			: s->deployment ? STATUS_DEPLOY
					: STATUS_NO_TASK,
		.why_cancelled = s->why_cancelled,
		.retry_at_ms = s->retry_at_ms,
	};
}
