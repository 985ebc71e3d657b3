// SPDX-License-Identifier: Apache-2.0
#include "events/container_event.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NS_PER_MS = 1000000,
	NAME_MAX_SHOWN = 256,
	SIGNAL_BASE = 128, ///< An exit code is this plus the signal.
	SIGNAL_MAX = 64,
	TIME_DIGITS = 16, ///< Of an id.
};

static const struct {
	const char *word, *sentence;
} EVENTS[] = {
	[EVENT_DIED] = {"died", "died"},
	[EVENT_OOM] = {"oom", "ran out of memory"},
	[EVENT_UNHEALTHY] = {"unhealthy", "is unhealthy"},
	[EVENT_HEALTHY] = {"healthy", "is healthy"},
	[EVENT_RESTARTED] = {"restarted", "restarted"},
	[EVENT_STARTED] = {"started", "started"},
};

/// Bounded, and without control characters.
static char *sanitize(const char *name)
{
	char out[4 * NAME_MAX_SHOWN + 32];

	return lm_xstrdup(lm_str_shorten(lm_str(name), NAME_MAX_SHOWN, out, sizeof(out)));
}

struct container_event container_event_make(enum container_event_kind kind, int64_t time_ns,
	const char *container_id, const char *service, const char *name, const char *image)
{
	return (struct container_event){
		.kind = kind,
		.time_ns = time_ns,
		.container_id = lm_xstrdup(container_id),
		.service = sanitize(service),
		.name = sanitize(name),
		.image = sanitize(image),
		.exit_code = EVENT_UNKNOWN,
		.oom_killed = EVENT_UNKNOWN,
		.restart_count = EVENT_UNKNOWN,
		.uptime_s = EVENT_UNKNOWN,
		.count = 1,
		.memory_free = EVENT_UNKNOWN,
		.disk_free = EVENT_UNKNOWN,
	};
}

void container_event_finish(struct container_event *e)
{
	free(e->container_id);
	free(e->service);
	free(e->name);
	free(e->image);
	json_decref(e->log);
	*e = (struct container_event){0};
}

/// The signal that ended it, by the exit code; 0: none.
static int signal_of(const struct container_event *e)
{
	int signal = e->exit_code - SIGNAL_BASE;

	return signal > 0 && signal <= SIGNAL_MAX ? signal : 0;
}

char *container_event_id(const struct container_event *e, char out[CONTAINER_EVENT_ID_SIZE])
{
	(void)snprintf(out, CONTAINER_EVENT_ID_SIZE, "%016" PRIx64 "%.12s%04x",
		(uint64_t)e->time_ns, e->container_id, (unsigned)e->kind);
	return out;
}

bool container_event_parse_id(const char *id, const char *container_id, int64_t *ret_time_ns)
{
	struct container_event e = {.kind = EVENT_DIED, .container_id = (char *)container_id};
	char again[CONTAINER_EVENT_ID_SIZE];

	if (strlen(id) < TIME_DIGITS)
		return false;
	lm_auto_free char *digits = lm_xasprintf("%.*s", TIME_DIGITS, id);
	e.time_ns = (int64_t)strtoull(digits, NULL, 16);
	if (e.time_ns <= 0 || strcmp(container_event_id(&e, again), id) != 0)
		return false;
	*ret_time_ns = e.time_ns;
	return true;
}

static json_t *container_event_number_or_null(int64_t n)
{
	return n == EVENT_UNKNOWN ? json_null() : json_integer(n);
}

static json_t *flag_or_null(int flag)
{
	return flag == EVENT_UNKNOWN ? json_null() : json_boolean(flag);
}

json_t *container_event_to_message(const struct container_event *e)
{
	char id[CONTAINER_EVENT_ID_SIZE], time[LM_TIME_SIZE];
	int signal = signal_of(e);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:O?, s:s?}",
		"id", container_event_id(e, id), "time",
		lm_time_format_iso(e->time_ns / NS_PER_MS, time), "event", EVENTS[e->kind].word,
		"service", e->service, "container", e->name, "image", e->image, "exit_code",
		container_event_number_or_null(e->exit_code), "signal",
		signal ? json_integer(signal) : json_null(), "oom_killed",
		flag_or_null(e->oom_killed), "restart_count",
		container_event_number_or_null(e->restart_count), "uptime_seconds",
		container_event_number_or_null(e->uptime_s), "count", (int)e->count, "log", e->log,
		"reason", e->unhealthy ? "unhealthy" : NULL);
}

static size_t written_size(const json_t *j)
{
	return json_dumpb(j, NULL, 0, JSON_COMPACT);
}

json_t *container_event_to_crash(const struct container_event *e)
{
	json_t *record = container_event_to_message(e);
	json_t *log = json_array_size(e->log) ? json_copy(e->log) : NULL;

	(void)json_object_del(record, "event");
	(void)json_object_del(record, "reason"); // of a restart
	json_object_set_new(
		record, "memory_free_bytes", container_event_number_or_null(e->memory_free));
	json_object_set_new(
		record, "disk_free_bytes", container_event_number_or_null(e->disk_free));
	if (!log)
		return record;
	json_object_set_new(record, "log", log);
	// Quotes take two bytes each in JSON: the oldest lines go until it fits.
	while (json_array_size(log) > 0 && written_size(record) > LIMIT_CRASH_FILE)
		(void)json_array_remove(log, 0);
	return record;
}

static void add_death(const struct container_event *e, struct lm_buf *out)
{
	if (e->exit_code != EVENT_UNKNOWN)
		(void)lm_buf_printf(out, ": exit code %d", e->exit_code);
	else
		(void)lm_buf_puts(out, ": unknown exit code");
	if (signal_of(e))
		(void)lm_buf_printf(out, " (signal %d)", signal_of(e));
	if (e->oom_killed == 1)
		(void)lm_buf_puts(out, ", out of memory");
	if (e->uptime_s != EVENT_UNKNOWN)
		(void)lm_buf_printf(out, ", after %" PRId64 " s", e->uptime_s);
	if (e->restart_count > 0)
		(void)lm_buf_printf(out, ", restarted %" PRId64 " time%s so far", e->restart_count,
			e->restart_count == 1 ? "" : "s");
}

char *container_event_to_text(const struct container_event *e)
{
	lm_auto_buf struct lm_buf out = LM_BUF(LM_ERR_MSG_SIZE + (16 << 10));

	(void)lm_buf_printf(&out, "container %s (service %s) %s", e->name, e->service,
		EVENTS[e->kind].sentence);
	if (e->kind == EVENT_DIED)
		add_death(e, &out);
	if (e->unhealthy)
		(void)lm_buf_puts(&out, " by lightermand: it was unhealthy");
	if (e->count > 1)
		(void)lm_buf_printf(&out, "; %u times within a minute", e->count);
	return lm_buf_take(&out);
}

bool container_event_is_problem(const struct container_event *e)
{
	return e->kind == EVENT_DIED ? e->crash
				     : e->kind == EVENT_OOM || e->kind == EVENT_UNHEALTHY;
}
