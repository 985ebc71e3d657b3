// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happens to the containers, from the monitor to the log and to the brokers.

#include "base/error.h"
#include "daemon/outgoing.h"
#include "host/host_file.h"
#include "monitor/monitor.h"
#include "sys/loop.h"

/// Watches the application's containers. `outgoing` is borrowed and outlives the monitor. As
/// monitor_create.
lm_rc happenings_watch(struct loop *loop, const struct host_settings *host,
	struct outgoing *outgoing, struct monitor **ret, struct lm_err *err);
