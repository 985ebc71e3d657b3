// SPDX-License-Identifier: Apache-2.0
#include "daemon/telemetry.h"

#include "base/clock.h"
#include "base/memory.h"
#include "daemon/metrics.h"
#include "daemon/restarts.h"
#include "daemon/textfile.h"

#include <stdlib.h>

struct telemetry {
	const struct supervisor *supervisor;
	const struct outgoing *outgoing;
	struct textfile *textfile; ///< NULL: none is wanted.
	int64_t started_ms;
	bool ended;
	struct metrics_containers containers;
	struct restarts restarts;
};

static bool write_text(void *ctx, struct lm_buf *out)
{
	return telemetry_write(ctx, out);
}

struct telemetry *telemetry_create(struct loop *loop, const struct host_settings *host,
	const struct supervisor *supervisor, const struct outgoing *outgoing)
{
	struct telemetry *t = lm_xcalloc(1, sizeof(*t));

	t->supervisor = supervisor;
	t->outgoing = outgoing;
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
	restarts_finish(&t->restarts);
	free(t);
}

void telemetry_changed(struct telemetry *t)
{
	textfile_changed(t->textfile);
}

void telemetry_containers(struct telemetry *t, const struct engine_containers *list)
{
	t->containers = metrics_count_containers(list, lm_clock_wall_ms());
	telemetry_changed(t);
}

void telemetry_restarted(struct telemetry *t, const char *service)
{
	restarts_note(&t->restarts, service);
	telemetry_changed(t);
}

bool telemetry_write(const struct telemetry *t, struct lm_buf *out)
{
	lm_auto_free struct metrics_broker *brokers = NULL;
	size_t brokers_n = outgoing_measure(t->outgoing, &brokers);
	for (size_t i = 0; i < brokers_n; i++)
		brokers[i].connected = brokers[i].connected && !t->ended;
	const struct metrics m = {
		.started_ms = t->started_ms,
		.ended = t->ended,
		.deployments = supervisor_measure(t->supervisor),
		.containers = t->containers,
		.restarts = t->restarts.items,
		.restarts_n = t->restarts.n,
		.brokers = brokers,
		.brokers_n = brokers_n,
	};

	return metrics_write(&m, out);
}
