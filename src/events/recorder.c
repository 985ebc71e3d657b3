// SPDX-License-Identifier: Apache-2.0
/// Learns what there is to learn about a crash. The engine answers nothing about a container while
/// it takes down its network, 20 to 60 ms from the event on; so the log's end is read from the file
/// of the engine's default logging driver, and the message does not wait for the rest.
#include "events/monitor_priv.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "events/log_tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	TELL_MS = 6,         ///< So long a message waits for what is still to be learnt.
	LATE_MS = 1000,      ///< Later than that, no haste helps: it waits for all answers,
	TELL_LATE_MS = 2000, ///< but no longer than this.
	KEEP_MS = 20,        ///< Behind it: syncing a file must not delay the message on its way.
	ASKING_MAX = 8,      ///< Crashes of which the engine is asked at the same time.
	TARGET_MAX = 512,
	MS_PER_S = 1000,
	NS_PER_S = 1000000000,
	SINCE_UNTIL = 35, ///< API 1.35 ends a log at a time.
};

struct recording {
	struct recording *next; ///< In the order in which they died.
	struct monitor *owner;
	char id[EVENT_ID_SIZE];
	struct report report;
	struct log_tail log;
	bool doubtful; ///< Whether it was killed for memory is still to be learnt.
	bool told;
	bool asked;
	struct engine_get *inspect, *logs;
	struct loop_timer *timer; ///< Until it is told; once all is known, until it is kept.
};

static void destroy(struct recording *r)
{
	engine_get_destroy(r->inspect);
	engine_get_destroy(r->logs);
	loop_timer_destroy(r->timer);
	log_tail_finish(&r->log);
	report_finish(&r->report);
	free(r);
}

static void tell(struct recording *r)
{
	if (r->told)
		return;
	r->told = true;
	r->owner->events.happened(r->owner->events.ctx, &r->report);
}

static void keep(struct monitor *m, const struct report *report)
{
	lm_auto_json json_t *record = report_to_record(report);
	struct lm_err err = {LM_OK};

	if (ring_add(m->ring, record, &err) == LM_OK) {
		m->ring_failed = false;
		return;
	}
	if (!m->ring_failed) {
		(void)!lm_wrap(&err, "keep the record of a crash");
		m->events.trouble(m->events.ctx, err.msg);
	}
	m->ring_failed = true;
}

static bool is_complete(const struct recording *r)
{
	return r->asked && !r->inspect && !r->logs;
}

static void ask_more(struct monitor *m);

static void remove_one(struct monitor *m, struct recording *r)
{
	struct recording **p = &m->recordings;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	destroy(r);
}

static void on_time(void *ctx)
{
	struct recording *r = ctx;
	struct monitor *m = r->owner;

	if (!r->told) {
		tell(r);
		if (is_complete(r))
			loop_timer_start(r->timer, KEEP_MS, 0);
		return;
	}
	keep(m, &r->report);
	remove_one(m, r);
}

/// One of the answers has come. With all of them it is told, and kept a little later.
static void proceed(struct recording *r)
{
	struct monitor *m = r->owner;

	if (!is_complete(r))
		return;
	tell(r);
	loop_timer_start(r->timer, KEEP_MS, 0);
	ask_more(m);
}

/// No event tells of these.
static void learn(struct monitor *m, struct known *k, const struct engine_container_state *s)
{
	enum life life = life_from_word(s->state);
	bool has_ended = k->life == LIFE_EXITED && !life_is_up(life);

	if (k->restart_count == s->restart_count && !(has_ended && life != LIFE_EXITED))
		return;
	k->restart_count = s->restart_count;
	if (has_ended)
		k->life = life;
	m->revision++;
	monitor_tell_changed(m);
}

static void take_state(struct recording *r, const struct engine_container_state *s)
{
	struct known *k = known_find(&r->owner->known, r->id);
	enum life life = life_from_word(s->state);

	r->report.restart_count = s->restart_count;
	if (k)
		k->stop_signal = s->stop_signal;
	if (k)
		learn(r->owner, k, s);
	if (life_is_up(life)) // it runs again; how this end came is not told any more
		return;
	if (r->report.oom_killed == REPORT_UNKNOWN)
		r->report.oom_killed = s->oom_killed;
	if (r->report.exit_code == REPORT_UNKNOWN && s->exit_code >= 0)
		r->report.exit_code = s->exit_code;
	if (r->report.uptime_s == REPORT_UNKNOWN && s->started_ms > 0 &&
		s->ended_ms >= s->started_ms)
		r->report.uptime_s = (s->ended_ms - s->started_ms) / MS_PER_S;
}

/// A job of ours stopped it by a signal that stops few others, or has removed it since.
static bool is_ours(const struct recording *r, lm_rc rc, const struct engine_container_state *s)
{
	if (!r->report.notice || r->told)
		return false;
	return rc == LM_E_NOT_FOUND || (rc == LM_OK && s->stop_signal == r->report.notice);
}

static void on_inspect(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct recording *r = ctx;
	struct monitor *m = r->owner;
	struct engine_container_state state = {0};
	struct lm_err ignored = *why; // it may be removed already: what is known is kept

	engine_get_destroy(lm_take(r->inspect));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &state, &ignored);
	if (rc == LM_OK)
		take_state(r, &state);
	if (is_ours(r, rc, &state)) {
		remove_one(m, r);
		ask_more(m);
		return;
	}
	proceed(r);
}

static lm_rc on_log_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct recording *r = ctx;

	return log_tail_feed(&r->log, piece, err);
}

static void on_logs(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct recording *r = ctx;
	(void)body;
	(void)why; // logging drivers that cannot be read from are common

	engine_get_destroy(lm_take(r->logs));
	if (rc == LM_OK)
		r->report.log = log_tail_lines(&r->log);
	proceed(r);
}

static void add_time(struct lm_buf *target, const char *key, int64_t time_ns)
{
	if (time_ns > 0)
		(void)lm_buf_printf(target, "&%s=%" PRId64 ".%09" PRId64, key, time_ns / NS_PER_S,
			time_ns % NS_PER_S);
}

/// The last lines of the run that ended; where another has begun since, all up to its beginning.
static void add_logs_target(struct lm_buf *target, unsigned minor, const struct recording *r)
{
	(void)lm_buf_printf(
		target, "/v1.%u/containers/%s/logs?stdout=1&stderr=1&timestamps=0", minor, r->id);
	if (r->report.log_until_ns == 0)
		(void)lm_buf_printf(target, "&tail=%d", LIMIT_CRASH_LINES);
	add_time(target, "since", r->report.log_from_ns);
	add_time(target, "until", r->report.log_until_ns);
}

static void ask(struct recording *r)
{
	struct monitor *m = r->owner;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	r->asked = true;
	(void)engine_container_target(&target, m->minor, r->id);
	r->inspect = engine_get_start(m->loop, m->engine_socket, lm_buf_cstr(&target),
		"ask for a container", MONITOR_ANSWER_MS, on_inspect, r);
	if (r->report.log)
		return;
	if (r->report.log_until_ns > 0 && m->minor < SINCE_UNTIL)
		return;
	lm_buf_clear(&target);
	add_logs_target(&target, m->minor, r);
	r->logs = engine_get_start_pieces(m->loop, m->engine_socket, lm_buf_cstr(&target),
		"ask for a container's log", MONITOR_ANSWER_MS, on_log_piece, on_logs, r);
}

static void ask_more(struct monitor *m)
{
	unsigned asking = 0;

	for (struct recording *r = m->recordings; r; r = r->next)
		asking += r->asked && !is_complete(r);
	for (struct recording *r = m->recordings; r && asking < ASKING_MAX; r = r->next) {
		if (r->asked)
			continue;
		ask(r);
		asking++;
	}
}

/// Of the run that ended: the file goes on over restarts. NULL: not known from there.
static json_t *read_log(const struct monitor *m, const struct report *report)
{
	const char *id = report->container_id;
	lm_auto(log_tail_finish) struct log_tail log = {0};
	lm_auto_free char *path = NULL;
	struct lm_err ignored; // another driver, or not our right: the engine is asked

	if (!m->root_directory)
		return NULL;
	path = lm_xasprintf("%s/containers/%s/%s-json.log", m->root_directory, id, id);
	log_tail_init(&log);
	log.from_ms = report->log_from_ns / MONITOR_NS_PER_MS;
	log.until_ms = report->log_until_ns / MONITOR_NS_PER_MS;
	if (log_tail_read_file(&log, path, &ignored) ||
		(log.until_ms > 0 && log.text.len == 0)) // it may be further up
		return NULL;
	return log_tail_lines(&log);
}

static size_t count(const struct monitor *m)
{
	size_t n = 0;

	for (const struct recording *r = m->recordings; r; r = r->next)
		n++;
	return n;
}

static struct recording *append(struct monitor *m, struct report *report, bool doubtful)
{
	struct recording *r = lm_xcalloc(1, sizeof(*r)), **end = &m->recordings;

	r->owner = m;
	(void)snprintf(r->id, sizeof(r->id), "%s", report->container_id);
	r->report = *report;
	r->doubtful = doubtful;
	r->timer = loop_timer_create(m->loop, on_time, r);
	log_tail_init(&r->log);
	while (*end)
		end = &(*end)->next;
	*end = r;
	return r;
}

/// It died while we could not see it.
static bool is_late(const struct monitor *m, const struct report *r)
{
	return m->has_gap || monitor_now_ns() - r->time_ns > (int64_t)LATE_MS * MONITOR_NS_PER_MS;
}

void recorder_add(struct monitor *m, struct report *report, bool doubtful)
{
	report->memory_free = machine_memory_free();
	report->disk_free = machine_disk_free(m->state_directory);
	report->log = read_log(m, report);
	if (count(m) >= LIMIT_RECORDINGS) {
		m->events.happened(m->events.ctx, report);
		keep(m, report);
		report_finish(report);
		return;
	}
	struct recording *r = append(m, report, doubtful);
	bool late = is_late(m, report);
	*report = (struct report){0};
	bool waits = late || r->report.notice; // for the engine's answer
	if (r->report.log && !doubtful && !waits)
		tell(r);
	else
		loop_timer_start(r->timer, waits ? TELL_LATE_MS : TELL_MS, 0);
	ask_more(m);
}

void recorder_note_oom(struct monitor *m, const char *container_id)
{
	for (struct recording *r = m->recordings; r; r = r->next) {
		if (!r->doubtful || strcmp(r->id, container_id) != 0)
			continue;
		r->doubtful = false;
		r->report.oom_killed = 1;
		if (!r->report.log || r->told)
			continue;
		tell(r);
		// Kept with what the engine answers: all of it is still to come, else it was told.
		loop_timer_stop(r->timer);
	}
}

int64_t recorder_untold_ns(const struct monitor *m)
{
	int64_t first_ns = INT64_MAX;

	for (const struct recording *r = m->recordings; r; r = r->next)
		if (!r->told && r->report.time_ns < first_ns)
			first_ns = r->report.time_ns;
	return first_ns;
}

void recorder_finish(struct monitor *m)
{
	while (m->recordings) {
		struct recording *r = m->recordings;

		m->recordings = r->next;
		tell(r);
		keep(m, &r->report);
		destroy(r);
	}
}
