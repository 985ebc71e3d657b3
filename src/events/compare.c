// SPDX-License-Identifier: Apache-2.0
/// After each (re)connection: asks for the list of containers and for the life of each, and tells
/// what no event told. The engine keeps few events, and none over a restart of its own.
///
/// An event's time is a little later than what the engine notes of the same in a container's state,
/// and events go on arriving meanwhile. So what was noted counts only if it is later than the last
/// event of its kind.
#include "events/monitor_priv.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"

#include <signal.h>
#include <stdio.h>

enum {
	TARGET_MAX = 4096,
	MS_PER_S = 1000,
	/// A program may print before the engine notes that it was started; between two runs is
	/// more.
	LOG_SLACK_NS = 50 * MONITOR_NS_PER_MS,
};

static void ask_next(struct monitor *m);

static void ask(struct monitor *m, const char *target, const char *what, engine_get_done *done)
{
	m->compare.asked_ns = monitor_now_ns();
	m->compare.get = engine_get_start(
		m->loop, m->engine_socket, target, what, MONITOR_ANSWER_MS, done, m);
}

void compare_stop(struct monitor *m)
{
	engine_get_destroy(lm_take(m->compare.get));
	engine_containers_finish(&m->compare.list);
	m->compare.next = 0;
	m->compare.missed = false;
}

/// All is tried again with a new connection.
static void give_up(struct monitor *m, const struct lm_err *why)
{
	struct lm_err err = *why;

	compare_stop(m);
	(void)!lm_wrap(&err, "compare the containers");
	stream_break(m->stream, &err);
}

static bool is_up(const struct engine_container_state *s)
{
	return life_is_up(life_from_word(s->state));
}

/// 0: never, or before the clock was set back.
static int64_t noted_ns(const struct monitor *m, int64_t time_ms)
{
	int64_t time_ns = time_ms * MONITOR_NS_PER_MS;

	return resume_is_ahead(time_ns, m->compare.asked_ns) ? 0 : time_ns;
}

static int64_t started_ns(const struct monitor *m, const struct engine_container_state *s)
{
	return noted_ns(m, s->started_ms);
}

static int64_t ended_ns(const struct monitor *m, const struct engine_container_state *s)
{
	return noted_ns(m, s->ended_ms);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/// Of a container that runs again only that it ended is known, and perhaps how often.
static void describe_end(
	struct report *r, const struct known *k, const struct engine_container_state *s)
{
	r->restart_count = s->restart_count;
	r->log_from_ns = k->log_from_ns;
	if (is_up(s)) {
		r->log_until_ns = s->started_ms * MONITOR_NS_PER_MS - LOG_SLACK_NS;
		int64_t more = k->restart_count == REPORT_UNKNOWN
				       ? s->restart_count > 0
				       : (int64_t)s->restart_count - k->restart_count;
		r->crash = more > 0;
		r->count = more > 1 && more < INT32_MAX ? (unsigned)more : 1;
		return;
	}
	r->log_from_ns = s->started_ms * MONITOR_NS_PER_MS - LOG_SLACK_NS;
	r->exit_code = s->exit_code >= 0 ? s->exit_code : REPORT_UNKNOWN;
	r->oom_killed = s->oom_killed;
	r->crash = s->exit_code != 0 || s->oom_killed;
	if (s->started_ms > 0 && s->ended_ms >= s->started_ms)
		r->uptime_s = (s->ended_ms - s->started_ms) / MS_PER_S;
}

/// Whether the end is one that a stop leaves behind, where the event that would tell is lost. Of
/// one that runs again its restarts are counted if they were by its policy.
static bool looks_stopped(const struct engine_container_state *s)
{
	enum { BY_SIGNAL = 128 };

	if (is_up(s))
		return s->restart_count == 0;
	return !s->oom_killed && (s->exit_code == 0 || s->exit_code == BY_SIGNAL + SIGKILL ||
					 s->exit_code == BY_SIGNAL + s->stop_signal);
}

static void compare_end(struct monitor *m, struct known *k, const struct engine_container_state *s)
{
	if (ended_ns(m, s) <= later(k->ended_ns, k->floor_ns))
		return;
	struct report r = judge_report(k, REPORT_DIED, ended_ns(m, s));
	describe_end(&r, k, s);
	k->end_found = !is_up(s);
	judge_death(m, k, &r,
		(k->ours && monitor_is_busy_still(m, ended_ns(m, s))) ||
			(monitor_was_busy(m, ended_ns(m, s)) && looks_stopped(s)));
}

static void compare_start(
	struct monitor *m, struct known *k, const struct engine_container_state *s)
{
	if (!is_up(s) || started_ns(m, s) <= later(k->started_ns, k->floor_ns))
		return;
	k->start_found = true;
	k->started_ms = 0;
	k->ours = k->killed = k->oom = false;
	k->notice = 0;
	if (!throttle_hides_starts(k))
		judge_tell(m, k, s->ended_ms > 0 ? REPORT_RESTARTED : REPORT_STARTED,
			started_ns(m, s));
}

static void compare_health(
	struct monitor *m, struct known *k, const struct engine_container_state *s)
{
	if (s->health == k->health || !is_up(s))
		return;
	if (s->health == ENGINE_HEALTHY)
		judge_tell(m, k, REPORT_HEALTHY, m->compare.asked_ns);
	else if (s->health == ENGINE_UNHEALTHY)
		judge_tell(m, k, REPORT_UNHEALTHY, m->compare.asked_ns);
}

static void compare_one(struct monitor *m, struct known *k, const struct engine_container_state *s)
{
	bool has_moved = k->touched_ns >= m->compare.asked_ns; // the events know better

	k->stop_signal = s->stop_signal;
	compare_end(m, k, s);
	compare_start(m, k, s);
	if (!has_moved)
		compare_health(m, k, s);
	k->started_ns = later(k->started_ns, started_ns(m, s));
	k->ended_ns = later(k->ended_ns, ended_ns(m, s));
	if (is_up(s) && s->started_ms > 0)
		k->log_from_ns =
			later(k->log_from_ns, s->started_ms * MONITOR_NS_PER_MS - LOG_SLACK_NS);
	k->restart_count = s->restart_count;
	if (has_moved)
		return;
	k->life = life_from_word(s->state);
	k->health = s->health;
}

/// The engine does not answer any more. One container alone may be damaged (its answer is an error,
/// for good), locked for ever (there is none) or removed meanwhile: it must not hide the others.
static bool is_away(struct monitor *m, lm_rc rc)
{
	bool again = m->compare.missed;

	if (rc != LM_E_TIMEOUT && rc != LM_E_NETWORK && rc != LM_E_SYS)
		return false;
	m->compare.missed = true;
	return again;
}

static void on_inspect(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct monitor *m = ctx;
	struct known *k = known_find(&m->known, m->compare.list.items[m->compare.next].id);
	struct engine_container_state state;
	struct lm_err err = *why;

	engine_get_destroy(lm_take(m->compare.get));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &state, &err);
	if (is_away(m, rc)) {
		give_up(m, &err);
		return;
	}
	if (rc == LM_OK && k)
		compare_one(m, k, &state);
	m->compare.next++;
	ask_next(m);
}

static void end(struct monitor *m)
{
	compare_stop(m);
	// Else the next lightermand would find again what was found now.
	m->resume.since_ns = later(m->resume.since_ns, m->compare.listed_ns);
	m->has_gap = false;
	m->early = (struct resume){0};
	m->heard_ms = lm_clock_mono_ms();
	monitor_save_later(m);
	stream_settle(m->stream);
	if (m->is_lost)
		m->events.found(m->events.ctx);
	m->is_lost = false;
	monitor_tell_changed(m);
}

static void ask_next(struct monitor *m)
{
	struct compare *c = &m->compare;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	while (c->next < c->list.n && !known_find(&m->known, c->list.items[c->next].id))
		c->next++;
	if (c->next == c->list.n) {
		end(m);
		return;
	}
	(void)engine_container_target(&target, m->minor, c->list.items[c->next].id);
	ask(m, lm_buf_cstr(&target), "ask for a container", on_inspect);
}

static void on_info(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct monitor *m = ctx;
	char *root = NULL;
	struct lm_err ignored = *why; // then logs come from the engine, a little later

	engine_get_destroy(lm_take(m->compare.get));
	if (rc == LM_OK && engine_parse_root_directory(body, &root, &ignored) == LM_OK) {
		free(m->root_directory);
		m->root_directory = root;
	}
	ask_next(m);
}

static bool is_listed(const struct engine_containers *list, const char *id)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].id, id) == 0)
			return true;
	return false;
}

/// Those that are there no more, and whose removal no event told.
static void compare_gone(struct monitor *m)
{
	for (size_t i = m->known.n; i > 0; i--) {
		struct known *k = m->known.items[i - 1];

		if (k->touched_ns >= m->compare.asked_ns || is_listed(&m->compare.list, k->id))
			continue;
		if (life_is_up(k->life)) {
			struct report r = judge_report(k, REPORT_DIED, m->compare.asked_ns);
			judge_death(m, k, &r,
				(k->ours && monitor_is_busy_still(m, m->gap_ns)) || m->busy ||
					m->resume.busy_to_ns > m->gap_ns);
		}
		judge_forget(m, k);
	}
}

static void take_list(struct monitor *m)
{
	for (size_t i = 0; i < m->compare.list.n; i++) {
		const struct engine_container *c = &m->compare.list.items[i];
		bool is_new = !known_find(&m->known, c->id);
		struct known *k = judge_known(m, c->id, m->gap_ns);

		if (!k)
			continue;
		known_set_names(k, c->name, c->service, c->image);
		if (is_new) {
			k->life = life_from_word(c->state);
			k->health = c->health;
		}
	}
}

static void on_list(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct monitor *m = ctx;
	struct lm_err err = *why;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	engine_get_destroy(lm_take(m->compare.get));
	if (rc == LM_OK)
		rc = engine_parse_containers(body, m->project, &m->compare.list, &err);
	if (rc) {
		give_up(m, &err);
		return;
	}
	m->compare.listed_ns = m->compare.asked_ns;
	compare_gone(m);
	take_list(m);
	(void)lm_buf_printf(&target, "/v1.%u/info", m->minor);
	ask(m, lm_buf_cstr(&target), "ask for its folders", on_info);
}

void compare_begin(struct monitor *m)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	compare_stop(m);
	// The name of the project fits: the stream was asked for with it.
	(void)engine_containers_target(&target, m->minor, m->project);
	ask(m, lm_buf_cstr(&target), "list containers", on_list);
}
