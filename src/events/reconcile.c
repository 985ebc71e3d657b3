// SPDX-License-Identifier: Apache-2.0
#include "events/reconcile.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
	NS_PER_S = 1000000000,
	NS_PER_MS = 1000000,
	MS_PER_S = 1000,
	TARGET_MAX = 4096,
	ANSWER_MS = 10 * 1000,
	CODE_KILLED = 137, ///< SIGKILL: by whom, is not known from it.
	/// What exits with 0 and is started again counts as a loop if it was up for less than that;
	/// the engine waits longer from one such start to the next.
	SHORT_RUN_S = 10,
	/// A program may print before the engine notes that it was started; between two runs is
	/// more.
	LOG_SLACK_NS = 50 * NS_PER_MS,
};

struct reconcile {
	struct loop *loop;
	struct reconcile_settings settings;
	struct reconcile_callbacks callbacks;
	struct event_cursor *cursor;
	/// As an earlier lightermand left it; all 0 once containers are compared.
	struct event_cursor early;
	struct container_table containers;
	bool has_too_many; ///< `trouble` was called.
	/// While comparing is due: events of what happened since then may be lost.
	bool has_gap;
	int64_t gap_ns;
	/// On lm_clock_mono_ms(): when the cursor was up to date last.
	uint64_t heard_ms;

	// The comparison under way:
	unsigned minor;
	struct engine_get *get; ///< What is asked just now.
	int64_t asked_ns;
	int64_t listed_ns; ///< When the list was asked for.
	struct engine_containers list;
	size_t next; ///< Of the list, to be asked about.
	bool missed; ///< One of them: there was no answer.
};

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

// Reports

static void reconcile_release(void *ctx, struct container_event *event);

/// A crash that an earlier lightermand recorded.
static void recall_crash(void *ctx, const char *id)
{
	struct container *c = ctx;
	int64_t time_ns;

	if (container_event_parse_id(id, c->id, &time_ns))
		crash_loop_add(&c->crash_loop, time_ns, EVENT_UNKNOWN, true);
}

/// Finds the container or adds it. NULL: there are too many.
static struct container *get_container(struct reconcile *r, const char *id, int64_t floor_ns)
{
	struct container *c = container_table_find(&r->containers, id);
	char text[128];

	if (c)
		return c;
	c = container_table_add(&r->containers, id, floor_ns);
	if (c) {
		rate_limit_init(&c->rate_limit, r->loop, reconcile_release, r);
		crash_log_each(r->settings.crash_log, recall_crash, c);
	} else if (!r->has_too_many) {
		(void)snprintf(text, sizeof(text),
			"the application has more than %d containers; the others are not monitored",
			LIMIT_CONTAINERS);
		r->callbacks.trouble(r->callbacks.ctx, text);
		r->has_too_many = true;
	}
	return c;
}

static struct container_event make_event(
	const struct container *c, enum container_event_kind kind, int64_t time_ns)
{
	struct container_event e =
		container_event_make(kind, time_ns, c->id, c->service, c->name, c->image);

	e.restart_count = c->restart_count;
	return e;
}

/// Takes over `e`.
static void reconcile_report(struct reconcile *r, struct container_event *e)
{
	if (e->crash) {
		crash_reporter_add(r->settings.crash_reporter, e, r->has_gap);
		return;
	}
	r->callbacks.event(r->callbacks.ctx, e);
	container_event_finish(e);
}

static void reconcile_release(void *ctx, struct container_event *event)
{
	struct reconcile *r = ctx;
	const struct container *c = container_table_find(&r->containers, event->container_id);

	if (c)
		event->restart_count = c->restart_count;
	reconcile_report(r, event);
}

/// Reports an event other than an exit.
static void report_kind(
	struct reconcile *r, struct container *c, enum container_event_kind kind, int64_t time_ns)
{
	struct container_event e = make_event(c, kind, time_ns);

	if (kind == EVENT_OOM)
		e.oom_killed = 1;
	if (rate_limit_admits(&c->rate_limit, &e))
		reconcile_report(r, &e);
}

/// We have restarted it, and it runs again.
static void report_our_restart(struct reconcile *r, struct container *c, int64_t time_ns)
{
	struct container_event e = make_event(c, EVENT_RESTARTED, time_ns);

	e.unhealthy = true;
	event_cursor_end_restart(r->cursor, c->id);
	reconcile_report(r, &e);
}

static void report_start(struct reconcile *r, struct container *c, bool again, int64_t time_ns)
{
	if (event_cursor_is_restarting(r->cursor, c->id, time_ns))
		report_our_restart(r, c, time_ns);
	else if (!rate_limit_is_on(&c->rate_limit, RATE_LIMIT_CRASH) &&
		 !rate_limit_is_on(&c->rate_limit, RATE_LIMIT_EXIT))
		report_kind(r, c, again ? EVENT_RESTARTED : EVENT_STARTED, time_ns);
}

static void report_health(
	struct reconcile *r, struct container *c, enum engine_health health, int64_t time_ns)
{
	if (health == ENGINE_HEALTHY)
		report_kind(r, c, EVENT_HEALTHY, time_ns);
	else if (health == ENGINE_UNHEALTHY)
		report_kind(r, c, EVENT_UNHEALTHY, time_ns);
}

/// An exit counts to a loop unless somebody caused it.
static void note_loop_exit(struct container *c, const struct container_event *e)
{
	bool was_short = e->uptime_s != EVENT_UNKNOWN && e->uptime_s < SHORT_RUN_S;

	if (!c->killed && (e->crash || was_short))
		crash_loop_add(&c->crash_loop, e->time_ns, e->exit_code, e->crash);
}

/// Takes over `e`. An exit that is `ours` is not reported.
static void report_exit(
	struct reconcile *r, struct container *c, struct container_event *e, bool ours)
{
	char id[CONTAINER_EVENT_ID_SIZE];

	// A crash in the log was reported, if not by this run then by one that was killed soon
	// after.
	if (ours || (e->crash && crash_log_has(r->settings.crash_log, container_event_id(e, id)))) {
		container_event_finish(e);
		return;
	}
	note_loop_exit(c, e);
	if (rate_limit_admits(&c->rate_limit, e))
		reconcile_report(r, e);
}

/// Reports what its rate limit holds back, first.
static void reconcile_forget(struct reconcile *r, struct container *c)
{
	rate_limit_flush(&c->rate_limit);
	container_table_remove(&r->containers, c);
}

// Events

static void on_create(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	(void)r;
	(void)e;
	c->state = CONTAINER_CREATED;
	c->restart_count = 0;
}

/// A restart by the engine's own policy counts; after one by a person the engine counts from 0.
static void count_restart(struct container *c)
{
	if (c->exited_ns == 0 || c->restart_count == EVENT_UNKNOWN)
		return;
	if (c->killed || c->ours)
		c->restart_count = 0;
	// Asked about the crash, the engine may have answered with the new count already.
	else if (c->restart_count == c->count_at_exit)
		c->restart_count++;
}

/// A later start was found by comparing, and all before it reported. Without that an earlier time
/// means that the clock was set back a little.
static bool is_overtaken(const struct container *c, const struct engine_event *e)
{
	return c->start_found && e->time_ns < c->started_ns;
}

static void begin_run(struct container *c)
{
	c->ours = c->killed = c->oom = false;
	c->notice = 0;
}

static void on_start(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	bool again = c->exited_ns > 0, is_reported = c->start_found;

	if (is_overtaken(c, e))
		return;
	count_restart(c);
	c->state = CONTAINER_RUNNING;
	c->health = ENGINE_HEALTH_NONE;
	c->started_ns = e->time_ns;
	c->started_ms = r->has_gap ? 0 : lm_clock_mono_ms();
	c->start_found = c->exit_found = false;
	begin_run(c);
	if (!is_reported)
		report_start(r, c, again, e->time_ns);
}

int64_t reconcile_uptime_s(const struct reconcile *r, const struct container *c, int64_t time_ns)
{
	int64_t event_ns = c->started_ns > 0 ? time_ns - c->started_ns : EVENT_UNKNOWN;
	int64_t heard_ns = (int64_t)(lm_clock_mono_ms() - c->started_ms) * NS_PER_MS;

	if (c->started_ms > 0 && !r->has_gap &&
		(event_ns < 0 || event_cursor_is_ahead(event_ns, heard_ns) ||
			event_cursor_is_ahead(heard_ns, event_ns)))
		return heard_ns / NS_PER_S;
	return event_ns >= 0 ? event_ns / NS_PER_S : EVENT_UNKNOWN;
}

static void on_die(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	if (is_overtaken(c, e))
		return;
	bool is_reported = c->exit_found;
	bool busy_still = event_cursor_is_busy_still(r->cursor, e->time_ns);
	struct container_event died = make_event(c, EVENT_DIED, e->time_ns);

	c->exited_ns = e->time_ns;
	c->state = CONTAINER_EXITED;
	c->count_at_exit = c->restart_count;
	c->start_found = c->exit_found = false;
	c->ours = c->ours && busy_still;
	died.exit_code = e->exit_code;
	died.uptime_s = reconcile_uptime_s(r, c, e->time_ns);
	if (c->oom || e->exit_code != CODE_KILLED || c->killed)
		died.oom_killed = c->oom;
	died.crash = e->exit_code != 0 || c->oom;
	died.notice = busy_still ? c->notice : 0;
	died.log_from_ns = c->log_from_ns;
	c->log_from_ns = e->time_ns;
	report_exit(r, c, &died,
		is_reported || c->ours || (died.notice && !died.crash) ||
			event_cursor_is_restarting(r->cursor, c->id, e->time_ns));
}

static void on_oom(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	c->oom = true;
	if (!rate_limit_is_on(&c->rate_limit, RATE_LIMIT_CRASH))
		report_kind(r, c, EVENT_OOM, e->time_ns);
	crash_reporter_note_oom(r->settings.crash_reporter, c->id);
}

/// By default these stop a container; others are notices to most (HUP: read your settings), unless
/// the container is one that is stopped by it.
static bool is_stop(int signal)
{
	return signal == 0 || signal == SIGTERM || signal == SIGKILL || signal == SIGINT ||
	       signal == SIGQUIT;
}

static void on_kill(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	bool stops = is_stop(e->signal) || e->signal == c->stop_signal;

	// Seen as it happens, it is of the task whatever became of the clock.
	bool busy =
		event_cursor_was_busy(r->cursor, e->time_ns) || (r->cursor->busy && !r->has_gap);
	if (!stops)
		c->notice = busy && c->stop_signal == 0 ? e->signal : c->notice;
	else if (busy)
		c->ours = true;
	else
		c->killed = true;
}

static void on_pause(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	(void)r;
	c->state = e->action == ENGINE_EVENT_PAUSE ? CONTAINER_PAUSED : CONTAINER_RUNNING;
}

/// Docker has an event for each change, Podman for each check.
static void on_health(struct reconcile *r, struct container *c, const struct engine_event *e)
{
	if (c->health == e->health)
		return;
	c->health = e->health;
	report_health(r, c, e->health, e->time_ns);
}

static void (*const HANDLERS[])(
	struct reconcile *r, struct container *c, const struct engine_event *e) = {
	[ENGINE_EVENT_CREATE] = on_create,
	[ENGINE_EVENT_START] = on_start,
	[ENGINE_EVENT_DIE] = on_die,
	[ENGINE_EVENT_OOM] = on_oom,
	[ENGINE_EVENT_KILL] = on_kill,
	[ENGINE_EVENT_PAUSE] = on_pause,
	[ENGINE_EVENT_UNPAUSE] = on_pause,
	[ENGINE_EVENT_RENAME] = NULL, // the name is taken from every event
	[ENGINE_EVENT_HEALTH] = on_health,
};

/// From when on the life of a container that this event is the first of is to be reported.
static int64_t floor_of(const struct reconcile *r, const struct engine_event *e)
{
	if (e->action == ENGINE_EVENT_CREATE)
		return 0;
	return r->has_gap ? r->gap_ns : e->time_ns;
}

/// An event of before the time up to which all was read: it shows only which containers a task of
/// an earlier lightermand stopped.
static void take_early(struct reconcile *r, const struct engine_event *e)
{
	struct container *c = e->action == ENGINE_EVENT_KILL
				      ? get_container(r, e->id, floor_of(r, e))
				      : container_table_find(&r->containers, e->id);

	if (!c)
		return;
	if (e->action == ENGINE_EVENT_KILL)
		on_kill(r, c, e);
	else if (e->action == ENGINE_EVENT_START)
		c->ours = c->killed = false;
	else if (e->action == ENGINE_EVENT_DIE)
		c->log_from_ns = e->time_ns;
	else if (e->action == ENGINE_EVENT_DESTROY)
		reconcile_forget(r, c);
}

static void reconcile_apply(struct reconcile *r, const struct engine_event *e)
{
	if (e->action == ENGINE_EVENT_DESTROY) {
		struct container *gone = container_table_find(&r->containers, e->id);

		event_cursor_end_restart(r->cursor, e->id);
		if (gone)
			reconcile_forget(r, gone);
		return;
	}
	struct container *c = get_container(r, e->id, floor_of(r, e));
	if (!c)
		return;
	container_set_names(c, e->name, e->service, e->image);
	c->oneoff |= e->oneoff;
	c->touched_ns = e->time_ns;
	if (HANDLERS[e->action])
		HANDLERS[e->action](r, c, e);
}

static void bound_container(struct container *c, int64_t now_ns, int64_t heard_ns)
{
	if (event_cursor_is_ahead(c->started_ns, now_ns)) {
		c->started_ns = 0; // no time since it means anything
		c->start_found = false;
		c->floor_ns = later(c->floor_ns, heard_ns);
	}
	if (event_cursor_is_ahead(crash_loop_last_ns(&c->crash_loop), now_ns))
		c->crash_loop = (struct crash_loop){0};
	event_cursor_bound(&c->exited_ns, now_ns, heard_ns);
	event_cursor_bound(&c->floor_ns, now_ns, heard_ns);
	event_cursor_bound(&c->touched_ns, now_ns, heard_ns);
}

/// What was noted before the clock was set back gets times that mean the same now.
static void follow_clock(struct reconcile *r)
{
	int64_t now_ns = event_cursor_now_ns();
	// All that is known was known when an event was read last; by the clock as it is now:
	int64_t heard_ns = now_ns - (int64_t)(lm_clock_mono_ms() - r->heard_ms) * NS_PER_MS;
	bool is_gap_ahead = event_cursor_is_ahead(r->gap_ns, now_ns);

	if (!event_cursor_follow_clock(r->cursor, now_ns, heard_ns) && !is_gap_ahead)
		return;
	r->early = (struct event_cursor){0};
	event_cursor_bound(&r->gap_ns, now_ns, heard_ns);
	for (size_t i = 0; i < r->containers.n; i++)
		bound_container(r->containers.items[i], now_ns, heard_ns);
}

bool reconcile_event(struct reconcile *r, const struct engine_event *e)
{
	bool is_new = false;

	follow_clock(r);
	if (r->has_gap && (e->time_ns < event_cursor_from(&r->early) ||
				  event_cursor_has(&r->early, e->key, e->time_ns)))
		take_early(r, e);
	else
		is_new = e->action != ENGINE_EVENT_OTHER &&
			 event_cursor_take(r->cursor, e->key, e->time_ns);
	if (is_new)
		reconcile_apply(r, e);
	if (!r->has_gap)
		r->heard_ms = lm_clock_mono_ms();
	return is_new;
}

bool reconcile_inspected(
	struct reconcile *r, const char *id, const struct engine_container_state *s)
{
	struct container *c = container_table_find(&r->containers, id);
	enum container_state state = container_state_from_name(s->state);

	if (!c)
		return false;
	c->stop_signal = s->stop_signal;
	bool has_exited = c->state == CONTAINER_EXITED && !container_state_is_up(state);
	if (c->restart_count == s->restart_count && !(has_exited && state != CONTAINER_EXITED))
		return false;
	c->restart_count = s->restart_count;
	if (has_exited)
		c->state = state;
	return true;
}

void reconcile_set_busy(struct reconcile *r, bool busy)
{
	int64_t now_ns = event_cursor_now_ns();

	// What an earlier task stops, and has not exited since, will not have exited because of it.
	for (size_t i = 0; busy && i < r->containers.n; i++) {
		struct container *c = r->containers.items[i];

		c->ours = c->ours && event_cursor_is_busy_still(r->cursor, now_ns);
	}
	event_cursor_set_busy(r->cursor, busy, now_ns);
}

// Comparison
//
// An event's time is a little later than what the engine notes of the same in a container's state,
// and events go on arriving meanwhile. So what was noted counts only if it is later than the last
// event of its kind.

static void ask_next(struct reconcile *r);

static void reconcile_ask(
	struct reconcile *r, const char *target, const char *what, engine_get_done *done)
{
	r->asked_ns = event_cursor_now_ns();
	r->get = engine_get_start(
		r->loop, r->settings.engine_socket, target, what, ANSWER_MS, done, r);
}

static void stop_comparing(struct reconcile *r)
{
	engine_get_destroy(lm_take(r->get));
	engine_containers_finish(&r->list);
	r->next = 0;
	r->missed = false;
}

/// All is tried again with a new connection.
static void reconcile_give_up(struct reconcile *r, const struct lm_err *why)
{
	struct lm_err err = *why;

	stop_comparing(r);
	(void)!lm_wrap(&err, "reconcile containers");
	r->callbacks.failed(r->callbacks.ctx, &err);
}

static bool reconcile_is_up(const struct engine_container_state *s)
{
	return container_state_is_up(container_state_from_name(s->state));
}

/// 0: never, or before the clock was set back.
static int64_t noted_ns(const struct reconcile *r, int64_t time_ms)
{
	int64_t time_ns = time_ms * NS_PER_MS;

	return event_cursor_is_ahead(time_ns, r->asked_ns) ? 0 : time_ns;
}

/// Of a container that runs again only that it exited is known, and perhaps how often.
static void reconcile_describe_exit(struct container_event *e, const struct container *c,
	const struct engine_container_state *s)
{
	e->restart_count = s->restart_count;
	e->log_from_ns = c->log_from_ns;
	if (reconcile_is_up(s)) {
		e->log_until_ns = s->started_ms * NS_PER_MS - LOG_SLACK_NS;
		int64_t more = c->restart_count == EVENT_UNKNOWN
				       ? s->restart_count > 0
				       : (int64_t)s->restart_count - c->restart_count;
		e->crash = more > 0;
		e->count = more > 1 && more < INT32_MAX ? (unsigned)more : 1;
		return;
	}
	e->log_from_ns = s->started_ms * NS_PER_MS - LOG_SLACK_NS;
	e->exit_code = s->exit_code >= 0 ? s->exit_code : EVENT_UNKNOWN;
	e->oom_killed = s->oom_killed;
	e->crash = s->exit_code != 0 || s->oom_killed;
	if (s->started_ms > 0 && s->ended_ms >= s->started_ms)
		e->uptime_s = (s->ended_ms - s->started_ms) / MS_PER_S;
}

/// Whether the exit is one that a stop leaves, where the event that would show it is lost. Of one
/// that runs again its restarts are counted if they were by its policy.
static bool looks_stopped(const struct engine_container_state *s)
{
	enum { BY_SIGNAL = 128 };

	if (reconcile_is_up(s))
		return s->restart_count == 0;
	return !s->oom_killed && (s->exit_code == 0 || s->exit_code == BY_SIGNAL + SIGKILL ||
					 s->exit_code == BY_SIGNAL + s->stop_signal);
}

static void compare_exit(
	struct reconcile *r, struct container *c, const struct engine_container_state *s)
{
	int64_t exited_ns = noted_ns(r, s->ended_ms);

	if (exited_ns <= later(c->exited_ns, c->floor_ns))
		return;
	struct container_event e = make_event(c, EVENT_DIED, exited_ns);
	reconcile_describe_exit(&e, c, s);
	c->exit_found = !reconcile_is_up(s);
	report_exit(r, c, &e,
		(c->ours && event_cursor_is_busy_still(r->cursor, exited_ns)) ||
			(event_cursor_was_busy(r->cursor, exited_ns) && looks_stopped(s)) ||
			event_cursor_is_restarting(r->cursor, c->id, exited_ns));
}

static void compare_start(
	struct reconcile *r, struct container *c, const struct engine_container_state *s)
{
	int64_t started_ns = noted_ns(r, s->started_ms);

	if (!reconcile_is_up(s) || started_ns <= later(c->started_ns, c->floor_ns))
		return;
	c->start_found = true;
	c->started_ms = 0;
	begin_run(c);
	report_start(r, c, s->ended_ms > 0, started_ns);
}

static void compare_one(
	struct reconcile *r, struct container *c, const struct engine_container_state *s)
{
	bool has_moved = c->touched_ns >= r->asked_ns; // the events know better

	c->stop_signal = s->stop_signal;
	compare_exit(r, c, s);
	compare_start(r, c, s);
	if (!has_moved && s->health != c->health && reconcile_is_up(s))
		report_health(r, c, s->health, r->asked_ns);
	c->started_ns = later(c->started_ns, noted_ns(r, s->started_ms));
	c->exited_ns = later(c->exited_ns, noted_ns(r, s->ended_ms));
	if (reconcile_is_up(s) && s->started_ms > 0)
		c->log_from_ns = later(c->log_from_ns, s->started_ms * NS_PER_MS - LOG_SLACK_NS);
	c->restart_count = s->restart_count;
	if (has_moved)
		return;
	c->state = container_state_from_name(s->state);
	c->health = s->health;
}

/// The engine does not answer any more. One container alone may be damaged (its answer is an error,
/// each time), locked for ever (there is none) or removed meanwhile: it must not hide the others.
static bool is_away(struct reconcile *r, lm_rc rc)
{
	bool again = r->missed;

	if (rc != LM_E_TIMEOUT && rc != LM_E_NETWORK && rc != LM_E_SYS)
		return false;
	r->missed = true;
	return again;
}

static void on_container(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct reconcile *r = ctx;
	struct container *c = container_table_find(&r->containers, r->list.items[r->next].id);
	struct engine_container_state state;
	struct lm_err err = *why;

	engine_get_destroy(lm_take(r->get));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &state, &err);
	if (is_away(r, rc)) {
		reconcile_give_up(r, &err);
		return;
	}
	if (rc == LM_OK && c)
		compare_one(r, c, &state);
	r->next++;
	ask_next(r);
}

static void finish_comparing(struct reconcile *r)
{
	stop_comparing(r);
	// Else the next lightermand would find again what was found now.
	r->cursor->since_ns = later(r->cursor->since_ns, r->listed_ns);
	r->has_gap = false;
	r->early = (struct event_cursor){0};
	r->heard_ms = lm_clock_mono_ms();
	r->callbacks.compared(r->callbacks.ctx);
}

static void ask_next(struct reconcile *r)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	while (r->next < r->list.n &&
		!container_table_find(&r->containers, r->list.items[r->next].id))
		r->next++;
	if (r->next == r->list.n) {
		finish_comparing(r);
		return;
	}
	(void)engine_container_target(&target, r->minor, r->list.items[r->next].id);
	reconcile_ask(r, lm_buf_cstr(&target), "ask for a container", on_container);
}

static void on_info(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct reconcile *r = ctx;
	char *root = NULL;
	struct lm_err ignored = *why; // then logs come from the engine, a little later

	engine_get_destroy(lm_take(r->get));
	if (rc == LM_OK && engine_parse_root_directory(body, &root, &ignored) == LM_OK)
		crash_reporter_set_root(r->settings.crash_reporter, root);
	ask_next(r);
}

static bool reconcile_is_listed(const struct engine_containers *list, const char *id)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].id, id) == 0)
			return true;
	return false;
}

/// Containers that were removed, without an event.
static void compare_gone(struct reconcile *r)
{
	const struct event_cursor *cursor = r->cursor;

	for (size_t i = r->containers.n; i > 0; i--) {
		struct container *c = r->containers.items[i - 1];

		if (c->touched_ns >= r->asked_ns || reconcile_is_listed(&r->list, c->id))
			continue;
		if (container_state_is_up(c->state)) {
			struct container_event e = make_event(c, EVENT_DIED, r->asked_ns);
			report_exit(r, c, &e,
				(c->ours && event_cursor_is_busy_still(cursor, r->gap_ns)) ||
					cursor->busy || cursor->busy_to_ns > r->gap_ns);
		}
		reconcile_forget(r, c);
	}
}

static void reconcile_take_list(struct reconcile *r)
{
	for (size_t i = 0; i < r->list.n; i++) {
		const struct engine_container *listed = &r->list.items[i];
		bool is_new = !container_table_find(&r->containers, listed->id);
		struct container *c = get_container(r, listed->id, r->gap_ns);

		if (!c)
			continue;
		container_set_names(c, listed->name, listed->service, listed->image);
		c->oneoff = listed->oneoff;
		if (is_new) {
			c->state = container_state_from_name(listed->state);
			c->health = listed->health;
		}
	}
}

static void reconcile_on_list(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct reconcile *r = ctx;
	struct lm_err err = *why;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	engine_get_destroy(lm_take(r->get));
	if (rc == LM_OK)
		rc = engine_parse_containers(body, r->settings.project, &r->list, &err);
	if (rc) {
		reconcile_give_up(r, &err);
		return;
	}
	r->listed_ns = r->asked_ns;
	compare_gone(r);
	reconcile_take_list(r);
	(void)lm_buf_printf(&target, "/v1.%u/info", r->minor);
	reconcile_ask(r, lm_buf_cstr(&target), "ask for its folders", on_info);
}

void reconcile_begin(struct reconcile *r, unsigned minor)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	follow_clock(r);
	stop_comparing(r);
	r->minor = minor;
	crash_reporter_set_api(r->settings.crash_reporter, minor);
	// The name of the project fits: the stream was asked for with it.
	(void)engine_containers_target(&target, minor, r->settings.project);
	reconcile_ask(r, lm_buf_cstr(&target), "list containers", reconcile_on_list);
}

void reconcile_lose(struct reconcile *r, const struct lm_err *why)
{
	stop_comparing(r);
	follow_clock(r);
	if (!r->has_gap)
		r->gap_ns = r->cursor->since_ns;
	r->has_gap = true;
	// An event that is too large would come again and again; comparing finds what it was about.
	if (why->rc == LM_E_TOO_LARGE)
		r->cursor->since_ns = event_cursor_now_ns();
}

int64_t reconcile_from_ns(struct reconcile *r)
{
	follow_clock(r);
	return r->early.since_ns > 0 ? event_cursor_from_left(r->cursor)
				     : event_cursor_from(r->cursor);
}

struct reconcile *reconcile_create(struct loop *loop, const struct reconcile_settings *settings,
	const struct reconcile_callbacks *callbacks)
{
	struct reconcile *r = lm_xcalloc(1, sizeof(*r));

	*r = (struct reconcile){.loop = loop,
		.settings = *settings,
		.callbacks = *callbacks,
		.cursor = settings->cursor,
		.has_gap = true,
		.gap_ns = settings->cursor->knows_before ? settings->cursor->since_ns
							 : event_cursor_now_ns(),
		.heard_ms = lm_clock_mono_ms()};
	if (r->cursor->knows_before)
		r->early = *r->cursor;
	return r;
}

void reconcile_destroy(struct reconcile *r)
{
	if (!r)
		return;
	stop_comparing(r);
	container_table_finish(&r->containers);
	free(r);
}

void reconcile_flush(struct reconcile *r)
{
	while (r->containers.n > 0)
		reconcile_forget(r, r->containers.items[0]);
}

bool reconcile_is_due(const struct reconcile *r)
{
	return r->has_gap;
}

int64_t reconcile_since_ns(const struct reconcile *r)
{
	return r->has_gap ? r->gap_ns : r->cursor->since_ns;
}

const struct container_table *reconcile_containers(const struct reconcile *r)
{
	return &r->containers;
}
