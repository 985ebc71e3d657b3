// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the control socket is asked, and how it is answered (docs/formats.md, "Control socket").

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/outgoing.h"
#include "daemon/supervisor.h"
#include "daemon/telemetry.h"
#include "events/monitor.h"
#include "sys/loop.h"

struct commands;

/// Who is asked.
struct commands_sources {
	struct supervisor *supervisor;
	struct outgoing *outgoing;
	struct monitor *monitor;
	struct telemetry *telemetry;
	const char *host_file; ///< The path of what was read; NULL: there was none.
};

/// Opens `<runtimeDirectory>/control.sock`. All is borrowed and outlives the commands. As
/// control_create.
lm_rc commands_create(struct loop *loop, const struct host_settings *host,
	const struct commands_sources *from, struct commands **ret, struct lm_err *err);
void commands_destroy(struct commands *c);
LM_DEFINE_CLEANUP(struct commands, commands_destroy)
