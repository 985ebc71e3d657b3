// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happens to the containers, from the monitor to the log and to the brokers.

#include "base/error.h"
#include "config/host_file.h"
#include "daemon/outgoing.h"
#include "events/monitor.h"
#include "sys/loop.h"

/// Where it goes.
struct happenings {
	struct outgoing *outgoing;
	loop_cb *changed; ///< Then called: what the monitor knows has changed.
	loop_cb *back;    ///< Called instead when the engine answers again.
	void *ctx;
};

/// Watches the application's containers. `to` is borrowed and outlives the monitor. As
/// monitor_create.
lm_rc happenings_watch(struct loop *loop, const struct host_settings *host,
	const struct happenings *to, struct monitor **ret, struct lm_err *err);
