// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/memory.h"
#include "base/path.h"
#include "events/monitor_priv.h"

enum {
	NS_PER_S = 1000000000,
	SAVE_MS = 50,     ///< Behind an event, so that what it led to comes first.
	PUT_OFF_MAX = 40, ///< So often, for what is not told yet; then all of that must be told.
	SAVE_EVERY_MS = 5 * 1000, ///< Flash is written at most so often.
	GRACE_S = 60, ///< Behind a job, for what it told to end: a person's HUP is no end at all.
	LEFT_BUSY_S = 60, ///< So long a worker of a killed lightermand may still be at work.
};

static void save(struct monitor *m)
{
	struct lm_err err = {LM_OK};
	int64_t since_ns = m->has_gap ? m->gap_ns : m->resume.since_ns;
	int64_t untold_ns = recorder_untold_ns(m) - MONITOR_NS_PER_MS;

	if (untold_ns < since_ns) // were we killed now, comparing would find it
		since_ns = untold_ns;
	loop_timer_stop(m->save);
	m->put_off = 0;
	m->saved_ms = lm_clock_mono_ms();
	if (resume_save(m->state_directory, m->boot, &m->resume, since_ns, &err) == LM_OK) {
		m->save_failed = false;
		return;
	}
	if (!m->save_failed) {
		(void)!lm_wrap(&err, "note how far the Docker daemon's events were read");
		m->events.trouble(m->events.ctx, err.msg);
	}
	m->save_failed = true;
}

static void on_save(void *ctx)
{
	struct monitor *m = ctx;

	if (recorder_untold_ns(m) < INT64_MAX && m->put_off < PUT_OFF_MAX) {
		m->put_off++;
		loop_timer_start(m->save, SAVE_MS, 0);
		return;
	}
	save(m);
}

void monitor_save_later(struct monitor *m)
{
	uint64_t age_ms = lm_clock_mono_ms() - m->saved_ms;

	if (!loop_timer_active(m->save))
		loop_timer_start(m->save,
			age_ms + SAVE_MS < SAVE_EVERY_MS ? SAVE_EVERY_MS - age_ms : SAVE_MS, 0);
}

void monitor_tell_changed(const struct monitor *m)
{
	if (m->events.changed)
		m->events.changed(m->events.ctx);
}

static bool is_within(int64_t time_ns, int64_t from_ns, int64_t to_ns)
{
	return from_ns > 0 && time_ns >= from_ns && time_ns <= to_ns;
}

bool monitor_was_busy(const struct monitor *m, int64_t time_ns)
{
	return is_within(time_ns, m->resume.busy_from_ns,
		       m->busy ? INT64_MAX : m->resume.busy_to_ns) ||
	       is_within(time_ns, m->left_from_ns,
		       m->left_to_ns + (m->left_open ? (int64_t)LEFT_BUSY_S * NS_PER_S : 0));
}

bool monitor_is_busy_still(const struct monitor *m, int64_t time_ns)
{
	int64_t left_to_ns = m->left_to_ns + (m->left_open ? (int64_t)LEFT_BUSY_S * NS_PER_S : 0);
	int64_t to_ns = m->resume.busy_to_ns > left_to_ns ? m->resume.busy_to_ns : left_to_ns;

	return m->busy || time_ns <= to_ns + (int64_t)GRACE_S * NS_PER_S;
}

/// What an earlier job told to end, and did not, it will not have ended.
static void forget_ours(struct monitor *m)
{
	int64_t now_ns = monitor_now_ns();

	for (size_t i = 0; i < m->known.n; i++) {
		struct known *k = m->known.items[i];

		k->ours = k->ours && monitor_is_busy_still(m, now_ns);
	}
}

void monitor_set_busy(struct monitor *m, bool busy)
{
	if (m->busy == busy)
		return;
	if (busy)
		forget_ours(m);
	m->busy = busy;
	if (busy) {
		m->resume.busy_from_ns = monitor_now_ns();
		m->resume.busy_to_ns = 0;
	} else {
		m->resume.busy_to_ns = monitor_now_ns();
	}
	save(m);
}

static int64_t on_from(void *ctx)
{
	struct monitor *m = ctx;

	monitor_mind_clock(m);
	int64_t from_ns = resume_from(&m->resume);

	// Whom a job stopped of which not all was seen, only its events tell.
	if (m->early.since_ns > 0 && m->left_from_ns > 0 && m->left_from_ns < from_ns &&
		from_ns <= m->left_to_ns + (int64_t)GRACE_S * NS_PER_S)
		return m->left_from_ns;
	return from_ns;
}

static void on_opened(void *ctx, unsigned minor)
{
	struct monitor *m = ctx;

	m->minor = minor;
	monitor_mind_clock(m);
	compare_begin(m);
}

static void on_event(void *ctx, const struct event *event)
{
	struct monitor *m = ctx;

	m->revision++;
	monitor_mind_clock(m);
	bool is_new = judge_event(m, event);
	if (!m->has_gap)
		m->heard_ms = lm_clock_mono_ms();
	if (is_new)
		monitor_tell_changed(m);
}

static void on_lost(void *ctx, const struct lm_err *why, bool is_first)
{
	struct monitor *m = ctx;

	compare_stop(m);
	m->revision++;
	monitor_mind_clock(m);
	if (!m->has_gap)
		m->gap_ns = m->resume.since_ns;
	m->has_gap = true;
	// An event that is too large would come again and again; comparing finds what it was about.
	if (why->rc == LM_E_TOO_LARGE)
		m->resume.since_ns = monitor_now_ns();
	if (is_first)
		m->events.lost(m->events.ctx, why->msg);
	m->is_lost = true;
}

/// What an earlier lightermand knew.
static void load(struct monitor *m)
{
	int64_t now_ns = monitor_now_ns();

	(void)machine_boot_id(m->boot);
	resume_load(m->state_directory, m->boot, now_ns, &m->resume);
	m->heard_ms = lm_clock_mono_ms();
	m->has_gap = true;
	m->gap_ns = m->resume.knows_before ? m->resume.since_ns : now_ns;
	m->left_from_ns = m->resume.busy_from_ns;
	m->left_to_ns = m->resume.busy_to_ns;
	m->left_open = m->left_from_ns > 0 && m->left_to_ns == 0;
	if (m->left_open)
		m->left_to_ns = now_ns;
	m->resume.busy_from_ns = m->resume.busy_to_ns = 0;
	if (m->resume.knows_before)
		m->early = m->resume;
}

lm_rc monitor_create(struct loop *loop, const struct monitor_settings *settings,
	const struct monitor_events *events, struct monitor **ret, struct lm_err *err)
{
	lm_auto_free char *crashes = lm_path_join(settings->state_directory, "crashes");
	struct ring *ring = NULL;
	const struct stream_events stream_events = {
		.from = on_from,
		.opened = on_opened,
		.event = on_event,
		.lost = on_lost,
	};
	struct stream_events with_ctx = stream_events;
	lm_rc rc = ring_open(crashes, &ring, err);

	if (rc)
		return lm_wrap(err, "the records of crashes");
	struct monitor *m = lm_xcalloc(1, sizeof(*m));
	m->loop = loop;
	m->engine_socket = lm_xstrdup(settings->engine_socket);
	m->project = lm_xstrdup(settings->project);
	m->state_directory = lm_xstrdup(settings->state_directory);
	m->events = *events;
	m->ring = ring;
	m->save = loop_timer_create(loop, on_save, m);
	load(m);
	with_ctx.ctx = m;
	m->stream = stream_create(loop, m->engine_socket, m->project, &with_ctx);
	*ret = m;
	return LM_OK;
}

void monitor_destroy(struct monitor *m)
{
	if (!m)
		return;
	compare_stop(m);
	stream_destroy(m->stream);
	if (m->busy) // whatever it was, it ends with us
		m->resume.busy_to_ns = monitor_now_ns();
	while (m->known.n > 0)
		judge_forget(m, m->known.items[0]);
	recorder_finish(m);
	save(m);
	known_finish(&m->known);
	ring_close(m->ring);
	loop_timer_destroy(m->save);
	free(m->engine_socket);
	free(m->project);
	free(m->state_directory);
	free(m->root_directory);
	free(m);
}

json_t *monitor_crashes_to_json(const struct monitor *m)
{
	return ring_to_json(m->ring);
}

enum monitor_sight monitor_sight(const struct monitor *m)
{
	if (m->is_lost)
		return MONITOR_LOST;
	return m->has_gap ? MONITOR_BEGINS : MONITOR_SEES;
}

uint64_t monitor_revision(const struct monitor *m)
{
	return monitor_sight(m) == MONITOR_SEES ? m->revision + 1 : 0;
}

static struct monitor_container describe_known(const struct monitor *m, const struct known *k)
{
	int64_t now_ns = monitor_now_ns();

	return (struct monitor_container){
		.name = k->name,
		.service = k->service,
		.image = k->image,
		.state = life_word(k->life),
		.health = k->health,
		.restart_count = k->restart_count,
		.uptime_s = life_is_up(k->life) ? judge_uptime_s(m, k, now_ns) : REPORT_UNKNOWN,
		.loops = crash_loop_is_on(&k->crash_loop, now_ns),
		.last_end_ms = crash_loop_last_ns(&k->crash_loop) / MONITOR_NS_PER_MS,
		.last_exit_code = k->crash_loop.exit_code,
		.last_crashed = k->crash_loop.crashed,
	};
}

bool monitor_look_up(const struct monitor *m, const char *id, struct monitor_container *ret)
{
	const struct known *k = known_find(&m->known, id);

	if (!k || monitor_sight(m) != MONITOR_SEES)
		return false;
	*ret = describe_known(m, k);
	return true;
}

void monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx)
{
	for (size_t i = 0; i < m->known.n; i++) {
		const struct monitor_container container = describe_known(m, m->known.items[i]);

		each(ctx, &container);
	}
}
