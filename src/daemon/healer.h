// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Restarts containers of the application that stay unhealthy (Policy.RestartUnhealthy): with the
/// Engine's own restart, which gives a container its stop signal and grace, and with a pause before
/// each that grows with every restart of the service in a row. A few at a time; never one-off
/// containers, nor any without our project's label. From the loop's thread; logs.
///
/// While the event stream is lost it waits. After a restart of lightermand the pauses begin anew.

#include "base/cleanup.h"
#include "daemon/metrics.h"
#include "events/monitor.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct healer;

/// From the loop, and from healer_look. None may destroy the healer.
struct healer_callbacks {
	/// The generation whose containers are to be restarted if they are unhealthy; 0: none now.
	unsigned (*generation)(void *ctx);
	/// healer_is_busy is false again.
	void (*idle)(void *ctx);
	/// What healer_to_json or healer_restarts shows has changed.
	void (*changed)(void *ctx);
	void *ctx;
};

/// The texts and `callbacks` are copied; `monitor` outlives it.
struct healer *healer_create(struct loop *loop, const char *engine_socket, const char *project,
	struct monitor *monitor, const struct healer_callbacks *callbacks);
/// A restart that the Engine has begun goes on. Takes NULL.
void healer_destroy(struct healer *h);
LM_DEFINE_CLEANUP(struct healer, healer_destroy)

/// Containers have changed, or what `generation` returns. Takes NULL.
void healer_look(struct healer *h);
/// The Engine is restarting a container: what changes containers has to wait, at most for the
/// container's stop grace and a minute, and for two minutes. Takes NULL.
bool healer_is_busy(const struct healer *h);

/// docs/formats.md, `unhealthy_restarts` of `status`; a new reference.
json_t *healer_to_json(const struct healer *h);
/// How often the containers of each service were restarted, since the program's start. Borrowed.
const struct metrics_restart_list *healer_restarts(const struct healer *h);
