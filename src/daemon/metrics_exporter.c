// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics_exporter.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/metrics.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_EVERY_MS = 15 * 1000 };

struct metrics_exporter {
	struct metrics_exporter_sources from;
	int64_t started_ms;
	bool exited;

	// The file of the host file's metrics.textfile:
	char *path;               ///< NULL: none is wanted.
	struct loop_timer *timer; ///< Runs while a change is to be written.
	uint64_t next_ms;         ///< Not earlier than then.
	char *written;            ///< What the file holds; NULL: unknown.
	size_t written_n;
	bool failed; ///< A failure to write it was logged.
};

static void count_known(void *ctx, const struct monitor_container *container)
{
	metrics_count_container(ctx, container->state, container->health);
}

/// By the monitor, without a request to the engine.
static struct metrics_containers known_containers(const struct monitor *monitor)
{
	enum monitor_sight sight = monitor_sight(monitor);
	struct metrics_containers counts = {
		.known = sight != MONITOR_BEGINS, .answered = sight == MONITOR_SEES};

	if (counts.answered)
		monitor_each(monitor, count_known, &counts);
	return counts;
}

static struct metrics_containers asked_containers(const struct engine_containers *list)
{
	struct metrics_containers counts = {.known = true, .answered = list != NULL};

	for (size_t i = 0; list && i < list->n; i++)
		metrics_count_container(&counts, list->items[i].state, list->items[i].health);
	return counts;
}

static void metrics_exporter_add_restarts(void *ctx, const struct monitor_container *container)
{
	if (container->restart_count >= 0)
		metrics_restarts_add(ctx, container->service, (uint64_t)container->restart_count);
}

bool metrics_exporter_write(const struct metrics_exporter *e,
	const struct metrics_exporter_asked *asked, struct lm_buf *out)
{
	lm_auto(metrics_restarts_finish) struct metrics_restart_list restarts = {0};
	lm_auto_free struct metrics_broker *brokers = NULL;
	size_t brokers_n = mqtt_brokers_measure(e->from.brokers, &brokers);

	monitor_each(e->from.monitor, metrics_exporter_add_restarts, &restarts);
	for (size_t i = 0; i < brokers_n; i++)
		brokers[i].connected = brokers[i].connected && !e->exited;
	const struct metrics m = {
		.started_ms = e->started_ms,
		.exited = e->exited,
		.deployments = supervisor_measure(e->from.supervisor),
		.containers =
			asked ? asked_containers(asked->list) : known_containers(e->from.monitor),
		.restarts = restarts.items,
		.restarts_n = restarts.n,
		.unhealthy_restarts = *healer_restarts(e->from.healer),
		.devices = client_devices_measure(e->from.devices),
		.images = verification_measure(e->from.verification),
		.jobs = jobs_measure(e->from.jobs),
		.brokers = brokers,
		.brokers_n = brokers_n,
	};

	return metrics_write(&m, out);
}

/// Whether the file is there with this text. A change often leaves the text as it was (each failed
/// attempt to connect is a change), and the disk is to be spared.
static bool is_written(const struct metrics_exporter *e, struct lm_str text)
{
	struct stat st;

	return e->written && lm_str_eq(text, (struct lm_str){e->written, e->written_n}) &&
	       lstat(e->path, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == text.n;
}

static lm_rc replace_file(struct metrics_exporter *e, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_METRICS);

	if (!metrics_exporter_write(e, NULL, &text))
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "they exceed the limit of %d bytes", LIMIT_METRICS);
	if (is_written(e, lm_buf_str(&text)))
		return LM_OK;
	free(lm_take(e->written));
	lm_rc rc = lm_file_replace(AT_FDCWD, e->path, lm_buf_str(&text), 0644, err);
	if (rc)
		return rc;
	e->written_n = text.len;
	e->written = lm_buf_take(&text);
	return LM_OK;
}

static void write_file(void *ctx)
{
	struct metrics_exporter *e = ctx;
	struct lm_err err = {LM_OK};
	lm_rc rc = replace_file(e, &err);

	e->next_ms = lm_clock_mono_ms() + FILE_EVERY_MS;
	if (rc && !e->failed)
		lm_warn("write the metrics to '%s': %s, retrying at the next change", e->path,
			err.msg);
	e->failed = rc != LM_OK;
}

struct metrics_exporter *metrics_exporter_create(struct loop *loop,
	const struct host_settings *host, const struct metrics_exporter_sources *from)
{
	struct metrics_exporter *e = lm_xcalloc(1, sizeof(*e));

	e->from = *from;
	e->started_ms = lm_clock_wall_ms();
	if (host->metrics_textfile)
		e->path = lm_xstrdup(host->metrics_textfile);
	e->timer = loop_timer_create(loop, write_file, e);
	return e;
}

void metrics_exporter_destroy(struct metrics_exporter *e)
{
	if (!e)
		return;
	e->exited = true;
	if (e->path)
		write_file(e);
	loop_timer_destroy(e->timer);
	free(e->written);
	free(e->path);
	free(e);
}

void metrics_exporter_changed(struct metrics_exporter *e)
{
	uint64_t now_ms = lm_clock_mono_ms();

	if (e && e->path && !loop_timer_active(e->timer))
		loop_timer_start(e->timer, e->next_ms > now_ms ? e->next_ms - now_ms : 0, 0);
}
