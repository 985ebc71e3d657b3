// SPDX-License-Identifier: Apache-2.0
#include "events/monitor_priv.h"

#include "base/clock.h"
#include "base/limits.h"

#include <signal.h>
#include <stdio.h>

enum {
	NS_PER_S = 1000000000,
	CODE_KILLED = 137, ///< SIGKILL: by whom, the code does not tell.
	/// What exits with 0 and is started again counts as a loop if it was up for less than that;
	/// the engine waits longer from one such start to the next.
	SHORT_RUN_S = 10,
};

/// A crash that an earlier lightermand recorded.
static void recall_crash(void *ctx, const char *id)
{
	struct known *k = ctx;
	int64_t time_ns;

	if (report_id_read(id, k->id, &time_ns))
		crash_loop_add(&k->crash_loop, time_ns, REPORT_UNKNOWN, true);
}

struct known *judge_known(struct monitor *m, const char *id, int64_t floor_ns)
{
	bool is_new = !known_find(&m->known, id);
	struct known *k = known_add(&m->known, id, floor_ns);
	char text[128];

	if (!k && !m->too_many) {
		(void)snprintf(text, sizeof(text),
			"the application has more than %d containers; those beyond are not watched",
			LIMIT_CONTAINERS);
		m->events.trouble(m->events.ctx, text);
		m->too_many = true;
	}
	if (k)
		k->owner = m;
	if (k && is_new)
		ring_each(m->ring, recall_crash, k);
	return k;
}

struct report judge_report(const struct known *k, enum report_event event, int64_t time_ns)
{
	struct report r = report_make(event, time_ns, k->id, k->service, k->name, k->image);

	r.restart_count = k->restart_count;
	return r;
}

void judge_tell(struct monitor *m, struct known *k, enum report_event event, int64_t time_ns)
{
	struct report r = judge_report(k, event, time_ns);

	if (event == REPORT_OOM)
		r.oom_killed = 1;
	if (throttle_kind(&r) != THROTTLE_NONE && !throttle_passes(m, k, &r))
		return;
	m->events.happened(m->events.ctx, &r);
	report_finish(&r);
}

static bool is_doubtful(const struct report *r)
{
	return r->oom_killed == REPORT_UNKNOWN;
}

/// An end counts to a loop unless somebody caused it.
static void note_loop_end(struct known *k, const struct report *r)
{
	bool was_short = r->uptime_s != REPORT_UNKNOWN && r->uptime_s < SHORT_RUN_S;

	if (!k->killed && (r->crash || was_short))
		crash_loop_add(&k->crash_loop, r->time_ns, r->exit_code, r->crash);
}

void judge_death(struct monitor *m, struct known *k, struct report *r, bool ours)
{
	char id[REPORT_ID_SIZE];

	// A crash in the ring was told, if not by this run then by one that was killed soon after.
	if (ours || (r->crash && ring_has(m->ring, report_id(r, id)))) {
		report_finish(r);
		return;
	}
	note_loop_end(k, r);
	if (!throttle_passes(m, k, r))
		return;
	if (r->crash) {
		recorder_add(m, r, is_doubtful(r));
		return;
	}
	m->events.happened(m->events.ctx, r);
	report_finish(r);
}

void judge_forget(struct monitor *m, struct known *k)
{
	throttle_flush(k);
	known_remove(&m->known, k);
}

static void on_create(struct monitor *m, struct known *k, const struct event *e)
{
	(void)m;
	(void)e;
	k->life = LIFE_CREATED;
	k->restart_count = 0;
}

/// A restart by the engine's own policy counts; with one by a person the engine begins anew.
static void count_restart(struct known *k)
{
	if (k->ended_ns == 0 || k->restart_count == REPORT_UNKNOWN)
		return;
	if (k->killed || k->ours)
		k->restart_count = 0;
	// Asked about the crash, the engine may have told the new count already.
	else if (k->restart_count == k->count_at_end)
		k->restart_count++;
}

/// A later start was found by comparing, and all before it told. Without that an earlier time says
/// that the clock was set back a little.
static bool is_overtaken(const struct known *k, const struct event *e)
{
	return k->start_found && e->time_ns < k->started_ns;
}

static void on_start(struct monitor *m, struct known *k, const struct event *e)
{
	bool again = k->ended_ns > 0, told = k->start_found;

	if (is_overtaken(k, e))
		return;
	count_restart(k);
	k->life = LIFE_RUNNING;
	k->health = ENGINE_HEALTH_NONE;
	k->started_ns = e->time_ns;
	k->started_ms = m->has_gap ? 0 : lm_clock_mono_ms();
	k->start_found = k->end_found = false;
	k->ours = k->killed = k->oom = false;
	k->notice = 0;
	if (!told && !throttle_hides_starts(k))
		judge_tell(m, k, again ? REPORT_RESTARTED : REPORT_STARTED, e->time_ns);
}

int64_t judge_uptime_s(const struct monitor *m, const struct known *k, int64_t time_ns)
{
	int64_t told_ns = k->started_ns > 0 ? time_ns - k->started_ns : REPORT_UNKNOWN;
	int64_t heard_ns = (int64_t)(lm_clock_mono_ms() - k->started_ms) * MONITOR_NS_PER_MS;

	if (k->started_ms > 0 && !m->has_gap &&
		(told_ns < 0 || resume_is_ahead(told_ns, heard_ns) ||
			resume_is_ahead(heard_ns, told_ns)))
		return heard_ns / NS_PER_S;
	return told_ns >= 0 ? told_ns / NS_PER_S : REPORT_UNKNOWN;
}

static void on_die(struct monitor *m, struct known *k, const struct event *e)
{
	if (is_overtaken(k, e))
		return;
	bool told = k->end_found;
	struct report r = judge_report(k, REPORT_DIED, e->time_ns);

	k->ended_ns = e->time_ns;
	k->life = LIFE_EXITED;
	k->count_at_end = k->restart_count;
	k->start_found = k->end_found = false;
	k->ours = k->ours && monitor_is_busy_still(m, e->time_ns);
	r.exit_code = e->exit_code;
	r.uptime_s = judge_uptime_s(m, k, e->time_ns);
	if (k->oom || e->exit_code != CODE_KILLED || k->killed)
		r.oom_killed = k->oom;
	r.crash = e->exit_code != 0 || k->oom;
	r.notice = monitor_is_busy_still(m, e->time_ns) ? k->notice : 0;
	r.log_from_ns = k->log_from_ns;
	k->log_from_ns = e->time_ns;
	judge_death(m, k, &r, told || k->ours || (r.notice && !r.crash));
}

static void on_oom(struct monitor *m, struct known *k, const struct event *e)
{
	k->oom = true;
	if (!k->throttles[THROTTLE_CRASH].flood.on)
		judge_tell(m, k, REPORT_OOM, e->time_ns);
	recorder_note_oom(m, k->id);
}

/// By default these stop a container; others are notices to most (HUP: read your settings), unless
/// the container is one that is stopped by it.
static bool is_stop(int signal)
{
	return signal == 0 || signal == SIGTERM || signal == SIGKILL || signal == SIGINT ||
	       signal == SIGQUIT;
}

static void on_kill(struct monitor *m, struct known *k, const struct event *e)
{
	bool stops = is_stop(e->signal) || e->signal == k->stop_signal;

	// Heard as it happens, it is of the job whatever became of the clock.
	bool busy = monitor_was_busy(m, e->time_ns) || (m->busy && !m->has_gap);
	if (!stops)
		k->notice = busy && k->stop_signal == 0 ? e->signal : k->notice;
	else if (busy)
		k->ours = true;
	else
		k->killed = true;
}

static void on_pause(struct monitor *m, struct known *k, const struct event *e)
{
	(void)m;
	k->life = e->action == EVENT_PAUSE ? LIFE_PAUSED : LIFE_RUNNING;
}

static void on_health(struct monitor *m, struct known *k, const struct event *e)
{
	k->health = e->health;
	if (e->health == ENGINE_HEALTHY)
		judge_tell(m, k, REPORT_HEALTHY, e->time_ns);
	else if (e->health == ENGINE_UNHEALTHY)
		judge_tell(m, k, REPORT_UNHEALTHY, e->time_ns);
}

static void (*const HANDLERS[])(struct monitor *m, struct known *k, const struct event *e) = {
	[EVENT_CREATE] = on_create,
	[EVENT_START] = on_start,
	[EVENT_DIE] = on_die,
	[EVENT_OOM] = on_oom,
	[EVENT_KILL] = on_kill,
	[EVENT_PAUSE] = on_pause,
	[EVENT_UNPAUSE] = on_pause,
	[EVENT_RENAME] = NULL, // the name is taken from every event
	[EVENT_HEALTH] = on_health,
};

/// From when on the life of a container that this event is the first of is to be told.
static int64_t floor_of(const struct monitor *m, const struct event *e)
{
	if (e->action == EVENT_CREATE)
		return 0;
	return m->has_gap ? m->gap_ns : e->time_ns;
}

/// An event of before the time up to which all was read: it tells only whom a job of an earlier
/// lightermand stopped.
static void take_early(struct monitor *m, const struct event *e)
{
	struct known *k = e->action == EVENT_KILL ? judge_known(m, e->id, floor_of(m, e))
						  : known_find(&m->known, e->id);

	if (!k)
		return;
	if (e->action == EVENT_KILL)
		on_kill(m, k, e);
	else if (e->action == EVENT_START)
		k->ours = k->killed = false;
	else if (e->action == EVENT_DIE)
		k->log_from_ns = e->time_ns;
	else if (e->action == EVENT_DESTROY)
		judge_forget(m, k);
}

bool judge_event(struct monitor *m, const struct event *e)
{
	if (m->has_gap && (e->time_ns < resume_from(&m->early) ||
				  resume_has(&m->early, e->key, e->time_ns))) {
		take_early(m, e);
		return false;
	}
	if (e->action == EVENT_OTHER || !resume_take(&m->resume, e->key, e->time_ns))
		return false;
	monitor_save_later(m);
	if (e->action == EVENT_DESTROY) {
		struct known *gone = known_find(&m->known, e->id);

		if (gone)
			judge_forget(m, gone);
		return true;
	}
	struct known *k = judge_known(m, e->id, floor_of(m, e));
	if (!k)
		return true;
	known_set_names(k, e->name, e->service, e->image);
	k->touched_ns = e->time_ns;
	if (HANDLERS[e->action])
		HANDLERS[e->action](m, k, e);
	return true;
}
