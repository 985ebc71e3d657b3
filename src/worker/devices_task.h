// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `devices`: everything that has to do with the keys and certificates of client devices
/// (docs/formats.md). It runs as the user that lightermand is, root as a rule, gets neither AWS
/// keys nor the application's secrets, and talks to nobody but lightermand.

#include "base/error.h"
#include "deploy/stages.h"
#include "worker/protocol.h"
#include "worker/task.h"

/// Runs the task; there is always an outcome.
void devices_task_run(const struct task *task, struct protocol *p, struct deploy_outcome *ret);
