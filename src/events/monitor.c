// SPDX-License-Identifier: Apache-2.0
#include "events/monitor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "events/crash_log.h"
#include "events/crash_reporter.h"
#include "events/event_cursor.h"
#include "events/event_stream.h"
#include "events/reconcile.h"

enum {
	NS_PER_MS = 1000000,
	SAVE_MS = 50,     ///< After an event, so that what it led to comes first.
	PUT_OFF_MAX = 40, ///< So often, for what is not reported yet; then all of that must be.
	SAVE_EVERY_MS = 5 * 1000, ///< Flash is written at most so often.
};

struct monitor {
	struct loop *loop;
	char *engine_socket, *project, *state_directory;
	struct monitor_callbacks callbacks;
	char boot[EVENT_CURSOR_BOOT_SIZE];
	struct event_cursor cursor;
	struct loop_timer *save; ///< To write `cursor`.
	uint64_t saved_ms;       ///< On lm_clock_mono_ms().
	unsigned put_off;        ///< So often was that.
	bool save_failed;        ///< `trouble` was called.
	struct crash_log *crash_log;
	struct crash_reporter *crash_reporter;
	struct reconcile *reconcile;
	struct event_stream *stream;
	uint64_t revision; ///< Events that came, and times that the stream was lost.
	bool is_lost;      ///< And `found` was not called yet.
};

static void monitor_save(struct monitor *m)
{
	struct lm_err err = {LM_OK};
	int64_t since_ns = reconcile_since_ns(m->reconcile);
	int64_t pending_ns = crash_reporter_pending_ns(m->crash_reporter) - NS_PER_MS;

	if (pending_ns < since_ns) // were we killed now, comparing would find it
		since_ns = pending_ns;
	loop_timer_stop(m->save);
	m->put_off = 0;
	m->saved_ms = lm_clock_mono_ms();
	if (event_cursor_save(m->state_directory, m->boot, &m->cursor, since_ns, &err) == LM_OK) {
		m->save_failed = false;
		if (m->callbacks.saved)
			m->callbacks.saved(m->callbacks.ctx);
		return;
	}
	if (!m->save_failed) {
		(void)!lm_wrap(&err, "save the event cursor");
		m->callbacks.trouble(m->callbacks.ctx, err.msg);
	}
	m->save_failed = true;
}

static void on_save(void *ctx)
{
	struct monitor *m = ctx;

	if (crash_reporter_pending_ns(m->crash_reporter) < INT64_MAX && m->put_off < PUT_OFF_MAX) {
		m->put_off++;
		loop_timer_start(m->save, SAVE_MS, 0);
		return;
	}
	monitor_save(m);
}

static void save_later(struct monitor *m)
{
	uint64_t age_ms = lm_clock_mono_ms() - m->saved_ms;

	if (!loop_timer_active(m->save))
		loop_timer_start(m->save,
			age_ms + SAVE_MS < SAVE_EVERY_MS ? SAVE_EVERY_MS - age_ms : SAVE_MS, 0);
}

static void monitor_notify_changed(const struct monitor *m)
{
	if (m->callbacks.changed)
		m->callbacks.changed(m->callbacks.ctx);
}

static void forward_event(void *ctx, const struct container_event *event)
{
	const struct monitor *m = ctx;

	m->callbacks.event(m->callbacks.ctx, event);
}

static void forward_trouble(void *ctx, const char *what)
{
	const struct monitor *m = ctx;

	m->callbacks.trouble(m->callbacks.ctx, what);
}

static void monitor_on_inspected(
	void *ctx, const char *id, const struct engine_container_state *state)
{
	struct monitor *m = ctx;

	if (!reconcile_inspected(m->reconcile, id, state))
		return;
	m->revision++;
	monitor_notify_changed(m);
}

static void on_compared(void *ctx)
{
	struct monitor *m = ctx;

	save_later(m);
	event_stream_reset_backoff(m->stream);
	if (m->is_lost)
		m->callbacks.found(m->callbacks.ctx);
	m->is_lost = false;
	monitor_notify_changed(m);
}

static void on_compare_failed(void *ctx, const struct lm_err *why)
{
	struct monitor *m = ctx;

	event_stream_break(m->stream, why);
}

static int64_t on_from(void *ctx)
{
	struct monitor *m = ctx;

	return reconcile_from_ns(m->reconcile);
}

static void on_opened(void *ctx, unsigned minor)
{
	struct monitor *m = ctx;

	reconcile_begin(m->reconcile, minor);
}

static void on_engine_event(void *ctx, const struct engine_event *event)
{
	struct monitor *m = ctx;

	m->revision++;
	if (!reconcile_event(m->reconcile, event))
		return;
	save_later(m);
	monitor_notify_changed(m);
}

static void on_lost(void *ctx, const struct lm_err *why, bool is_first)
{
	struct monitor *m = ctx;

	m->revision++;
	reconcile_lose(m->reconcile, why);
	if (is_first)
		m->callbacks.lost(m->callbacks.ctx, why->msg);
	m->is_lost = true;
}

static void monitor_start(struct monitor *m)
{
	const struct crash_reporter_settings reporter_settings = {
		.engine_socket = m->engine_socket,
		.state_directory = m->state_directory,
		.log = m->crash_log,
	};
	const struct crash_reporter_callbacks reporter_callbacks = {
		.event = forward_event,
		.inspected = monitor_on_inspected,
		.trouble = forward_trouble,
		.ctx = m,
	};
	m->crash_reporter = crash_reporter_create(m->loop, &reporter_settings, &reporter_callbacks);
	const struct reconcile_settings reconcile_settings = {
		.engine_socket = m->engine_socket,
		.project = m->project,
		.cursor = &m->cursor,
		.crash_log = m->crash_log,
		.crash_reporter = m->crash_reporter,
	};
	const struct reconcile_callbacks reconcile_callbacks = {
		.event = forward_event,
		.compared = on_compared,
		.failed = on_compare_failed,
		.trouble = forward_trouble,
		.ctx = m,
	};
	m->reconcile = reconcile_create(m->loop, &reconcile_settings, &reconcile_callbacks);
	const struct event_stream_callbacks stream_callbacks = {
		.from = on_from,
		.opened = on_opened,
		.event = on_engine_event,
		.lost = on_lost,
		.ctx = m,
	};
	m->stream = event_stream_create(m->loop, m->engine_socket, m->project, &stream_callbacks);
}

lm_rc monitor_create(struct loop *loop, const struct monitor_settings *settings,
	const struct monitor_callbacks *callbacks, struct monitor **ret, struct lm_err *err)
{
	lm_auto_free char *crashes = lm_path_join(settings->state_directory, "crashes");
	struct crash_log *crash_log = NULL;
	lm_rc rc = crash_log_open(crashes, settings->damage, &crash_log, err);

	if (rc)
		return lm_wrap(err, "open the crash log");
	struct monitor *m = lm_xcalloc(1, sizeof(*m));
	m->loop = loop;
	m->engine_socket = lm_xstrdup(settings->engine_socket);
	m->project = lm_xstrdup(settings->project);
	m->state_directory = lm_xstrdup(settings->state_directory);
	m->callbacks = *callbacks;
	m->crash_log = crash_log;
	m->save = loop_timer_create(loop, on_save, m);
	event_cursor_load(m->state_directory, event_cursor_boot_id(m->boot), event_cursor_now_ns(),
		settings->damage, &m->cursor);
	monitor_start(m);
	*ret = m;
	return LM_OK;
}

void monitor_destroy(struct monitor *m)
{
	if (!m)
		return;
	event_stream_destroy(m->stream);
	if (m->cursor.busy) // whatever it was, it ends with us
		event_cursor_set_busy(&m->cursor, false, event_cursor_now_ns());
	reconcile_flush(m->reconcile);
	crash_reporter_flush(m->crash_reporter);
	monitor_save(m);
	reconcile_destroy(m->reconcile);
	crash_reporter_destroy(m->crash_reporter);
	crash_log_close(m->crash_log);
	loop_timer_destroy(m->save);
	free(m->engine_socket);
	free(m->project);
	free(m->state_directory);
	free(m);
}

void monitor_set_busy(struct monitor *m, bool busy)
{
	if (m->cursor.busy == busy)
		return;
	reconcile_set_busy(m->reconcile, busy);
	monitor_save(m);
}

void monitor_begin_restart(struct monitor *m, const char *id, uint64_t limit_ms)
{
	int64_t now_ns = event_cursor_now_ns();

	event_cursor_begin_restart(&m->cursor, id, now_ns, now_ns + (int64_t)limit_ms * NS_PER_MS);
	monitor_save(m); // should we be killed meanwhile
}

void monitor_end_restart(struct monitor *m, const char *id)
{
	event_cursor_end_restart(&m->cursor, id);
	save_later(m);
}

json_t *monitor_crashes_to_json(const struct monitor *m)
{
	return crash_log_to_json(m->crash_log);
}

enum monitor_sight monitor_sight(const struct monitor *m)
{
	if (m->is_lost)
		return MONITOR_LOST;
	return reconcile_is_due(m->reconcile) ? MONITOR_BEGINS : MONITOR_SEES;
}

uint64_t monitor_revision(const struct monitor *m)
{
	return monitor_sight(m) == MONITOR_SEES ? m->revision + 1 : 0;
}

static struct monitor_container describe(const struct monitor *m, const struct container *c)
{
	int64_t now_ns = event_cursor_now_ns();

	return (struct monitor_container){
		.id = c->id,
		.name = c->name,
		.service = c->service,
		.image = c->image,
		.oneoff = c->oneoff,
		.state = container_state_name(c->state),
		.health = c->health,
		.restart_count = c->restart_count,
		.uptime_s = container_state_is_up(c->state)
				    ? reconcile_uptime_s(m->reconcile, c, now_ns)
				    : EVENT_UNKNOWN,
		.loops = crash_loop_is_on(&c->crash_loop, now_ns),
		.last_end_ms = crash_loop_last_ns(&c->crash_loop) / NS_PER_MS,
		.last_exit_code = c->crash_loop.exit_code,
		.last_crashed = c->crash_loop.crashed,
	};
}

bool monitor_look_up(const struct monitor *m, const char *id, struct monitor_container *ret)
{
	const struct container *c = container_table_find(reconcile_containers(m->reconcile), id);

	if (!c || monitor_sight(m) != MONITOR_SEES)
		return false;
	*ret = describe(m, c);
	return true;
}

void monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx)
{
	const struct container_table *table = reconcile_containers(m->reconcile);

	for (size_t i = 0; i < table->n; i++) {
		const struct monitor_container container = describe(m, table->items[i]);

		each(ctx, &container);
	}
}
