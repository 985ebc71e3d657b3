// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Collects the metrics, and keeps the host file's metrics.textfile for programs that read files
/// (the textfile collector of node_exporter): replaced as a whole when its text has changed, at
/// most every 15 s, to spare the disk. Makes no requests: containers are those of the monitor, or
/// of a list that the caller has. Logs, once, that the file cannot be written.

#include "base/cleanup.h"
#include "daemon/client_devices.h"
#include "daemon/healer.h"
#include "daemon/jobs.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/supervisor.h"
#include "daemon/verification.h"
#include "docker/engine_json.h"
#include "events/monitor.h"

#include <stdbool.h>

struct metrics_exporter;

struct metrics_exporter_sources {
	const struct supervisor *supervisor;
	const struct mqtt_brokers *brokers;
	const struct client_devices *devices;
	const struct healer *healer;
	const struct jobs *jobs; ///< NULL: there are none.
	const struct monitor *monitor;
	const struct verification *verification;
};

/// `from` is copied; its members outlive this.
struct metrics_exporter *metrics_exporter_create(struct loop *loop,
	const struct host_settings *host, const struct metrics_exporter_sources *from);
/// Writes the file a last time, if its text has changed. Takes NULL.
void metrics_exporter_destroy(struct metrics_exporter *e);
LM_DEFINE_CLEANUP(struct metrics_exporter, metrics_exporter_destroy)

/// Something that the metrics show has changed. Takes NULL.
void metrics_exporter_changed(struct metrics_exporter *e);

/// The engine was just asked for the application's containers; `list` NULL: it did not answer.
struct metrics_exporter_asked {
	const struct engine_containers *list;
};
/// Appends the metrics. `asked` NULL: by the monitor. False: they exceed the buffer's ceiling.
bool metrics_exporter_write(const struct metrics_exporter *e,
	const struct metrics_exporter_asked *asked, struct lm_buf *out);
