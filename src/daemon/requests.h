// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The requests of the control socket, and their answers (docs/formats.md, "Control socket").

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/client_devices.h"
#include "daemon/healer.h"
#include "daemon/jobs.h"
#include "daemon/metrics_exporter.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/supervisor.h"
#include "daemon/verification.h"
#include "events/monitor.h"
#include "sys/loop.h"

struct requests;

/// Where the answers come from.
struct requests_sources {
	struct supervisor *supervisor;
	struct mqtt_brokers *brokers;
	struct client_devices *devices;
	const struct healer *healer;
	const struct jobs *jobs; ///< NULL: there are none.
	struct monitor *monitor;
	struct metrics_exporter *metrics;
	struct verification *verification;
	const char *state_directory;
	const char *host_file; ///< The path of what was read; NULL: there was none.
};

/// Opens `<runtimeDirectory>/control.sock`. All is borrowed and outlives the commands. As
/// control_server_create.
lm_rc requests_create(struct loop *loop, const struct host_settings *host,
	const struct requests_sources *from, struct requests **ret, struct lm_err *err);
void requests_destroy(struct requests *c);
LM_DEFINE_CLEANUP(struct requests, requests_destroy)
