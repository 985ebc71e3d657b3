// SPDX-License-Identifier: Apache-2.0
#include "events/report.h"

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
	const char *word, *says;
} EVENTS[] = {
	[REPORT_DIED] = {"died", "died"},
	[REPORT_OOM] = {"oom", "ran out of memory"},
	[REPORT_UNHEALTHY] = {"unhealthy", "is unhealthy"},
	[REPORT_HEALTHY] = {"healthy", "is healthy"},
	[REPORT_RESTARTED] = {"restarted", "was started again"},
	[REPORT_STARTED] = {"started", "was started"},
};

/// A name as others read it: bounded, and nothing in it that commands a terminal.
static char *shown(const char *name)
{
	char out[4 * NAME_MAX_SHOWN + 32];

	return lm_xstrdup(lm_str_shorten(lm_str(name), NAME_MAX_SHOWN, out, sizeof(out)));
}

struct report report_make(enum report_event event, int64_t time_ns, const char *container_id,
	const char *service, const char *name, const char *image)
{
	return (struct report){
		.event = event,
		.time_ns = time_ns,
		.container_id = lm_xstrdup(container_id),
		.service = shown(service),
		.name = shown(name),
		.image = shown(image),
		.exit_code = REPORT_UNKNOWN,
		.oom_killed = REPORT_UNKNOWN,
		.restart_count = REPORT_UNKNOWN,
		.uptime_s = REPORT_UNKNOWN,
		.count = 1,
		.memory_free = REPORT_UNKNOWN,
		.disk_free = REPORT_UNKNOWN,
	};
}

void report_finish(struct report *r)
{
	free(r->container_id);
	free(r->service);
	free(r->name);
	free(r->image);
	json_decref(r->log);
	*r = (struct report){0};
}

int report_signal(const struct report *r)
{
	int signal = r->exit_code - SIGNAL_BASE;

	return signal > 0 && signal <= SIGNAL_MAX ? signal : 0;
}

char *report_id(const struct report *r, char out[REPORT_ID_SIZE])
{
	(void)snprintf(out, REPORT_ID_SIZE, "%016" PRIx64 "%.12s%04x", (uint64_t)r->time_ns,
		r->container_id, (unsigned)r->event);
	return out;
}

bool report_id_read(const char *id, const char *container_id, int64_t *ret_time_ns)
{
	struct report r = {.event = REPORT_DIED, .container_id = (char *)container_id};
	char again[REPORT_ID_SIZE];

	if (strlen(id) < TIME_DIGITS)
		return false;
	lm_auto_free char *digits = lm_xasprintf("%.*s", TIME_DIGITS, id);
	r.time_ns = (int64_t)strtoull(digits, NULL, 16);
	if (r.time_ns <= 0 || strcmp(report_id(&r, again), id) != 0)
		return false;
	*ret_time_ns = r.time_ns;
	return true;
}

static json_t *number_or_null(int64_t n)
{
	return n == REPORT_UNKNOWN ? json_null() : json_integer(n);
}

static json_t *flag_or_null(int flag)
{
	return flag == REPORT_UNKNOWN ? json_null() : json_boolean(flag);
}

json_t *report_to_message(const struct report *r)
{
	char id[REPORT_ID_SIZE], time[LM_TIME_SIZE];
	int signal = report_signal(r);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:O?}", "id",
		report_id(r, id), "time", lm_time_format_iso(r->time_ns / NS_PER_MS, time), "event",
		EVENTS[r->event].word, "service", r->service, "container", r->name, "image",
		r->image, "exit_code", number_or_null(r->exit_code), "signal",
		signal ? json_integer(signal) : json_null(), "oom_killed",
		flag_or_null(r->oom_killed), "restart_count", number_or_null(r->restart_count),
		"uptime_seconds", number_or_null(r->uptime_s), "count", (int)r->count, "log",
		r->log);
}

static size_t written_size(const json_t *j)
{
	return json_dumpb(j, NULL, 0, JSON_COMPACT);
}

json_t *report_to_record(const struct report *r)
{
	json_t *record = report_to_message(r);
	json_t *log = json_array_size(r->log) ? json_copy(r->log) : NULL;

	(void)json_object_del(record, "event");
	json_object_set_new(record, "memory_free_bytes", number_or_null(r->memory_free));
	json_object_set_new(record, "disk_free_bytes", number_or_null(r->disk_free));
	if (!log)
		return record;
	json_object_set_new(record, "log", log);
	// Quotes take two bytes each in JSON: the oldest lines go until it fits.
	while (json_array_size(log) > 0 && written_size(record) > LIMIT_CRASH_FILE)
		(void)json_array_remove(log, 0);
	return record;
}

static void add_death(const struct report *r, struct lm_buf *out)
{
	if (r->exit_code != REPORT_UNKNOWN)
		(void)lm_buf_printf(out, ": exit code %d", r->exit_code);
	else
		(void)lm_buf_puts(out, ": exit code not known");
	if (report_signal(r))
		(void)lm_buf_printf(out, " (signal %d)", report_signal(r));
	if (r->oom_killed == 1)
		(void)lm_buf_puts(out, ", killed as it was out of memory");
	if (r->uptime_s != REPORT_UNKNOWN)
		(void)lm_buf_printf(out, ", after %" PRId64 " s", r->uptime_s);
	if (r->restart_count > 0)
		(void)lm_buf_printf(out, ", restarted %" PRId64 " time%s so far", r->restart_count,
			r->restart_count == 1 ? "" : "s");
}

char *report_to_text(const struct report *r)
{
	lm_auto_buf struct lm_buf out = LM_BUF(LM_ERR_MSG_SIZE + (16 << 10));

	(void)lm_buf_printf(
		&out, "container %s (service %s) %s", r->name, r->service, EVENTS[r->event].says);
	if (r->event == REPORT_DIED)
		add_death(r, &out);
	if (r->count > 1)
		(void)lm_buf_printf(&out, "; %u times within a minute", r->count);
	return lm_buf_take(&out);
}

bool report_is_bad(const struct report *r)
{
	return r->event == REPORT_DIED ? r->crash
				       : r->event == REPORT_OOM || r->event == REPORT_UNHEALTHY;
}
