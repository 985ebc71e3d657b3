// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Gathers what metrics tell from those who know it, and keeps the host file's metrics.textfile.
/// Asks nobody: what is known of containers is the monitor's, or was just asked by the caller.
/// Logs.

#include "base/cleanup.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/supervisor.h"
#include "docker/answer.h"
#include "events/monitor.h"

#include <stdbool.h>

struct metrics_exporter;

struct metrics_exporter_sources {
	const struct supervisor *supervisor;
	const struct mqtt_brokers *brokers;
	const struct monitor *monitor;
};

/// `from` is copied; who is in it outlives this.
struct metrics_exporter *metrics_exporter_create(struct loop *loop,
	const struct host_settings *host, const struct metrics_exporter_sources *from);
/// Writes the file a last time. Takes NULL.
void metrics_exporter_destroy(struct metrics_exporter *e);
LM_DEFINE_CLEANUP(struct metrics_exporter, metrics_exporter_destroy)

/// A deployment, a connection, a container, or what else the metrics tell has changed. Takes NULL.
void metrics_exporter_changed(struct metrics_exporter *e);

/// The engine was just asked for the application's containers; `list` NULL: it did not answer.
struct metrics_exporter_asked {
	const struct engine_containers *list;
};
/// Appends the metrics. `asked` NULL: by what is known. False: they are over the buffer's ceiling.
bool metrics_exporter_write(const struct metrics_exporter *e,
	const struct metrics_exporter_asked *asked, struct lm_buf *out);
