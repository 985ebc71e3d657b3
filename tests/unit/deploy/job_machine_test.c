// SPDX-License-Identifier: Apache-2.0
/// Single courses of a job, and a walk through all orders of events to a given depth: replies that
/// come, are lost, or were never made, connections that are lost, jobs that are cancelled, kills,
/// and a full disk. From each state the rest goes well, and every job has to end as promised.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "deploy/job_machine.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 6, STEPS_TO_REST = 200, BACK = 5, CLOUD_JOBS = 2, NEWEST = 8 };

static const char *const IDS[CLOUD_JOBS] = {"a", "b"};
static json_t *rollback;

/// A job in the cloud, and what the device's store shows of it.
struct cloud_job {
	enum job_status status;
	int64_t version;
	bool begun, acted; ///< In the store.
	unsigned begins;
	enum job_status done; ///< IN_PROGRESS: not yet.
	bool cancelled;
};

/// Copied as bytes: no member owns anything.
struct world {
	struct job_machine m;
	struct job_list disk;
	bool disk_full, disk_was_full;
	struct cloud_job jobs[CLOUD_JOBS];
	// The request that the cloud has not seen.
	bool asked;
	enum job_kind kind;
	int job;
	int64_t version;
	enum job_status status;
	char token[JOB_TOKEN_SIZE];
	bool timer;
	// The supervisor.
	int ordered;   ///< Of `jobs`, waits to begin; -1: none.
	int deploying; ///< -1: none.
	bool holds, abandoned;
	bool by_answer; ///< What happens now is an answer of the cloud's.
	unsigned char path[DEPTH];
	unsigned path_n;
};

static void complain(const struct world *w, const char *what)
{
	char path[4 * DEPTH + 1] = "";

	for (unsigned i = 0; i < w->path_n; i++)
		(void)snprintf(path + strlen(path), 5, " %u", w->path[i]);
	fail_msg("%s, after%s", what, path);
}

static int find_job(const char *id)
{
	for (int i = 0; i < CLOUD_JOBS; i++) {
		if (strcmp(id, IDS[i]) == 0)
			return i;
	}
	return -1;
}

static void happen(struct world *w, struct job_event event);

static void begin_rollback(struct world *w, int job)
{
	struct cloud_job *j = &w->jobs[job];

	if (!j->begun)
		j->begins++;
	j->begun = true;
	if (j->begins > 1)
		complain(w, "a job has run twice");
}

static void note_request(struct world *w)
{
	const struct job_request *r = &w->m.request;

	w->asked = true;
	w->kind = r->kind;
	w->job = r->id ? find_job(r->id) : -1;
	w->version = r->version;
	w->status = r->status;
	memcpy(w->token, r->token, sizeof(w->token));
}

static void perform(struct world *w, const struct job_action *action, bool *ret_saves)
{
	const struct job_entry *e = job_machine_present(&w->m);
	int job = e ? find_job(e->id) : -1;

	switch (action->kind) {
	case JOB_ACTION_SEND:
		note_request(w);
		break;
	case JOB_ACTION_SAVE:
		if (!w->disk_full)
			w->disk = w->m.list;
		*ret_saves = true;
		break;
	case JOB_ACTION_RUN:
		if (w->ordered >= 0 || w->deploying >= 0)
			complain(w, "two jobs run");
		w->ordered = job;
		break;
	case JOB_ACTION_ABANDON:
		if (job >= 0 && w->deploying == job && !w->jobs[job].acted) {
			w->abandoned = w->jobs[job].cancelled = true;
			w->holds = false;
		}
		break;
	case JOB_ACTION_GO:
		if (!w->holds)
			break;
		if (w->by_answer && job_status_is_final(w->jobs[w->deploying].status))
			complain(w, "a job that has ended goes on");
		w->holds = false;
		w->jobs[w->deploying].acted = true;
		break;
	case JOB_ACTION_SET_TIMER:
		w->timer = true;
		break;
	case JOB_ACTION_STOP_TIMER:
		w->timer = false;
		break;
	case JOB_ACTION_SHOW:
		free(action->text);
		break;
	}
}

static void happen(struct world *w, struct job_event event)
{
	struct job_actions actions = {.n = 0};
	bool saves = false;

	event.newest = NEWEST;
	event.back = BACK;
	job_machine_step(&w->m, &event, &actions);
	for (size_t i = 0; i < actions.n; i++)
		perform(w, &actions.items[i], &saves);
	if (saves)
		happen(w, (struct job_event){
				  .kind = w->disk_full ? JOB_EVENT_NOT_SAVED : JOB_EVENT_SAVED,
				  .reason = "disk full"});
	if (w->abandoned) {
		w->abandoned = false;
		happen(w, (struct job_event){.kind = JOB_EVENT_STAYS});
	}
}

// The cloud --------------------------------------------------------------------------------------

static struct job_execution to_execution(const struct world *w, int job)
{
	struct job_execution x = {.number = 1,
		.version = w->jobs[job].version,
		.status = w->jobs[job].status,
		.document = rollback};

	(void)snprintf(x.id, sizeof(x.id), "%s", IDS[job]);
	return x;
}

static int next_job(const struct world *w)
{
	for (int i = 0; i < CLOUD_JOBS; i++) {
		if (!job_status_is_final(w->jobs[i].status))
			return i;
	}
	return -1;
}

static void answer_update(struct world *w, struct job_message *r)
{
	struct cloud_job *j = &w->jobs[w->job];

	r->rejected = job_status_is_final(j->status) || (w->version && w->version != j->version);
	if (r->rejected) {
		r->code = JOB_CODE_STALE;
	} else {
		j->status = w->status;
		j->version++;
	}
	r->state = j->status;
	r->version = j->version;
}

/// What the cloud makes of the request.
static struct job_message answer(struct world *w)
{
	struct job_message r = {.kind = w->kind, .state = JOB_STATUSES};
	int next = next_job(w);

	memcpy(r.token, w->token, sizeof(r.token));
	if (w->job >= 0)
		(void)snprintf(r.id, sizeof(r.id), "%s", IDS[w->job]);
	if (w->kind == JOB_KIND_START_NEXT && next >= 0) {
		if (w->jobs[next].status == JOB_STATUS_QUEUED)
			w->jobs[next].version++;
		w->jobs[next].status = JOB_STATUS_IN_PROGRESS;
		r.has_execution = true;
		r.execution = to_execution(w, next);
	} else if (w->kind == JOB_KIND_GET) {
		r.has_execution = true;
		r.execution = to_execution(w, w->job);
	} else if (w->kind == JOB_KIND_UPDATE) {
		answer_update(w, &r);
	}
	w->asked = false;
	return r;
}

static void deliver(struct world *w, const struct job_message *r)
{
	w->by_answer = true;
	happen(w, (struct job_event){.kind = JOB_EVENT_MESSAGE, .message = r});
	w->by_answer = false;
}

static void notify_next(struct world *w)
{
	struct job_message r = {.kind = JOB_KIND_NOTIFY_NEXT};
	int next = next_job(w);

	r.has_execution = next >= 0;
	if (next >= 0)
		r.execution = to_execution(w, next);
	deliver(w, &r);
}

// The device -------------------------------------------------------------------------------------

static void end_deployment(struct world *w, enum job_status status)
{
	struct cloud_job *j = &w->jobs[w->deploying];

	j->done = status;
	w->deploying = -1;
	w->holds = false;
	happen(w, (struct job_event){.kind = JOB_EVENT_ENDED, .status = status, .reason = "why"});
}

static void kill_device(struct world *w)
{
	struct job_list list = w->disk;
	struct job_entry *e = &list.items[0];
	bool takes_up = list.n > 0 && e->status == JOB_STATUS_IN_PROGRESS;
	int job = takes_up ? find_job(e->id) : -1;

	w->ordered = w->deploying = -1;
	w->holds = w->asked = w->timer = false;
	if (takes_up && w->jobs[job].begun)
		e->begun = true;
	w->m = job_machine_begin(&list, "n");
	if (takes_up && e->begun)
		w->deploying = job; // the supervisor resumes it, or has its outcome
}

static void act_if_may(struct world *w)
{
	if (job_machine_asks(&w->m, BACK)) {
		w->holds = true;
		happen(w, (struct job_event){.kind = JOB_EVENT_ACTS});
	} else {
		w->jobs[w->deploying].acted = true;
	}
}

enum happening {
	CONNECTS,
	LOSES,
	ANSWERS,
	REPLY_LOST,
	TIMES_OUT,
	CANCELS,
	NOTIFIES,
	BEGINS,
	DIES_AS_IT_BEGINS, ///< The store has it, the list does not show it.
	ACTS,
	NO_ANSWER,
	SUCCEEDS,
	FAILS,
	DIES_AS_IT_ENDS, ///< The same.
	KILLED,
	FILLS,
	HAPPENINGS,
};

/// False: it cannot happen now.
static bool try_cloud(struct world *w, enum happening what)
{
	struct job_message r;

	switch (what) {
	case CONNECTS:
		if (w->m.connected)
			return false;
		happen(w, (struct job_event){.kind = JOB_EVENT_CONNECTED});
		return true;
	case LOSES:
		if (!w->m.connected)
			return false;
		w->asked = false;
		happen(w, (struct job_event){.kind = JOB_EVENT_LOST});
		return true;
	case ANSWERS:
	case REPLY_LOST:
		if (!w->asked)
			return false;
		r = answer(w);
		if (what == ANSWERS)
			deliver(w, &r);
		return true;
	case TIMES_OUT:
		if (!w->timer)
			return false;
		w->timer = w->asked = false;
		happen(w, (struct job_event){.kind = JOB_EVENT_TIMER});
		return true;
	case CANCELS:
		if (job_status_is_final(w->jobs[0].status))
			return false;
		w->jobs[0].status = JOB_STATUS_CANCELED;
		w->jobs[0].version++;
		return true;
	case NOTIFIES:
		if (!w->m.connected)
			return false;
		notify_next(w);
		return true;
	default:
		return false;
	}
}

static bool try_device(struct world *w, enum happening what)
{
	struct cloud_job *d = w->deploying >= 0 ? &w->jobs[w->deploying] : NULL;

	switch (what) {
	case BEGINS:
	case DIES_AS_IT_BEGINS:
		if (w->ordered < 0)
			return false;
		w->deploying = w->ordered;
		w->ordered = -1;
		begin_rollback(w, w->deploying);
		if (what == DIES_AS_IT_BEGINS)
			kill_device(w);
		else
			happen(w, (struct job_event){.kind = JOB_EVENT_BEGUN, .generation = BACK});
		return true;
	case ACTS:
		if (!d || d->acted || w->holds || d->cancelled || d->done != JOB_STATUS_IN_PROGRESS)
			return false;
		act_if_may(w);
		return true;
	case NO_ANSWER:
		if (!w->holds)
			return false;
		happen(w, (struct job_event){.kind = JOB_EVENT_NO_ANSWER});
		return true;
	case SUCCEEDS:
		if (!d || w->holds || (!d->acted && d->done == JOB_STATUS_IN_PROGRESS))
			return false;
		end_deployment(
			w, d->done == JOB_STATUS_IN_PROGRESS ? JOB_STATUS_SUCCEEDED : d->done);
		return true;
	case FAILS:
		if (!d || w->holds || d->done != JOB_STATUS_IN_PROGRESS)
			return false;
		end_deployment(w, JOB_STATUS_FAILED);
		return true;
	case DIES_AS_IT_ENDS:
		if (!d || w->holds || !d->acted || d->done != JOB_STATUS_IN_PROGRESS)
			return false;
		d->done = JOB_STATUS_SUCCEEDED;
		kill_device(w);
		return true;
	case KILLED:
		kill_device(w);
		return true;
	case FILLS:
		w->disk_full = !w->disk_full;
		w->disk_was_full = true;
		return true;
	default:
		return false;
	}
}

static bool try(struct world *w, enum happening what)
{
	return what < BEGINS ? try_cloud(w, what) : try_device(w, what);
}

static void check_rest(const struct world *w)
{
	const struct job_entry *e = job_machine_present(&w->m);

	if (e)
		complain(w, "a job is not finished");
	for (int i = 0; i < CLOUD_JOBS; i++) {
		const struct cloud_job *j = &w->jobs[i];

		if (!job_status_is_final(j->status))
			complain(w, "the outcome of a job is lost");
		if (j->status == JOB_STATUS_SUCCEEDED && j->done != JOB_STATUS_SUCCEEDED)
			complain(w, "a job that did not succeed is reported as if it had");
		if (j->status == JOB_STATUS_FAILED && j->done == JOB_STATUS_SUCCEEDED)
			complain(w, "a job that succeeded is reported as a failure");
		if (i > 0 && j->begins != 1 && !w->disk_was_full)
			complain(w, "a job did not run");
	}
}

/// From now on all goes well.
static void check_from_here(const struct world *from)
{
	static const enum happening order[] = {
		ANSWERS, BEGINS, ACTS, SUCCEEDS, FAILS, TIMES_OUT, CONNECTS};
	struct world w = *from;

	w.disk_full = false;
	for (int step = 0; step < STEPS_TO_REST; step++) {
		size_t i = 0;

		if (w.holds && !w.m.connected)
			(void)try(&w, CONNECTS);
		while (i < LM_ARRAY_SIZE(order) && !try(&w, order[i]))
			i++;
		if (i == LM_ARRAY_SIZE(order)) {
			if (next_job(&w) < 0)
				break;
			notify_next(&w);
		}
	}
	check_rest(&w);
}

static void walk(const struct world *from)
{
	check_from_here(from);
	if (from->path_n == DEPTH)
		return;
	for (unsigned i = 0; i < HAPPENINGS; i++) {
		struct world w = *from;

		w.path[w.path_n++] = (unsigned char)i;
		if (try(&w, (enum happening)i))
			walk(&w);
	}
}

static struct world begin(void)
{
	struct world w;

	memset(&w, 0, sizeof(w));
	w.m = job_machine_begin(&w.disk, "n");
	w.ordered = w.deploying = -1;
	for (int i = 0; i < CLOUD_JOBS; i++)
		w.jobs[i] = (struct cloud_job){
			.status = JOB_STATUS_QUEUED, .version = 1, .done = JOB_STATUS_IN_PROGRESS};
	return w;
}

static void go(struct world *w, enum happening what)
{
	w->path[0] = (unsigned char)what;
	w->path_n = 1;
	assert_true(try(w, what));
}

/// `a` is under way, and may begin to act.
static struct world begin_deploying(void)
{
	struct world w = begin();

	go(&w, CONNECTS);
	go(&w, ANSWERS);
	go(&w, BEGINS);
	w.path_n = 0;
	return w;
}

static void every_job_ends_as_promised_whatever_happens(void **state)
{
	const struct world w = begin(), deploying = begin_deploying();

	(void)state;
	walk(&w);
	walk(&deploying);
}

static void what_must_not_run_twice_is_on_disk_before_it_runs(void **state)
{
	struct world w = begin();

	(void)state;
	go(&w, CONNECTS);
	assert_int_equal(w.kind, JOB_KIND_START_NEXT);
	go(&w, ANSWERS);
	assert_int_equal(w.ordered, 0);
	assert_int_equal(w.disk.n, 1);
	assert_int_equal(w.disk.items[0].status, JOB_STATUS_IN_PROGRESS);
	assert_int_equal(w.disk.items[0].generation, BACK);
}

static void a_full_disk_fails_the_job(void **state)
{
	struct world w = begin();

	(void)state;
	w.disk_full = true;
	go(&w, CONNECTS);
	go(&w, ANSWERS);
	assert_int_equal(w.ordered, -1);
	assert_int_equal(w.status, JOB_STATUS_FAILED);
	assert_non_null(strstr(w.m.list.items[0].reason, "disk full"));
}

static void without_an_answer_it_acts_after_a_while(void **state)
{
	struct world w = begin_deploying();

	(void)state;
	go(&w, LOSES);
	go(&w, ACTS);
	assert_true(w.holds);
	go(&w, NO_ANSWER);
	assert_true(w.jobs[0].acted);
	assert_true(w.disk.items[0].acted);
}

static void a_job_that_was_cancelled_does_not_act(void **state)
{
	struct world w = begin_deploying();

	(void)state;
	go(&w, CANCELS);
	go(&w, ACTS);
	assert_int_equal(w.kind, JOB_KIND_UPDATE);
	go(&w, ANSWERS);
	assert_false(w.jobs[0].acted);
	assert_int_equal(w.disk.items[0].closed_as, JOB_STATUS_CANCELED);
	go(&w, FAILS);
	assert_true(w.disk.items[0].acknowledged);
	assert_int_equal(w.kind, JOB_KIND_START_NEXT);
}

static void a_restart_knows_without_a_connection_what_was_cancelled(void **state)
{
	struct world w = begin_deploying();

	(void)state;
	go(&w, CANCELS);
	go(&w, NOTIFIES);
	go(&w, ANSWERS); // what the cloud is asked about each job after that
	assert_true(w.disk.items[0].closed);
	go(&w, KILLED);
	assert_false(w.m.connected);
	w.jobs[0].cancelled = false; // the worker had not stopped yet
	go(&w, ACTS);
	assert_false(w.jobs[0].acted);
	assert_true(w.jobs[0].cancelled);
}

static void what_was_cancelled_before_a_restart_and_never_began_is_over(void **state)
{
	struct world w = begin();

	(void)state;
	go(&w, CONNECTS);
	go(&w, ANSWERS);
	go(&w, CANCELS);
	go(&w, NOTIFIES);
	go(&w, ANSWERS);
	assert_true(w.disk.items[0].closed);
	go(&w, KILLED);
	go(&w, CONNECTS);
	assert_int_equal(w.disk.items[0].status, JOB_STATUS_FAILED);
	assert_true(w.disk.items[0].acknowledged);
	assert_int_equal(w.kind, JOB_KIND_START_NEXT);
}

static void a_reason_that_the_service_refuses_is_left_out(void **state)
{
	struct world w = begin_deploying();
	struct job_message r = {
		.kind = JOB_KIND_UPDATE, .rejected = true, .code = JOB_CODE_INVALID, .id = "a"};

	(void)state;
	go(&w, FAILS);
	assert_string_equal(w.m.request.reason, "why");
	memcpy(r.token, w.token, sizeof(r.token));
	w.asked = false;
	deliver(&w, &r);
	go(&w, TIMES_OUT);
	assert_int_equal(w.status, JOB_STATUS_FAILED);
	assert_null(strstr(w.m.request.reason, "why"));
	assert_non_null(strstr(w.m.request.reason, "did not accept the reason"));
	go(&w, ANSWERS);
	assert_string_equal(w.disk.items[0].reason, "why");
	assert_false(w.m.reason_refused); // of the next one
	assert_int_equal(w.kind, JOB_KIND_START_NEXT);
}

static void a_deployment_that_is_about_to_act_cuts_the_wait_short(void **state)
{
	struct world w = begin_deploying();

	(void)state;
	happen(&w, (struct job_event){.kind = JOB_EVENT_STAGE, .stage = "pull"});
	go(&w, REPLY_LOST);
	go(&w, TIMES_OUT);
	assert_false(w.asked); // for a pause
	go(&w, ACTS);
	assert_true(w.asked);
	go(&w, ANSWERS); // for another version than the cloud has
	assert_true(w.asked);
	go(&w, ANSWERS);
	assert_true(w.jobs[0].acted);
}

static void what_runs_again_after_a_failure_is_not_the_job(void **state)
{
	struct world w = begin_deploying();
	const struct lifecycle rolled_back = {.wanted = {WANTED_UP, BACK - 1},
		.actual = ACTUAL_WHOLE,
		.runs = BACK - 1,
		.good = BACK - 1,
		.proven = BACK - 1};

	(void)state;
	w.m.list.items[0].operation = JOB_DEPLOYS;
	happen(&w, (struct job_event){.kind = JOB_EVENT_BEGUN, .generation = BACK - 1});
	assert_int_equal(w.m.list.items[0].generation, BACK);
	assert_int_equal(w.disk.items[0].generation, BACK);
	assert_int_equal(job_judge(job_machine_present(&w.m), &rolled_back), JOB_HAS_FAILED);
}

static void a_reply_to_another_request_is_ignored(void **state)
{
	struct world w = begin();
	struct job_message r = {.kind = JOB_KIND_START_NEXT, .token = "other"};

	(void)state;
	go(&w, CONNECTS);
	r.has_execution = true;
	r.execution = to_execution(&w, 0);
	deliver(&w, &r);
	assert_int_equal(w.m.list.n, 0);
	assert_int_equal(w.m.asked, JOB_KIND_START_NEXT);
}

static void an_execution_that_has_ended_is_not_run(void **state)
{
	struct world w = begin();
	struct job_message r = {.kind = JOB_KIND_START_NEXT, .has_execution = true};

	(void)state;
	go(&w, CONNECTS);
	memcpy(r.token, w.token, sizeof(r.token));
	r.execution = to_execution(&w, 0);
	r.execution.status = JOB_STATUS_CANCELED;
	deliver(&w, &r);
	assert_int_equal(w.m.list.n, 0);
}

static void a_throttled_request_is_made_again_later(void **state)
{
	struct world w = begin();
	struct job_message r = {
		.kind = JOB_KIND_START_NEXT, .rejected = true, .code = JOB_CODE_LATER};

	(void)state;
	go(&w, CONNECTS);
	for (unsigned i = 1; i < 4; i++) {
		memcpy(r.token, w.token, sizeof(r.token));
		w.asked = false;
		deliver(&w, &r);
		assert_true(w.timer);
		assert_false(w.asked);
		assert_int_equal(w.m.tries, i);
		go(&w, TIMES_OUT);
		assert_true(w.asked);
	}
}

static void a_request_without_a_reply_is_made_again_later(void **state)
{
	struct world w = begin();

	(void)state;
	go(&w, CONNECTS);
	go(&w, REPLY_LOST);
	go(&w, TIMES_OUT);
	assert_true(w.timer); // for a pause
	assert_false(w.asked);
	go(&w, TIMES_OUT);
	assert_int_equal(w.kind, JOB_KIND_START_NEXT);
	go(&w, ANSWERS);
	assert_int_equal(w.ordered, 0);
}

static void a_notification_cuts_the_wait_short_once(void **state)
{
	struct world w = begin();

	(void)state;
	go(&w, CONNECTS);
	w.asked = false; // nobody was there
	go(&w, NOTIFIES);
	assert_true(w.asked);
	w.asked = false;
	go(&w, NOTIFIES);
	assert_false(w.asked);
	go(&w, TIMES_OUT);
	go(&w, NOTIFIES);
	go(&w, ANSWERS);
	assert_int_equal(w.ordered, 0);
}

static void a_job_is_reported_again_and_another_execution_of_it_runs(void **state)
{
	struct world w = begin_deploying();

	(void)state;
	go(&w, ACTS);
	go(&w, ANSWERS);
	go(&w, SUCCEEDS);
	go(&w, ANSWERS);
	assert_int_equal(w.jobs[0].status, JOB_STATUS_SUCCEEDED);
	// The cloud has forgotten that.
	w.jobs[0].status = JOB_STATUS_QUEUED;
	go(&w, ANSWERS);
	assert_int_equal(w.ordered, -1);
	assert_int_equal(w.status, JOB_STATUS_SUCCEEDED);
	assert_int_equal(w.m.list.n, 1);
	go(&w, ANSWERS);
	struct job_message r = {.kind = JOB_KIND_START_NEXT, .has_execution = true};
	memcpy(r.token, w.token, sizeof(r.token));
	r.execution = to_execution(&w, 0);
	r.execution.number = 2;
	r.execution.status = JOB_STATUS_IN_PROGRESS;
	deliver(&w, &r);
	assert_int_equal(w.ordered, 0);
	assert_int_equal(w.m.list.n, 2);
}

static void only_the_last_few_are_remembered(void **state)
{
	struct world w = begin();

	(void)state;
	w.m.list.n = JOBS_KEPT;
	for (size_t i = 0; i < JOBS_KEPT; i++)
		w.m.list.items[i] = (struct job_entry){.status = JOB_STATUS_FAILED,
			.acknowledged = true,
			.id = "x",
			.number = (int64_t)i};
	go(&w, CONNECTS);
	go(&w, ANSWERS);
	assert_int_equal(w.m.list.n, JOBS_KEPT);
	assert_string_equal(w.m.list.items[0].id, "a");
	assert_int_equal(w.m.list.items[JOBS_KEPT - 1].number, JOBS_KEPT - 2);
}

static void a_stage_is_reported_once(void **state)
{
	struct world w = begin_deploying();
	const struct job_event pull = {.kind = JOB_EVENT_STAGE, .stage = "pull"};

	(void)state;
	happen(&w, pull);
	assert_true(w.asked);
	assert_string_equal(w.m.request.stage, "pull");
	go(&w, ANSWERS);
	happen(&w, pull);
	assert_false(w.asked);
}

static enum job_verdict judge(enum job_operation operation, struct lifecycle l)
{
	const struct job_entry e = {.operation = operation, .begun = true, .generation = 3};

	return job_judge(&e, &l);
}

static void what_became_of_a_job_is_judged_by_what_is_wanted_and_runs(void **state)
{
	const struct lifecycle_target up = {WANTED_UP, 3}, other = {WANTED_UP, 2},
				      down = {WANTED_DOWN, 3};
	struct lifecycle whole = {
		.wanted = up, .actual = ACTUAL_WHOLE, .runs = 3, .good = 3, .proven = 3};

	(void)state;
	assert_int_equal(judge(JOB_DEPLOYS, whole), JOB_IS_DONE);
	assert_int_equal(judge(JOB_ROLLS_BACK, whole), JOB_IS_DONE);
	whole.damaged = true; // of its images: that is repaired
	assert_int_equal(judge(JOB_ROLLS_BACK, whole), JOB_IS_DONE);
	whole = (struct lifecycle){.wanted = up,
		.actual = ACTUAL_WHOLE,
		.runs = 3,
		.good = 3,
		.proven = 2,
		.probation = true};
	assert_int_equal(judge(JOB_DEPLOYS, whole), JOB_PROVES);
	whole.unsound = true;
	assert_int_equal(judge(JOB_DEPLOYS, whole), JOB_HAS_FAILED);
	assert_int_equal(judge(JOB_DEPLOYS, (struct lifecycle){.wanted = up}), JOB_GOES_ON);
	assert_int_equal(judge(JOB_DEPLOYS, (struct lifecycle){.wanted = up, .given_up = true}),
		JOB_HAS_FAILED);
	assert_int_equal(judge(JOB_DEPLOYS, (struct lifecycle){.wanted = other}), JOB_HAS_FAILED);
	assert_int_equal(judge(JOB_DEPLOYS, (struct lifecycle){.wanted = down}), JOB_HAS_FAILED);
	// It was done, whatever a person has done since.
	assert_int_equal(
		judge(JOB_DEPLOYS, (struct lifecycle){.wanted = down, .proven = 3}), JOB_IS_DONE);
	assert_int_equal(judge(JOB_ROLLS_BACK, (struct lifecycle){.wanted = down, .proven = 3}),
		JOB_HAS_FAILED);
}

static int make_document(void **state)
{
	(void)state;
	rollback = json_pack("{s:s}", "operation", "lighterman.rollback");
	return 0;
}

static int free_document(void **state)
{
	(void)state;
	json_decref(rollback);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_must_not_run_twice_is_on_disk_before_it_runs),
		cmocka_unit_test(a_full_disk_fails_the_job),
		cmocka_unit_test(without_an_answer_it_acts_after_a_while),
		cmocka_unit_test(a_job_that_was_cancelled_does_not_act),
		cmocka_unit_test(a_restart_knows_without_a_connection_what_was_cancelled),
		cmocka_unit_test(what_was_cancelled_before_a_restart_and_never_began_is_over),
		cmocka_unit_test(a_reason_that_the_service_refuses_is_left_out),
		cmocka_unit_test(a_deployment_that_is_about_to_act_cuts_the_wait_short),
		cmocka_unit_test(what_runs_again_after_a_failure_is_not_the_job),
		cmocka_unit_test(a_reply_to_another_request_is_ignored),
		cmocka_unit_test(an_execution_that_has_ended_is_not_run),
		cmocka_unit_test(a_throttled_request_is_made_again_later),
		cmocka_unit_test(a_request_without_a_reply_is_made_again_later),
		cmocka_unit_test(a_notification_cuts_the_wait_short_once),
		cmocka_unit_test(a_job_is_reported_again_and_another_execution_of_it_runs),
		cmocka_unit_test(only_the_last_few_are_remembered),
		cmocka_unit_test(a_stage_is_reported_once),
		cmocka_unit_test(what_became_of_a_job_is_judged_by_what_is_wanted_and_runs),
		cmocka_unit_test(every_job_ends_as_promised_whatever_happens),
	};

	return cmocka_run_group_tests_name(
		"deploy/job_machine", tests, make_document, free_document);
}
