// SPDX-License-Identifier: Apache-2.0
#include "deploy/job_machine.h"

#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct job_action *add_action(struct job_actions *actions, enum job_action_kind kind)
{
	assert(actions->n < JOB_ACTIONS_MAX);
	struct job_action *a = &actions->items[actions->n++];

	*a = (struct job_action){.kind = kind};
	return a;
}

static void show(struct job_actions *actions, bool is_warning, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void show(struct job_actions *actions, bool is_warning, const char *format, ...)
{
	struct job_action *a = add_action(actions, JOB_ACTION_SHOW);
	va_list ap;

	a->is_warning = is_warning;
	va_start(ap, format);
	a->text = lm_xvasprintf(format, ap);
	va_end(ap);
}

static bool is_under_way(const struct job_entry *e)
{
	return e->status == JOB_STATUS_IN_PROGRESS;
}

static struct job_entry *find_present(struct job_machine *m)
{
	return m->list.n > 0 && !m->list.items[0].acknowledged ? &m->list.items[0] : NULL;
}

const struct job_entry *job_machine_present(const struct job_machine *m)
{
	return find_present((struct job_machine *)m);
}

static bool is_closed(const struct job_machine *m)
{
	const struct job_entry *e = job_machine_present(m);

	return e && e->closed;
}

bool job_machine_asks(const struct job_machine *m, unsigned generation)
{
	const struct job_entry *e = job_machine_present(m);

	return e && is_under_way(e) && e->begun && e->generation == generation && !e->acted;
}

// Requests ---------------------------------------------------------------------------------------

static void forget_job_request(struct job_machine *m, struct job_actions *actions)
{
	if (m->asked != JOB_KIND_NONE || m->waits)
		add_action(actions, JOB_ACTION_STOP_TIMER);
	m->asked = JOB_KIND_NONE;
	m->waits = false;
	m->asks_to_act = false;
}

static void try_later(struct job_machine *m, struct job_actions *actions)
{
	m->waits = true;
	add_action(actions, JOB_ACTION_SET_TIMER)->tries = ++m->tries;
}

/// Of an outcome that is to be reported; NULL: there is none.
static const char *reported_reason(const struct job_machine *m, const struct job_entry *e)
{
	if (is_under_way(e))
		return NULL;
	if (m->reason_refused && e->reason[0])
		return "the job service did not accept the reason: 'lighterman status' and "
		       "'lighterman history' on the device show it";
	return e->reason;
}

static void job_request_send(struct job_machine *m, enum job_kind kind, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);
	bool is_update = kind == JOB_KIND_UPDATE;

	(void)snprintf(m->token, sizeof(m->token), "%s-%u", m->nonce, ++m->serial);
	m->request = (struct job_request){.kind = kind, .token = m->token};
	if (e && kind != JOB_KIND_START_NEXT) {
		m->request.id = e->id;
		m->request.number = e->number;
		m->request.wants_document = is_under_way(e) && !e->begun && !m->runs;
	}
	if (e && is_update) {
		m->request.version = m->version;
		m->request.status = e->status;
		m->request.generation = e->begun ? e->generation : 0;
		m->request.stage = is_under_way(e) ? m->stage : NULL;
		m->request.reason = reported_reason(m, e);
		m->progress_due = false;
	}
	m->asks_to_act = is_update && m->holds;
	m->asked = kind;
	add_action(actions, JOB_ACTION_SEND);
	add_action(actions, JOB_ACTION_SET_TIMER);
}

/// What is to be asked for now, if anything.
static void ask_what_is_due(struct job_machine *m, struct job_actions *actions)
{
	const struct job_entry *e = find_present(m);

	if (!m->connected || m->asked != JOB_KIND_NONE || m->waits || m->run_due)
		return;
	if (!e && m->next_due)
		job_request_send(m, JOB_KIND_START_NEXT, actions);
	else if (e && !e->closed && m->check_due)
		job_request_send(m, JOB_KIND_GET, actions);
	else if (e && !e->closed && (!is_under_way(e) || m->holds || m->progress_due))
		job_request_send(m, JOB_KIND_UPDATE, actions);
}

// The course of a job ----------------------------------------------------------------------------

static void acknowledge(struct job_machine *m, struct job_entry *e, struct job_actions *actions)
{
	e->acknowledged = true;
	e->closed = false;
	m->check_due = m->progress_due = m->reason_refused = false;
	m->version = 0;
	m->next_due = true;
	add_action(actions, JOB_ACTION_SAVE);
}

static void end_job(struct job_machine *m, enum job_status status, const char *reason,
	int64_t now_ms, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);

	if (!e || !is_under_way(e))
		return;
	e->status = status;
	e->ended_ms = now_ms;
	m->ended[status]++;
	if (status != JOB_STATUS_SUCCEEDED)
		(void)job_text(reason ? reason : "", e->reason);
	m->runs = m->run_due = m->holds = m->progress_due = false;
	m->stage[0] = '\0';
	job_document_finish(&m->document);
	show(actions, status != JOB_STATUS_SUCCEEDED, "job %s: %s%s%s", e->id,
		job_status_name(status), e->reason[0] ? ": " : "", e->reason);
	if (e->closed)
		acknowledge(m, e, actions);
	else
		add_action(actions, JOB_ACTION_SAVE);
}

/// What it needs of the supervisor's is not done any more.
static void abandon(const struct job_entry *e, struct job_actions *actions)
{
	if (e->closed && is_under_way(e) && e->begun && !e->acted)
		add_action(actions, JOB_ACTION_ABANDON);
}

/// Of one that has not begun.
static void end_closed_job(struct job_machine *m, int64_t now_ms, struct job_actions *actions)
{
	end_job(m, JOB_STATUS_FAILED, "it was cancelled or removed in the cloud before it began",
		now_ms, actions);
}

/// The cloud has ended the execution: it was cancelled, has timed out, or was removed.
static void close_job(
	struct job_machine *m, enum job_status status, int64_t now_ms, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);
	const char *name = job_status_is_final(status) ? job_status_name(status) : "at its end";

	if (!e || e->closed)
		return;
	e->closed = true;
	e->closed_as = status;
	m->check_due = false;
	if (!is_under_way(e)) {
		if (status != e->status)
			show(actions, true, "job %s ended as %s, but is %s in the cloud", e->id,
				job_status_name(e->status), name);
		acknowledge(m, e, actions);
	} else if (!e->begun && !m->runs) {
		end_closed_job(m, now_ms, actions);
	} else {
		show(actions, true, "job %s is %s in the cloud%s", e->id, name,
			e->acted ? "; its deployment has changed what runs, and goes on" : "");
		add_action(actions, JOB_ACTION_SAVE); // a restart may find no connection
		abandon(e, actions);
	}
}

static void reject_job(
	struct job_machine *m, const char *reason, int64_t now_ms, struct job_actions *actions)
{
	end_job(m, JOB_STATUS_REJECTED, reason, now_ms, actions);
}

/// Of a job that has not begun. It is begun once it is on disk, if it is not yet.
static void prepare_job(struct job_machine *m, struct job_entry *e, const struct job_event *event,
	bool is_new, struct job_actions *actions)
{
	struct lm_err err = {LM_OK};

	job_document_finish(&m->document);
	if (job_document_read(event->message->execution.document, &m->document, &err)) {
		reject_job(m, err.msg, event->now_ms, actions);
		return;
	}
	e->operation = m->document.operation;
	if (is_new) {
		e->newest = event->newest;
		e->generation = e->operation == JOB_ROLLS_BACK ? event->back : 0;
	}
	if (e->operation == JOB_ROLLS_BACK && e->generation == 0) {
		reject_job(m, event->why_not, event->now_ms, actions);
		return;
	}
	show(actions, false, "job %s, execution %lld: %s", e->id, (long long)e->number,
		job_operation_name(e->operation));
	m->run_due = true;
	add_action(actions, JOB_ACTION_SAVE);
}

static size_t find_job_entry(const struct job_list *list, const char *id, int64_t number)
{
	size_t i = 0;

	while (i < list->n &&
		(strcmp(list->items[i].id, id) != 0 || list->items[i].number != number))
		i++;
	return i;
}

/// Puts the entry in front; a new one takes the place of the oldest.
static struct job_entry *put_in_front(struct job_list *list, size_t i)
{
	struct job_entry entry = {0};

	if (i < list->n)
		entry = list->items[i];
	else if (list->n < JOBS_KEPT)
		i = list->n++;
	else
		i = JOBS_KEPT - 1;
	memmove(list->items + 1, list->items, i * sizeof(*list->items));
	list->items[0] = entry;
	return &list->items[0];
}

/// The cloud has a job for us.
static void take_job(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	const struct job_execution *x = &event->message->execution;
	size_t i = find_job_entry(&m->list, x->id, x->number);
	bool is_known = i < m->list.n;
	struct job_entry *e = put_in_front(&m->list, i);

	m->check_due = m->progress_due = m->runs = false;
	m->stage[0] = '\0';
	m->version = x->version;
	e->acknowledged = false;
	if (is_known) {
		show(actions, false,
			"job %s, execution %lld, has run already, and is reported "
			"again: %s",
			e->id, (long long)e->number, job_status_name(e->status));
		return;
	}
	(void)snprintf(e->id, sizeof(e->id), "%s", x->id);
	e->number = x->number;
	e->status = JOB_STATUS_IN_PROGRESS;
	prepare_job(m, e, event, true, actions);
}

// Replies ----------------------------------------------------------------------------------------

static bool is_awaited(const struct job_machine *m, const struct job_message *r)
{
	const struct job_entry *e = job_machine_present(m);

	return r->kind == m->asked && strcmp(r->token, m->token) == 0 &&
	       (r->kind == JOB_KIND_START_NEXT || (e && strcmp(r->id, e->id) == 0));
}

static void on_got(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	const struct job_execution *x = &event->message->execution;
	struct job_entry *e = find_present(m);

	m->check_due = false;
	if (strcmp(x->id, e->id) != 0 || (x->number && e->number && x->number != e->number)) {
		close_job(m, JOB_STATUSES, event->now_ms, actions);
		return;
	}
	m->version = x->version;
	if (job_status_is_final(x->status))
		close_job(m, x->status, event->now_ms, actions);
	else if (is_under_way(e) && !e->begun && !m->runs)
		prepare_job(m, e, event, false, actions);
}

static void let_act(struct job_machine *m, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);

	m->holds = m->asks_to_act = false;
	if (e && !e->closed) {
		e->acted = true;
		add_action(actions, JOB_ACTION_SAVE);
	}
	add_action(actions, JOB_ACTION_GO);
}

static void on_updated(
	struct job_machine *m, const struct job_message *r, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);

	m->version = r->version ? r->version : m->version ? m->version + 1 : 0;
	if (m->request.status != JOB_STATUS_IN_PROGRESS) {
		show(actions, false, "job %s: %s is reported", e->id, job_status_name(e->status));
		acknowledge(m, e, actions);
	} else if (m->asks_to_act && m->holds) {
		let_act(m, actions);
	}
}

/// An update was sent for another version, or another status, than the cloud has.
static void on_stale(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	const struct job_message *r = event->message;

	if (job_status_is_final(r->state)) {
		close_job(m, r->state, event->now_ms, actions);
		return;
	}
	m->version = r->version;
	m->check_due = r->version == 0;
	m->progress_due = true;
	if (m->tries > 0)
		try_later(m, actions);
	else
		m->tries++; // once at once
}

static void on_job_rejected(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	const struct job_message *r = event->message;
	bool is_of_job = r->kind != JOB_KIND_START_NEXT;

	if (is_of_job && r->code == JOB_CODE_GONE) {
		close_job(m, JOB_STATUSES, event->now_ms, actions);
		return;
	}
	if (r->kind == JOB_KIND_UPDATE && r->code == JOB_CODE_STALE) {
		on_stale(m, event, actions);
		return;
	}
	// Else the same would be refused for ever, and no other job would be taken.
	if (r->kind == JOB_KIND_UPDATE && r->code == JOB_CODE_INVALID &&
		m->request.status != JOB_STATUS_IN_PROGRESS)
		m->reason_refused = true;
	if (m->tries == 0)
		show(actions, true, "the job service rejects a request (%s), retrying", r->why);
	try_later(m, actions);
}

static void on_reply(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	const struct job_message *r = event->message;

	add_action(actions, JOB_ACTION_STOP_TIMER);
	m->asked = JOB_KIND_NONE;
	if (r->rejected) {
		on_job_rejected(m, event, actions);
		return;
	}
	m->tries = 0;
	m->hurried = false;
	if (r->kind == JOB_KIND_START_NEXT) {
		m->next_due = false;
		if (r->has_execution && !job_status_is_final(r->execution.status))
			take_job(m, event, actions);
	} else if (r->kind == JOB_KIND_GET) {
		on_got(m, event, actions);
	} else {
		on_updated(m, r, actions);
	}
}

/// What is the next job has changed: if it is not the present one, that may have been cancelled.
/// And somebody is there, who may not have been when the last request was made.
static void on_notified(
	struct job_machine *m, const struct job_message *r, struct job_actions *actions)
{
	const struct job_entry *e = find_present(m);

	if (!e)
		m->next_due = m->next_due || r->has_execution;
	else if (!r->has_execution || strcmp(r->execution.id, e->id) != 0 ||
		 r->execution.number != e->number)
		m->check_due = true;
	if (!m->hurried && (m->waits || m->asked == JOB_KIND_START_NEXT)) {
		m->hurried = true; // once
		forget_job_request(m, actions);
	}
}

static void on_job_message(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	if (event->message->kind == JOB_KIND_NOTIFY_NEXT)
		on_notified(m, event->message, actions);
	else if (is_awaited(m, event->message))
		on_reply(m, event, actions);
}

// Events -----------------------------------------------------------------------------------------

static void on_subscribed(struct job_machine *m, int64_t now_ms, struct job_actions *actions)
{
	const struct job_entry *e = find_present(m);

	if (e && e->closed && is_under_way(e) && !e->begun && !m->runs) // since the last run
		end_closed_job(m, now_ms, actions);
	forget_job_request(m, actions);
	m->connected = true;
	m->tries = 0;
	m->check_due = find_present(m) != NULL;
	m->next_due = true;
}

static void on_job_timer(struct job_machine *m, struct job_actions *actions)
{
	m->hurried = false;
	if (m->waits) {
		m->waits = false;
		return;
	}
	if (m->asked == JOB_KIND_NONE)
		return;
	// A reply is lost. What it was for is asked for again.
	if (m->asked == JOB_KIND_UPDATE)
		m->progress_due = true;
	m->asked = JOB_KIND_NONE;
	try_later(m, actions);
}

/// Only the first one is the job's: what is begun after it, for whoever waits for the job, is what
/// ran before, which runs again after a failure.
static void on_job_begun(struct job_machine *m, unsigned generation, struct job_actions *actions)
{
	struct job_entry *e = find_present(m);

	if (!e || !is_under_way(e) || e->begun)
		return;
	e->begun = true;
	e->generation = generation;
	add_action(actions, JOB_ACTION_SAVE);
	abandon(e, actions);
}

static void on_job_acts(struct job_machine *m, struct job_actions *actions)
{
	const struct job_entry *e = find_present(m);

	m->holds = true;
	m->tries = 0; // the deployment does not wait for long
	if (m->waits)
		forget_job_request(m, actions);
	if (e)
		abandon(e, actions);
}

static void on_written(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	char reason[JOB_TEXT_SIZE];

	if (!m->run_due)
		return;
	if (event->kind == JOB_EVENT_NOT_SAVED) {
		(void)snprintf(reason, sizeof(reason), "the job could not be recorded: %.900s",
			event->reason);
		end_job(m, JOB_STATUS_FAILED, reason, event->now_ms, actions);
		return;
	}
	m->run_due = false;
	m->runs = true;
	add_action(actions, JOB_ACTION_RUN);
}

static void set_stage(struct job_machine *m, const char *stage)
{
	const struct job_entry *e = find_present(m);

	if (!e || !is_under_way(e) || strcmp(m->stage, stage) == 0)
		return;
	(void)snprintf(m->stage, sizeof(m->stage), "%s", stage);
	m->progress_due = true;
}

void job_machine_step(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions)
{
	switch (event->kind) {
	case JOB_EVENT_CONNECTED:
		on_subscribed(m, event->now_ms, actions);
		break;
	case JOB_EVENT_LOST:
		m->connected = false;
		forget_job_request(m, actions);
		break;
	case JOB_EVENT_MESSAGE:
		on_job_message(m, event, actions);
		break;
	case JOB_EVENT_TIMER:
		on_job_timer(m, actions);
		break;
	case JOB_EVENT_SAVED:
	case JOB_EVENT_NOT_SAVED:
		on_written(m, event, actions);
		break;
	case JOB_EVENT_BEGUN:
		on_job_begun(m, event->generation, actions);
		break;
	case JOB_EVENT_STAGE:
		set_stage(m, event->stage);
		break;
	case JOB_EVENT_ACTS:
		on_job_acts(m, actions);
		break;
	case JOB_EVENT_STAYS:
		m->holds = m->asks_to_act = false;
		break;
	case JOB_EVENT_NO_ANSWER:
		if (m->holds && !is_closed(m))
			let_act(m, actions);
		break;
	case JOB_EVENT_ENDED:
		end_job(m, event->status, event->reason, event->now_ms, actions);
		break;
	}
	ask_what_is_due(m, actions);
}

struct job_machine job_machine_begin(const struct job_list *list, const char *nonce)
{
	return (struct job_machine){.list = *list, .nonce = nonce};
}

void job_machine_finish(struct job_machine *m)
{
	job_document_finish(&m->document);
}

enum job_verdict job_judge(const struct job_entry *e, const struct lifecycle *l)
{
	unsigned n = e->generation;
	bool is_wanted = l->wanted.state == WANTED_UP && l->wanted.generation == n;
	bool runs = l->actual == ACTUAL_WHOLE && l->runs == n;

	// It did not exist before the job.
	if (e->operation == JOB_DEPLOYS && l->proven == n)
		return JOB_IS_DONE;
	if (!is_wanted)
		return JOB_HAS_FAILED;
	if (runs && l->unsound)
		return JOB_HAS_FAILED;
	if (runs)
		return lifecycle_on_probation(l) == n ? JOB_PROVES : JOB_IS_DONE;
	return l->given_up ? JOB_HAS_FAILED : JOB_GOES_ON;
}
