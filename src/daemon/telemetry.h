// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Gathers what metrics tell from those who know it, and keeps the host file's metrics.textfile.
/// Asks nobody: what the engine says of containers is handed in by whoever asked it. Logs.

#include "base/cleanup.h"
#include "daemon/outgoing.h"
#include "daemon/supervisor.h"
#include "docker/answer.h"

#include <stdbool.h>

struct telemetry;

/// All is borrowed and outlives it.
struct telemetry *telemetry_create(struct loop *loop, const struct host_settings *host,
	const struct supervisor *supervisor, const struct outgoing *outgoing);
/// Writes the file a last time. Takes NULL.
void telemetry_destroy(struct telemetry *t);
LM_DEFINE_CLEANUP(struct telemetry, telemetry_destroy)

/// A deployment, a connection, or what else the metrics tell has changed.
void telemetry_changed(struct telemetry *t);
/// The engine was asked for the application's containers; `list` NULL: it did not answer.
void telemetry_containers(struct telemetry *t, const struct engine_containers *list);
/// A container of that service was restarted.
void telemetry_restarted(struct telemetry *t, const char *service);

/// Appends the metrics. False: they are over the buffer's ceiling.
bool telemetry_write(const struct telemetry *t, struct lm_buf *out);
