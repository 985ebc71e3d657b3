// SPDX-License-Identifier: Apache-2.0
#include "daemon/telemetry.h"

#include "base/clock.h"
#include "base/memory.h"
#include "daemon/metrics.h"
#include "daemon/restarts.h"
#include "daemon/textfile.h"

#include <stdlib.h>

struct telemetry {
	struct telemetry_sources from;
	struct textfile *textfile; ///< NULL: none is wanted.
	int64_t started_ms;
	bool ended;
};

static bool write_text(void *ctx, struct lm_buf *out)
{
	return telemetry_write(ctx, NULL, out);
}

struct telemetry *telemetry_create(
	struct loop *loop, const struct host_settings *host, const struct telemetry_sources *from)
{
	struct telemetry *t = lm_xcalloc(1, sizeof(*t));

	t->from = *from;
	t->started_ms = lm_clock_wall_ms();
	if (host->metrics_textfile)
		t->textfile = textfile_create(loop, host->metrics_textfile, write_text, t);
	return t;
}

void telemetry_destroy(struct telemetry *t)
{
	if (!t)
		return;
	t->ended = true;
	textfile_destroy(t->textfile);
	free(t);
}

void telemetry_changed(struct telemetry *t)
{
	if (t)
		textfile_changed(t->textfile);
}

static void count_known(void *ctx, const struct monitor_container *container)
{
	metrics_count_container(ctx, container->state, container->health);
}

/// What the monitor knows by itself.
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

static void add_restarts(void *ctx, const struct monitor_container *container)
{
	if (container->restart_count >= 0)
		restarts_add(ctx, container->service, (uint64_t)container->restart_count);
}

bool telemetry_write(
	const struct telemetry *t, const struct telemetry_asked *asked, struct lm_buf *out)
{
	lm_auto(restarts_finish) struct restarts restarts = {0};
	lm_auto_free struct metrics_broker *brokers = NULL;
	size_t brokers_n = outgoing_measure(t->from.outgoing, &brokers);

	monitor_each(t->from.monitor, add_restarts, &restarts);
	for (size_t i = 0; i < brokers_n; i++)
		brokers[i].connected = brokers[i].connected && !t->ended;
	const struct metrics m = {
		.started_ms = t->started_ms,
		.ended = t->ended,
		.deployments = supervisor_measure(t->from.supervisor),
		.containers =
			asked ? asked_containers(asked->list) : known_containers(t->from.monitor),
		.restarts = restarts.items,
		.restarts_n = restarts.n,
		.brokers = brokers,
		.brokers_n = brokers_n,
	};

	return metrics_write(&m, out);
}
