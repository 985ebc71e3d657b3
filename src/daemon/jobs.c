// SPDX-License-Identifier: Apache-2.0
#include "daemon/jobs.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/arn.h"
#include "daemon/generation.h"
#include "deploy/job_machine.h"
#include "deploy/job_record.h"
#include "mqtt/publisher.h"

#include <stdlib.h>
#include <string.h>

enum {
	REPLY_MS = 10 * 1000,
	RETRY_MS = 1000,
	RETRY_MIN_MS = 2 * 1000,
	RETRY_MAX_MS = 5 * 60 * 1000,
	/// Without an answer, a deployment goes on after that: without a connection nobody can
	/// cancel it.
	HOLD_MS = 30 * 1000,
	REQUEST_MAX = 8 << 10,
};

struct jobs {
	const struct host_settings *host;
	struct supervisor *supervisor;
	struct publisher *publisher;
	struct job_machine machine;
	char nonce[MQTT_BROKERS_ID_SIZE];
	struct loop_timer *timer; ///< Of the machine.
	/// For commands to the supervisor, which are never given from within its own calls.
	struct loop_timer *commands;
	bool run_due, abandon_due, go_due;
	bool ordered; ///< The supervisor has yet to answer.
	struct loop_timer *hold_timer;
	loop_cb *open; ///< What the deployment waits for; NULL: it does not.
	void *open_ctx;
	bool connected;
	bool bad_logged, unsaved_logged; ///< Once is enough.
	loop_cb *changed;
	void *changed_ctx;
};

static void jobs_post(struct jobs *j, struct job_event event);

// Actions ----------------------------------------------------------------------------------------

static void send_request_of_job(struct jobs *j)
{
	const struct job_request *request = &j->machine.request;
	lm_auto_free char *topic = job_request_topic(j->host->thing_name, request);
	lm_auto_buf struct lm_buf payload = LM_BUF(REQUEST_MAX);
	struct lm_err err = {LM_OK};

	// What could not be sent is tried again, as what gets no reply.
	if (!job_request_write(request, &payload) ||
		publisher_request(j->publisher, topic, lm_buf_str(&payload), &err))
		lm_debug("a request about jobs was not sent: %s", err.msg);
}

static struct job_event save_jobs(struct jobs *j, struct lm_err *err)
{
	if (job_record_write(j->host->state_directory, &j->machine.list, err)) {
		if (!j->unsaved_logged)
			lm_error("record the jobs of this device: %s", err->msg);
		j->unsaved_logged = true;
		return (struct job_event){.kind = JOB_EVENT_NOT_SAVED, .reason = err->msg};
	}
	j->unsaved_logged = false;
	return (struct job_event){.kind = JOB_EVENT_SAVED};
}

static void set_job_timer(struct jobs *j, unsigned tries)
{
	uint64_t ms =
		tries ? RETRY_MS + lm_backoff_ms(tries - 1, RETRY_MIN_MS, RETRY_MAX_MS) : REPLY_MS;

	loop_timer_start(j->timer, ms, 0);
}

/// All but JOB_ACTION_SAVE.
static void perform_job_action(struct jobs *j, const struct job_action *action)
{
	switch (action->kind) {
	case JOB_ACTION_SEND:
		send_request_of_job(j);
		return;
	case JOB_ACTION_SET_TIMER:
		set_job_timer(j, action->tries);
		return;
	case JOB_ACTION_STOP_TIMER:
		loop_timer_stop(j->timer);
		return;
	case JOB_ACTION_SHOW:
		lm_log(action->is_warning ? LM_WARN : LM_INFO, "%s", action->text);
		free(action->text);
		return;
	case JOB_ACTION_RUN:
		j->run_due = true;
		break;
	case JOB_ACTION_ABANDON:
		j->abandon_due = true;
		break;
	case JOB_ACTION_GO:
		j->go_due = true;
		break;
	case JOB_ACTION_SAVE:
		return;
	}
	loop_timer_start(j->commands, 0, 0);
}

static void jobs_post(struct jobs *j, struct job_event event)
{
	struct job_actions actions = {.n = 0};
	struct job_event saved = {.kind = JOB_EVENT_SAVED};
	bool saves = false;
	struct lm_err err = {LM_OK};

	event.now_ms = lm_clock_wall_ms();
	job_machine_step(&j->machine, &event, &actions);
	for (size_t i = 0; i < actions.n; i++) {
		if (actions.items[i].kind == JOB_ACTION_SAVE) {
			saves = true;
			saved = save_jobs(j, &err);
		} else {
			perform_job_action(j, &actions.items[i]);
		}
	}
	if (saves)
		jobs_post(j, saved);
	else if (actions.n > 0)
		j->changed(j->changed_ctx);
}

static void jobs_on_timer(void *ctx)
{
	struct jobs *j = ctx;

	// A deployment that waits for the reply does not wait for the next ping.
	if (j->open && j->machine.asked != JOB_KIND_NONE)
		publisher_doubt(j->publisher, REPLY_MS / 2);
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_TIMER});
}

// The supervisor
// -----------------------------------------------------------------------------------

static struct job_entry *job_under_way(const struct jobs *j)
{
	const struct job_entry *e = job_machine_present(&j->machine);

	return e && e->status == JOB_STATUS_IN_PROGRESS ? (struct job_entry *)e : NULL;
}

static void end_job_as(struct jobs *j, enum job_status status, const char *reason)
{
	jobs_post(
		j, (struct job_event){.kind = JOB_EVENT_ENDED, .status = status, .reason = reason});
}

/// By what is on record; the caller frees.
static char *describe_job_failure(const struct status *shown, unsigned generation)
{
	lm_auto_json json_t *outcome = generation_outcome(shown->store, generation);
	const char *message = json_get_text(outcome, "message");

	if (message && !json_get_bool(outcome, "success", false))
		return lm_xstrdup(message);
	if (shown->unsound_why && shown->lifecycle->runs == generation)
		return lm_xstrdup(shown->unsound_why);
	return lm_xasprintf("generation %u is not wanted any more: another command on the device "
			    "has taken its place",
		generation);
}

/// Of a job whose deployment has begun. `message`: the supervisor's answer; NULL: there is none.
static void settle_job(struct jobs *j, const struct job_entry *e, const char *message)
{
	const struct status shown = supervisor_status(j->supervisor);
	const struct lifecycle *l = shown.lifecycle;
	lm_auto_free char *reason = NULL;

	switch (job_judge(e, l)) {
	case JOB_IS_DONE:
		end_job_as(j, JOB_STATUS_SUCCEEDED, NULL);
		break;
	case JOB_HAS_FAILED:
		reason =
			message ? lm_xstrdup(message) : describe_job_failure(&shown, e->generation);
		end_job_as(j, JOB_STATUS_FAILED, reason);
		break;
	case JOB_PROVES:
		jobs_post(j, (struct job_event){.kind = JOB_EVENT_STAGE, .stage = "probation"});
		break;
	case JOB_GOES_ON:
		if (l->activity == ACTIVITY_WAITING)
			jobs_post(j, (struct job_event){.kind = JOB_EVENT_STAGE, .stage = "retry"});
		break;
	}
}

/// The last line of the supervisor's answer.
static void on_job_answered(void *ctx, json_t *last)
{
	struct jobs *j = ctx;
	const struct job_entry *e = job_under_way(j);
	const struct status shown = supervisor_status(j->supervisor);
	const char *message = json_get_text(last, "message");
	int64_t status = json_get_int(last, "exit", 1);

	j->ordered = false;
	if (!e)
		return;
	bool runs_already =
		e->operation == JOB_ROLLS_BACK && job_judge(e, shown.lifecycle) == JOB_IS_DONE;
	if (e->begun || runs_already)
		settle_job(j, e, status == 0 ? NULL : message);
	else if (status == 2)
		end_job_as(j, JOB_STATUS_REJECTED, message);
	else if (!shown.lifecycle->exits) // else the next start begins it
		end_job_as(j, JOB_STATUS_FAILED, message);
}

static void on_job_line(void *ctx, json_t *line, bool droppable)
{
	int64_t generation = json_get_int(line, "generation", 0);

	(void)droppable;
	if (generation > 0)
		jobs_post(ctx, (struct job_event){.kind = JOB_EVENT_BEGUN,
				       .generation = (unsigned)generation});
}

static void run_job(struct jobs *j)
{
	const struct job_entry *e = job_under_way(j);
	lm_auto_job_document struct job_document document = j->machine.document;
	const struct waiter waiter = {.line = on_job_line, .done = on_job_answered, .ctx = j};

	j->machine.document = (struct job_document){0};
	if (!e || j->ordered)
		return;
	j->ordered = true;
	if (document.operation == JOB_DEPLOYS)
		supervisor_deploy(j->supervisor, lm_str(document.group), ORIGIN_JOB, &waiter);
	else
		supervisor_rollback(j->supervisor, e->generation, &waiter);
}

static void abandon_job(struct jobs *j)
{
	const struct job_entry *e = job_under_way(j);
	lm_auto_free char *why = NULL;

	if (!e)
		return;
	if (e->closed_as == JOB_STATUSES)
		why = lm_xasprintf("job %s has ended in the cloud, or was deleted there", e->id);
	else
		why = lm_xasprintf(
			"job %s is %s in the cloud", e->id, job_status_name(e->closed_as));
	(void)supervisor_abandon(j->supervisor, e->generation, why);
}

static void close_gate(struct jobs *j)
{
	j->open = NULL;
	loop_timer_stop(j->hold_timer);
}

static void give_commands(void *ctx)
{
	struct jobs *j = ctx;

	if (j->abandon_due) {
		j->abandon_due = false;
		abandon_job(j);
	}
	if (j->go_due) {
		loop_cb *open = j->open;

		j->go_due = false;
		close_gate(j);
		if (open) {
			open(j->open_ctx);
			jobs_look(j); // its stage begins
		}
	}
	if (j->run_due) {
		j->run_due = false;
		run_job(j);
	}
}

static bool jobs_hold(void *ctx, unsigned generation, loop_cb *open, void *open_ctx)
{
	struct jobs *j = ctx;

	if (!job_machine_asks(&j->machine, generation))
		return false;
	j->open = open;
	j->open_ctx = open_ctx;
	loop_timer_start(j->hold_timer, HOLD_MS, 0);
	publisher_doubt(j->publisher, REPLY_MS); // an earlier message shows it already
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_ACTS});
	return true;
}

static void jobs_release(void *ctx)
{
	struct jobs *j = ctx;

	close_gate(j);
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_STAYS});
}

static void on_no_answer(void *ctx)
{
	struct jobs *j = ctx;

	lm_warn("the job service has not answered for %d s whether the job still stands: its "
		"deployment goes on",
		HOLD_MS / 1000);
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_NO_ANSWER});
}

/// Stages that take long enough to be of interest, and few enough for the service's limits.
static bool is_reported(const char *stage)
{
	switch (deploy_stage_from_name(stage)) {
	case DEPLOY_PULL:
	case DEPLOY_SNAPSHOT:
	case DEPLOY_DOWN:
	case DEPLOY_UP:
	case DEPLOY_WAIT_HEALTHY:
		return true;
	default:
		return false;
	}
}

/// Of a job that is being deployed. A worker says which stage is next before that waits, for its
/// ActivateAt or HoldFile, and then for JOB_ACTION_GO: until then it has not begun.
static void report_stage(struct jobs *j, const struct job_entry *e, const struct status *shown)
{
	const char *stage = shown->waits ? "waiting" : shown->progress->stage;
	bool is_deployed = shown->progress->generation == e->generation &&
			   shown->lifecycle->activity == ACTIVITY_DEPLOYING;
	bool has_begun = e->acted || deploy_stage_from_name(stage) == DEPLOY_PULL;

	if (is_deployed && (shown->waits || (is_reported(stage) && has_begun)))
		jobs_post(j, (struct job_event){.kind = JOB_EVENT_STAGE, .stage = stage});
}

/// A generation that has begun while the job waits is not the job's.
static void note_other_generation(struct jobs *j, struct job_entry *e, unsigned newest)
{
	struct lm_err err;

	if (j->machine.runs || e->newest >= newest)
		return;
	e->newest = newest;
	(void)save_jobs(j, &err);
}

void jobs_look(struct jobs *j)
{
	struct job_entry *e = j ? job_under_way(j) : NULL;

	if (!e)
		return;
	const struct status shown = supervisor_status(j->supervisor);
	if (!e->begun) {
		note_other_generation(j, e, store_state(shown.store)->newest);
		return;
	}
	report_stage(j, e, &shown);
	if (e->closed && !e->acted) {
		j->abandon_due = true;
		loop_timer_start(j->commands, 0, 0);
	}
	if (!j->ordered)
		settle_job(j, e, NULL);
}

// The broker -----------------------------------------------------------------------------------

static void on_jobs_subscribed(void *ctx)
{
	struct jobs *j = ctx;

	j->connected = true;
	j->changed(j->changed_ctx);
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_CONNECTED});
}

static void on_jobs_lost(void *ctx)
{
	struct jobs *j = ctx;

	j->connected = false;
	j->changed(j->changed_ctx);
	jobs_post(j, (struct job_event){.kind = JOB_EVENT_LOST});
}

static void on_jobs_received(void *ctx, const char *topic, struct lm_str payload)
{
	struct jobs *j = ctx;
	lm_auto_job_message struct job_message message = {0};
	struct job_event event = {.kind = JOB_EVENT_MESSAGE, .message = &message};
	const struct status shown = supervisor_status(j->supervisor);
	struct lm_err err = {LM_OK}, why_not = {LM_OK};
	lm_rc rc = job_message_parse(j->host->thing_name, topic, payload, &message, &err);

	if (rc == LM_E_NOT_FOUND)
		return;
	if (rc) {
		if (!j->bad_logged)
			lm_warn("a message of the job service to the topic %s is ignored: %s",
				topic, err.msg);
		j->bad_logged = true;
		return;
	}
	event.newest = store_state(shown.store)->newest;
	if (message.has_execution &&
		supervisor_find_rollback(j->supervisor, &event.back, &why_not)) {
		event.back = 0;
		event.why_not = why_not.msg;
	}
	jobs_post(j, event);
}

static void subscribe_to_jobs(struct jobs *j)
{
	char *filters[JOB_FILTERS];
	const struct publisher_subscription subscription = {
		.filters = (const char *const *)filters,
		.n = JOB_FILTERS,
		.subscribed = on_jobs_subscribed,
		.lost = on_jobs_lost,
		.received = on_jobs_received,
		.ctx = j,
	};

	job_filters(j->host->thing_name, filters);
	publisher_subscribe(j->publisher, &subscription);
	for (size_t i = 0; i < JOB_FILTERS; i++)
		free(filters[i]);
}

// Beginning and end -----------------------------------------------------------------------------

/// The deployment of the job that was under way may have begun without a record of that.
static void find_begun(const struct jobs *j, struct job_list *list)
{
	const struct status shown = supervisor_status(j->supervisor);
	const struct store_state *state = store_state(shown.store);
	struct job_entry *e = &list->items[0];

	if (list->n == 0 || e->begun || e->status != JOB_STATUS_IN_PROGRESS)
		return;
	if (e->operation == JOB_DEPLOYS && state->newest > e->newest) {
		e->begun = true;
		e->generation = state->newest;
	} else if (e->operation == JOB_ROLLS_BACK) {
		e->begun = state->wanted.state == WANTED_UP &&
			   state->wanted.generation == e->generation;
	}
}

static bool has_thing(const struct host_settings *host)
{
	if (host->thing_name && arn_is_thing_name(lm_str(host->thing_name)))
		return true;
	lm_error("no jobs are taken: %s; set thingName in the host file",
		host->thing_name ? "the name of this thing is not valid"
				 : "the name of this thing is not known");
	return false;
}

struct jobs *jobs_create(struct loop *loop, const struct host_settings *host,
	struct mqtt_brokers *brokers, struct supervisor *supervisor, loop_cb *changed, void *ctx)
{
	struct publisher *publisher = mqtt_brokers_of_jobs(brokers);
	lm_auto(damage_finish) struct damage damage = {0};
	struct job_list list;

	if (!publisher || !has_thing(host))
		return NULL;
	struct jobs *j = lm_xcalloc(1, sizeof(*j));
	const struct deployment_gate gate = {jobs_hold, jobs_release, j};

	*j = (struct jobs){.host = host,
		.supervisor = supervisor,
		.publisher = publisher,
		.changed = changed,
		.changed_ctx = ctx};
	j->timer = loop_timer_create(loop, jobs_on_timer, j);
	j->commands = loop_timer_create(loop, give_commands, j);
	j->hold_timer = loop_timer_create(loop, on_no_answer, j);
	job_record_read(host->state_directory, &damage, &list);
	damage_log(&damage, host->state_directory);
	find_begun(j, &list);
	j->machine = job_machine_begin(&list, mqtt_brokers_make_id(j->nonce));
	supervisor_set_gate(supervisor, &gate);
	subscribe_to_jobs(j);
	return j;
}

void jobs_destroy(struct jobs *j)
{
	if (!j)
		return;
	job_machine_finish(&j->machine);
	loop_timer_destroy(j->timer);
	loop_timer_destroy(j->commands);
	loop_timer_destroy(j->hold_timer);
	free(j);
}

struct metrics_jobs jobs_measure(const struct jobs *j)
{
	if (!j)
		return (struct metrics_jobs){.known = false};
	return (struct metrics_jobs){.known = true,
		.connected = j->connected,
		.in_progress = job_under_way(j) != NULL,
		.unreported = !job_under_way(j) && job_machine_present(&j->machine) != NULL,
		.succeeded = j->machine.ended[JOB_STATUS_SUCCEEDED],
		.failed = j->machine.ended[JOB_STATUS_FAILED],
		.rejected = j->machine.ended[JOB_STATUS_REJECTED]};
}

static json_t *job_to_json(const struct job_entry *e, const char *stage)
{
	if (!e)
		return json_null();
	return json_pack("{s:s, s:I, s:s, s:o, s:s, s:s?, s:s?, s:b}", "id", e->id, "execution",
		(json_int_t)e->number, "operation", job_operation_name(e->operation), "generation",
		e->generation ? json_integer(e->generation) : json_null(), "status",
		job_status_name(e->status), "stage", stage && stage[0] ? stage : NULL, "reason",
		e->reason[0] ? e->reason : NULL, "reported", (int)e->acknowledged);
}

json_t *jobs_to_json(const struct jobs *j)
{
	if (!j)
		return json_null();
	const struct job_entry *present = job_under_way(j);
	const struct job_list *list = &j->machine.list;
	size_t last = present ? 1 : 0;

	return json_pack("{s:s, s:s, s:b, s:o, s:o}", "thing", j->host->thing_name, "broker",
		publisher_name(j->publisher), "connected", (int)j->connected, "job",
		job_to_json(present, j->machine.stage), "last",
		job_to_json(last < list->n ? &list->items[last] : NULL, NULL));
}
