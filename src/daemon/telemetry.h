// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Gathers what metrics tell from those who know it, and keeps the host file's metrics.textfile.
/// Asks nobody: what is known of containers is the monitor's, or was just asked by the caller.
/// Logs.

#include "base/cleanup.h"
#include "daemon/outgoing.h"
#include "daemon/supervisor.h"
#include "docker/answer.h"
#include "events/monitor.h"

#include <stdbool.h>

struct telemetry;

struct telemetry_sources {
	const struct supervisor *supervisor;
	const struct outgoing *outgoing;
	const struct monitor *monitor;
};

/// `from` is copied; who is in it outlives this.
struct telemetry *telemetry_create(
	struct loop *loop, const struct host_settings *host, const struct telemetry_sources *from);
/// Writes the file a last time. Takes NULL.
void telemetry_destroy(struct telemetry *t);
LM_DEFINE_CLEANUP(struct telemetry, telemetry_destroy)

/// A deployment, a connection, a container, or what else the metrics tell has changed. Takes NULL.
void telemetry_changed(struct telemetry *t);

/// The engine was just asked for the application's containers; `list` NULL: it did not answer.
struct telemetry_asked {
	const struct engine_containers *list;
};
/// Appends the metrics. `asked` NULL: by what is known. False: they are over the buffer's ceiling.
bool telemetry_write(
	const struct telemetry *t, const struct telemetry_asked *asked, struct lm_buf *out);
