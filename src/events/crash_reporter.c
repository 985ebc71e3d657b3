// SPDX-License-Identifier: Apache-2.0
#include "events/crash_reporter.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_request.h"
#include "events/container_table.h"
#include "events/event_cursor.h"
#include "events/log_tail.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
	REPORT_MS = 6,         ///< So long a report waits for what is still to be learned.
	LATE_MS = 1000,        ///< Later than that, no haste helps: it waits for all answers,
	REPORT_LATE_MS = 2000, ///< but no longer than this.
	KEEP_MS = 20,          ///< After it: syncing a file must not delay the message on its way.
	ANSWER_MS = 10 * 1000,
	ASKING_MAX = 8, ///< Crashes of which the engine is asked at the same time.
	TARGET_MAX = 512,
	PROC_FILE_MAX = 16 << 10,
	MS_PER_S = 1000,
	NS_PER_MS = 1000000,
	NS_PER_S = 1000000000,
	SINCE_UNTIL = 35, ///< API 1.35 ends a log at a time.
};

/// A crash under way.
struct crash_report {
	struct crash_report *next; ///< In the order in which they died.
	struct crash_reporter *owner;
	struct container_event event;
	struct log_tail log;
	bool doubtful; ///< Whether it was killed for memory is still to be learned.
	bool reported;
	bool asked;
	struct engine_get *inspect, *logs;
	struct loop_timer *timer; ///< Until it is reported; once all is known, until it is kept.
};

struct crash_reporter {
	struct loop *loop;
	struct crash_reporter_settings settings;
	struct crash_reporter_callbacks callbacks;
	unsigned minor;
	char *root_directory; ///< NULL: not known.
	struct crash_report *reports;
	bool keep_failed; ///< `trouble` was called.
};

static void destroy_inspection(struct crash_report *c)
{
	engine_get_destroy(c->inspect);
	engine_get_destroy(c->logs);
	loop_timer_destroy(c->timer);
	log_tail_finish(&c->log);
	container_event_finish(&c->event);
	free(c);
}

static void crash_reporter_report(struct crash_report *c)
{
	if (c->reported)
		return;
	c->reported = true;
	c->owner->callbacks.event(c->owner->callbacks.ctx, &c->event);
}

static void crash_reporter_keep(struct crash_reporter *r, const struct container_event *event)
{
	lm_auto_json json_t *crash = container_event_to_crash(event);
	struct lm_err err = {LM_OK};

	if (crash_log_add(r->settings.log, crash, &err) == LM_OK) {
		r->keep_failed = false;
		return;
	}
	if (!r->keep_failed) {
		(void)!lm_wrap(&err, "add to the crash log");
		r->callbacks.trouble(r->callbacks.ctx, err.msg);
	}
	r->keep_failed = true;
}

static bool is_complete(const struct crash_report *c)
{
	return c->asked && !c->inspect && !c->logs;
}

static void remove_report(struct crash_report *c)
{
	struct crash_report **p = &c->owner->reports;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	destroy_inspection(c);
}

static void crash_reporter_on_time(void *ctx)
{
	struct crash_report *c = ctx;

	if (!c->reported) {
		crash_reporter_report(c);
		if (is_complete(c))
			loop_timer_start(c->timer, KEEP_MS, 0);
		return;
	}
	crash_reporter_keep(c->owner, &c->event);
	remove_report(c);
}

static void ask_more(struct crash_reporter *r);

/// One of the answers has come. With all of them it is reported, and kept a little later.
static void crash_reporter_proceed(struct crash_report *c)
{
	if (!is_complete(c))
		return;
	crash_reporter_report(c);
	loop_timer_start(c->timer, KEEP_MS, 0);
	ask_more(c->owner);
}

static void take_state(struct container_event *e, const struct engine_container_state *s)
{
	e->restart_count = s->restart_count;
	if (container_state_is_up(container_state_from_name(s->state)))
		return; // it runs again; how this run ended is not known from the state
	if (e->oom_killed == EVENT_UNKNOWN)
		e->oom_killed = s->oom_killed;
	if (e->exit_code == EVENT_UNKNOWN && s->exit_code >= 0)
		e->exit_code = s->exit_code;
	if (e->uptime_s == EVENT_UNKNOWN && s->started_ms > 0 && s->ended_ms >= s->started_ms)
		e->uptime_s = (s->ended_ms - s->started_ms) / MS_PER_S;
}

/// A task of ours stopped it by a signal that stops few others, or has removed it since.
static bool crash_reporter_is_ours(
	const struct crash_report *c, lm_rc rc, const struct engine_container_state *s)
{
	if (!c->event.notice || c->reported)
		return false;
	return rc == LM_E_NOT_FOUND || (rc == LM_OK && s->stop_signal == c->event.notice);
}

static void on_inspect(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct crash_report *c = ctx;
	struct crash_reporter *r = c->owner;
	struct engine_container_state state = {0};
	struct lm_err ignored = *why; // it may be removed already: what is known is kept

	engine_get_destroy(lm_take(c->inspect));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &state, &ignored);
	if (rc == LM_OK) {
		r->callbacks.inspected(r->callbacks.ctx, c->event.container_id, &state);
		take_state(&c->event, &state);
	}
	if (crash_reporter_is_ours(c, rc, &state)) {
		remove_report(c);
		ask_more(r);
		return;
	}
	crash_reporter_proceed(c);
}

static lm_rc on_log_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct crash_report *c = ctx;

	return log_tail_feed(&c->log, piece, err);
}

static void on_logs(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct crash_report *c = ctx;
	(void)body;
	(void)why; // logging drivers that cannot be read from are common

	engine_get_destroy(lm_take(c->logs));
	if (rc == LM_OK)
		c->event.log = log_tail_lines(&c->log);
	crash_reporter_proceed(c);
}

static void add_time(struct lm_buf *target, const char *key, int64_t time_ns)
{
	if (time_ns > 0)
		(void)lm_buf_printf(target, "&%s=%" PRId64 ".%09" PRId64, key, time_ns / NS_PER_S,
			time_ns % NS_PER_S);
}

/// The last lines of the run that ended; where another has begun since, all up to its beginning.
static void add_logs_target(struct lm_buf *target, unsigned minor, const struct container_event *e)
{
	(void)lm_buf_printf(target, "/v1.%u/containers/%s/logs?stdout=1&stderr=1&timestamps=0",
		minor, e->container_id);
	if (e->log_until_ns == 0)
		(void)lm_buf_printf(target, "&tail=%d", LIMIT_CRASH_LINES);
	add_time(target, "since", e->log_from_ns);
	add_time(target, "until", e->log_until_ns);
}

static void crash_reporter_ask(struct crash_report *c)
{
	struct crash_reporter *r = c->owner;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	c->asked = true;
	(void)engine_container_target(&target, r->minor, c->event.container_id);
	c->inspect = engine_get_start(r->loop, r->settings.engine_socket, lm_buf_cstr(&target),
		"ask for a container", ANSWER_MS, on_inspect, c);
	if (c->event.log)
		return;
	if (c->event.log_until_ns > 0 && r->minor < SINCE_UNTIL)
		return;
	lm_buf_clear(&target);
	add_logs_target(&target, r->minor, &c->event);
	c->logs = engine_get_start_pieces(r->loop, r->settings.engine_socket, lm_buf_cstr(&target),
		"ask for a container's log", ANSWER_MS, on_log_piece, on_logs, c);
}

static void ask_more(struct crash_reporter *r)
{
	unsigned asking = 0;

	for (struct crash_report *c = r->reports; c; c = c->next)
		asking += c->asked && !is_complete(c);
	for (struct crash_report *c = r->reports; c && asking < ASKING_MAX; c = c->next) {
		if (c->asked)
			continue;
		crash_reporter_ask(c);
		asking++;
	}
}

/// Of the run that ended: the file goes on over restarts. NULL: not known from there.
static json_t *read_log(const struct crash_reporter *r, const struct container_event *e)
{
	const char *id = e->container_id;
	lm_auto(log_tail_finish) struct log_tail log = {0};
	lm_auto_free char *path = NULL;
	struct lm_err ignored; // another driver, or not our right: the engine is asked

	if (!r->root_directory)
		return NULL;
	path = lm_xasprintf("%s/containers/%s/%s-json.log", r->root_directory, id, id);
	log_tail_init(&log);
	log.from_ms = e->log_from_ns / NS_PER_MS;
	log.until_ms = e->log_until_ns / NS_PER_MS;
	if (log_tail_read_file(&log, path, &ignored) ||
		(log.until_ms > 0 && log.text.len == 0)) // it may be further up
		return NULL;
	return log_tail_lines(&log);
}

/// Bytes that can be had without swapping.
static int64_t free_memory(void)
{
	lm_auto_buf struct lm_buf text = LM_BUF(PROC_FILE_MAX);
	lm_auto_close int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	struct lm_err ignored;
	long long kib;

	if (fd < 0 || lm_fd_read_all(fd, "/proc/meminfo", &text, &ignored) != LM_OK)
		return EVENT_UNKNOWN;
	const char *line = strstr(lm_buf_cstr(&text), "\nMemAvailable:");
	if (!line || sscanf(line, "\nMemAvailable: %lld kB", &kib) != 1)
		return EVENT_UNKNOWN;
	return (int64_t)kib * 1024;
}

/// Bytes that are free, for others than root, where `path` is.
static int64_t free_disk(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) < 0 ? EVENT_UNKNOWN : (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

static size_t count(const struct crash_reporter *r)
{
	size_t n = 0;

	for (const struct crash_report *c = r->reports; c; c = c->next)
		n++;
	return n;
}

static struct crash_report *crash_reporter_append(
	struct crash_reporter *r, struct container_event *event)
{
	struct crash_report *c = lm_xcalloc(1, sizeof(*c)), **end = &r->reports;

	c->owner = r;
	c->event = *event;
	c->doubtful = event->oom_killed == EVENT_UNKNOWN;
	c->timer = loop_timer_create(r->loop, crash_reporter_on_time, c);
	log_tail_init(&c->log);
	while (*end)
		end = &(*end)->next;
	*end = c;
	*event = (struct container_event){0};
	return c;
}

void crash_reporter_add(struct crash_reporter *r, struct container_event *event, bool unseen)
{
	event->memory_free = free_memory();
	event->disk_free = free_disk(r->settings.state_directory);
	event->log = read_log(r, event);
	if (count(r) >= LIMIT_RECORDINGS) {
		r->callbacks.event(r->callbacks.ctx, event);
		crash_reporter_keep(r, event);
		container_event_finish(event);
		return;
	}
	bool late = unseen || event_cursor_now_ns() - event->time_ns > (int64_t)LATE_MS * NS_PER_MS;
	struct crash_report *c = crash_reporter_append(r, event);
	bool waits = late || c->event.notice; // for the engine's answer
	if (c->event.log && !c->doubtful && !waits)
		crash_reporter_report(c);
	else
		loop_timer_start(c->timer, waits ? REPORT_LATE_MS : REPORT_MS, 0);
	ask_more(r);
}

void crash_reporter_note_oom(struct crash_reporter *r, const char *container_id)
{
	for (struct crash_report *c = r->reports; c; c = c->next) {
		if (!c->doubtful || strcmp(c->event.container_id, container_id) != 0)
			continue;
		c->doubtful = false;
		c->event.oom_killed = 1;
		if (!c->event.log || c->reported)
			continue;
		crash_reporter_report(c);
		// Kept with what the engine answers: all of it is still to come, else it was
		// reported.
		loop_timer_stop(c->timer);
	}
}

int64_t crash_reporter_pending_ns(const struct crash_reporter *r)
{
	int64_t first_ns = INT64_MAX;

	for (const struct crash_report *c = r->reports; c; c = c->next)
		if (!c->reported && c->event.time_ns < first_ns)
			first_ns = c->event.time_ns;
	return first_ns;
}

void crash_reporter_flush(struct crash_reporter *r)
{
	while (r->reports) {
		struct crash_report *c = r->reports;

		r->reports = c->next;
		crash_reporter_report(c);
		crash_reporter_keep(r, &c->event);
		destroy_inspection(c);
	}
}

struct crash_reporter *crash_reporter_create(struct loop *loop,
	const struct crash_reporter_settings *settings,
	const struct crash_reporter_callbacks *callbacks)
{
	struct crash_reporter *r = lm_xcalloc(1, sizeof(*r));

	*r = (struct crash_reporter){.loop = loop, .settings = *settings, .callbacks = *callbacks};
	return r;
}

void crash_reporter_destroy(struct crash_reporter *r)
{
	if (!r)
		return;
	crash_reporter_flush(r);
	free(r->root_directory);
	free(r);
}

void crash_reporter_set_api(struct crash_reporter *r, unsigned minor)
{
	r->minor = minor;
}

void crash_reporter_set_root(struct crash_reporter *r, char *directory)
{
	free(r->root_directory);
	r->root_directory = directory;
}
