// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/daemon_log.h"
#include "daemon/start.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
	LOCK_AGAIN_MS = 200,
	LOCK_PATIENCE_MS = 45 * 1000, ///< A worker without lightermand ends within its own grace.
};

static void end_waiter(struct supervisor_waiter *waiter, json_t *last)
{
	lm_auto_json json_t *owned = last;
	struct supervisor_waiter told = *waiter;

	*waiter = (struct supervisor_waiter){0};
	if (told.ended)
		told.ended(told.ctx, owned);
}

void supervisor_answer(struct supervisor *s, json_t *last)
{
	end_waiter(&s->waiter, last);
}

static void order_finish(struct order *order)
{
	group_destroy(order->group);
	*order = (struct order){0};
}

static bool is_busy(const struct supervisor *s)
{
	return s->job || s->ending.pending;
}

static void cancel(struct supervisor *s, const char *why)
{
	if (!s->job || s->down_group || s->planning || s->why_cancelled)
		return;
	s->why_cancelled = why;
	lm_info("the deployment of generation %u is cancelled: %s", s->attempt.generation, why);
	job_cancel(s->job);
}

/// Puts an order in the place of the one that waits.
static void give(struct supervisor *s, struct order *order)
{
	if (s->order.kind == ORDER_END) {
		end_waiter(&order->waiter, control_last_line(1, "lightermand is ending"));
		order_finish(order);
		return;
	}
	if (!order->resumes)
		s->resume_tries = 0;
	loop_timer_stop(s->resume_again);
	end_waiter(&s->order.waiter, control_last_line(1, "superseded by a later command"));
	order_finish(&s->order);
	s->order = *order;
	*order = (struct order){0};
	planning_cancel(s, "given up, as another command came; try again when that has ended");
	if (s->order.kind == ORDER_DEPLOY)
		cancel(s, "superseded by a newer deployment");
	else if (s->order.kind == ORDER_STOP)
		cancel(s, "the application is to be stopped");
	else if (s->order.kind == ORDER_END)
		cancel(s, "lightermand is ending");
	supervisor_next(s);
}

json_t *supervisor_fault_line(const struct definition_fault *fault)
{
	lm_auto_free char *text = fault_text(fault);

	return json_pack("{s:{s:s?, s:s?, s:s?, s:s?, s:s}}", "fault", "entry", fault->entry,
		"parameter", fault->parameter, "value", fault->value, "rule", fault->rule, "text",
		text);
}

static void tell(const struct supervisor_waiter *waiter, json_t *line)
{
	lm_auto_json json_t *owned = line;

	if (owned && waiter->told)
		waiter->told(waiter->ctx, owned, false);
}

static void refuse(struct supervisor *s, const struct definition_faults *faults,
	const struct lm_err *err, struct supervisor_waiter *waiter)
{
	lm_error("the group file is not valid: %s", err->msg);
	for (size_t i = 0; i < faults->n; i++)
		tell(waiter, supervisor_fault_line(&faults->items[i]));
	s->counts.ended[METRICS_INVALID]++;
	reporting_refuse(s, err->msg);
	supervisor_changed(s);
	end_waiter(waiter, control_last_line(2, err->msg));
}

void supervisor_deploy(struct supervisor *s, struct lm_str group_file, bool reuse,
	const struct supervisor_waiter *waiter)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct supervisor_waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (definition_parse(group_file, &faults, &group, &err)) {
		refuse(s, &faults, &err, &waits);
		return;
	}
	daemon_log_apply(group);
	for (size_t i = 0; i < group->warnings_n; i++) {
		lm_warn("group file: %s", group->warnings[i]);
		tell(&waits, json_pack("{s:s}", "warning", group->warnings[i]));
	}
	struct order order = {
		.kind = ORDER_DEPLOY,
		.group = lm_take(group),
		.reuse = reuse,
		.resumes = reuse,
		.waiter = waits,
	};
	give(s, &order);
}

void supervisor_start(struct supervisor *s, const struct supervisor_waiter *waiter)
{
	struct order order = {.kind = ORDER_START, .waiter = *waiter};

	if (s->job && s->attempt.generation && !s->why_cancelled) {
		lm_auto_free char *text = lm_xasprintf(
			"generation %u is being deployed already", s->attempt.generation);
		end_waiter(&order.waiter, control_last_line(1, text));
		return;
	}
	give(s, &order);
}

void supervisor_stop(struct supervisor *s, const struct supervisor_waiter *waiter)
{
	struct order order = {.kind = ORDER_STOP, .waiter = *waiter};
	struct lm_err err = {LM_OK};

	if (takedown_generation(s) == 0 && s->order.kind != ORDER_DEPLOY) {
		end_waiter(&order.waiter, control_last_line(0, "nothing was deployed yet"));
		return;
	}
	// The wish comes first: whatever interrupts the rest, the application stays down.
	if (store_set_stopped(s->store, true, &err)) {
		lm_error("%s", err.msg);
		end_waiter(&order.waiter, control_last_line(1, err.msg));
		return;
	}
	give(s, &order);
}

void supervisor_resume(struct supervisor *s)
{
	struct order order = {.kind = ORDER_START, .resumes = true};

	if (takedown_generation(s) == 0)
		lm_info("nothing was deployed yet: 'lighterman deploy FILE' does");
	else if (supervisor_is_stopped(s))
		lm_info("the application stays down: 'lighterman start' brings it up");
	else
		give(s, &order);
}

void supervisor_end(struct supervisor *s, loop_cb *done, void *ctx)
{
	struct order order = {.kind = ORDER_END};

	s->ended = done;
	s->ended_ctx = ctx;
	give(s, &order);
}

void supervisor_forget(struct supervisor *s, const void *ctx)
{
	if (s->waiter.ctx == ctx)
		s->waiter = (struct supervisor_waiter){0};
	if (s->order.waiter.ctx == ctx)
		s->order.waiter = (struct supervisor_waiter){0};
	if (s->plan_waiter.ctx == ctx) {
		s->plan_waiter = (struct supervisor_waiter){0};
		planning_cancel(s, "nobody waits for it any more");
	}
}

/// A worker that outlived its lightermand has the lock, and 45 s to end by itself.
static void wait_for_lock(struct supervisor *s, pid_t holder)
{
	uint64_t now = lm_clock_mono_ms();

	if (s->lock_since_ms == 0) {
		s->lock_since_ms = now;
		lm_warn("a worker of an earlier lightermand has not ended yet, waiting for it");
	} else if (holder > 0 && now - s->lock_since_ms > LOCK_PATIENCE_MS) {
		lm_warn("it has had %d s: killing process %ld and what it started",
			LOCK_PATIENCE_MS / 1000, (long)holder);
		process_kill_session(holder, SIGKILL);
		s->lock_since_ms = now;
	}
	loop_timer_start(s->again, LOCK_AGAIN_MS, 0);
}

/// Whether a worker may start now; if not, `again` asks again.
static bool is_free(struct supervisor *s)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	if (launch_lock(s->host, &lock, &holder, &err) == LM_E_CONFLICT) {
		wait_for_lock(s, holder);
		return false;
	}
	s->lock_since_ms = 0;
	return true; // what else is wrong is told by the start of the job
}

lm_rc supervisor_read_group(
	struct supervisor *s, unsigned n, struct group **ret, struct lm_err *err)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto_free char *text = NULL;
	lm_rc rc = store_read_definition(s->store, n, &text, err);

	if (rc == LM_OK)
		rc = definition_parse(lm_str(text), &faults, ret, err);
	return rc ? lm_wrap(err, "the stored definition of generation %u", n) : LM_OK;
}

/// Without it the worker goes by the new definition's destination alone.
static void find_previous(struct supervisor *s, unsigned n, char **ret_destination, int *ret_fd)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (n == 0)
		return;
	if (supervisor_read_group(s, n, &group, &err)) {
		lm_warn("%s, ignoring", err.msg);
		return;
	}
	*ret_destination = lm_xstrdup(group->connector.destination);
	(void)!store_read_compose(s->store, n, ret_fd, &err); // not kept yet
}

lm_rc supervisor_start_job(struct supervisor *s, const char *kind, const struct group *group,
	int compose_fd, const json_t *fallback, unsigned previous, const struct job_events *events,
	struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_free char *credentials = NULL;
	lm_auto_free char *previous_destination = NULL;
	lm_auto_close int previous_fd = -1;
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	lm_rc rc = launch_find_user(s->host, &group->connector, &user, err);

	if (rc == LM_OK && !s->worker)
		rc = launch_find_worker(&s->worker, err);
	if (rc == LM_OK)
		rc = launch_lock(s->host, &lock, &holder, err);
	if (rc == LM_OK)
		rc = launch_make_credentials(s->host, &user, &credentials, err);
	if (rc)
		return rc;
	find_previous(s, previous, &previous_destination, &previous_fd);
	const struct launch_compose compose = {s->compose_stamp, s->compose_version};
	lm_auto_json json_t *document = launch_make_document(
		kind, group, s->host, credentials, &compose, fallback, previous_destination);
	const struct start start = {
		.program = s->worker,
		.user = &user,
		.document = document,
		.compose_fd = compose_fd,
		.lock_fd = lock,
		.previous_fd = previous_fd,
		.needs_aws = strcmp(kind, "down") != 0,
	};
	return start_worker(s->loop, s->host, &start, events, &s->job, err);
}

struct job *supervisor_take_job(struct supervisor *s)
{
	struct lm_err err = {LM_OK};

	if (launch_remove_credentials(s->host, &err))
		lm_warn("remove the folder for credentials: %s, ignoring", err.msg);
	return lm_take(s->job);
}

void supervisor_note_compose(void *ctx, const char *stamp, const char *version)
{
	struct supervisor *s = ctx;

	free(s->compose_stamp);
	free(s->compose_version);
	s->compose_stamp = lm_xstrdup(stamp);
	s->compose_version = lm_xstrdup(version);
}

static void finish_end(struct supervisor *s)
{
	loop_cb *ended = lm_take(s->ended);

	if (ended)
		ended(s->ended_ctx);
}

static void begin_stop(struct supervisor *s, struct order *order)
{
	s->waiter = order->waiter;
	order->waiter = (struct supervisor_waiter){0};
	if (takedown_generation(s) == 0)
		supervisor_answer(s, control_last_line(0, "nothing was deployed yet"));
	else
		takedown_begin(s);
}

static void begin_next(struct supervisor *s)
{
	if (s->order.kind == ORDER_NONE)
		return;
	if (s->order.kind == ORDER_END && s->ending.pending) {
		lm_warn("the end of generation %u is not recorded; the next start deploys it again",
			s->attempt.generation);
		ending_finish(&s->ending);
	}
	if (is_busy(s))
		return;
	watching_begin(s);
	if (!is_free(s))
		return;
	if (s->order.kind == ORDER_END) { // it stays: nothing may begin any more
		if (!s->down_ended && takedown_is_due(s))
			takedown_begin(s);
		else
			finish_end(s);
		return;
	}
	struct order order = s->order;
	s->order = (struct order){0};
	if (order.kind == ORDER_DEPLOY)
		attempt_begin_deploy(s, &order);
	else if (order.kind == ORDER_START)
		attempt_begin_start(s, &order);
	else
		begin_stop(s, &order);
	order_finish(&order);
}

void supervisor_next(struct supervisor *s)
{
	begin_next(s);
	watching_rest(s);
}

static void on_again(void *ctx)
{
	struct supervisor *s = ctx;

	if (!s->ending.pending || ending_record(s))
		supervisor_next(s);
}

static void on_report_again(void *ctx)
{
	reporting_send(ctx);
}

static void on_resume_again(void *ctx)
{
	supervisor_resume(ctx);
}

/// Removes the logins of a worker that was killed together with an earlier lightermand: it may be
/// long until the next job, which would. A worker that still runs removes its own.
static void remove_abandoned_logins(const struct host_settings *host)
{
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	struct lm_err err = {LM_OK};

	if (launch_lock(host, &lock, &holder, &err) == LM_OK &&
		launch_remove_credentials(host, &err) != LM_OK)
		lm_warn("remove the folder for credentials: %s, ignoring", err.msg);
}

struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct outgoing *outgoing)
{
	struct supervisor *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct supervisor){.loop = loop, .host = host, .store = store, .outgoing = outgoing};
	s->again = loop_timer_create(loop, on_again, s);
	s->report_again = loop_timer_create(loop, on_report_again, s);
	s->resume_again = loop_timer_create(loop, on_resume_again, s);
	s->counts.last_success_ms = view_last_success_ms(s);
	remove_abandoned_logins(host);
	reporting_send(s);
	return s;
}

void supervisor_destroy(struct supervisor *s)
{
	if (!s)
		return;
	job_destroy(s->job);
	order_finish(&s->order);
	attempt_finish(&s->attempt);
	ending_finish(&s->ending);
	group_destroy(s->down_group);
	json_decref(s->stages);
	loop_timer_destroy(s->again);
	loop_timer_destroy(s->report_again);
	loop_timer_destroy(s->resume_again);
	free(s->worker);
	free(s->compose_stamp);
	free(s->compose_version);
	free(s);
}
