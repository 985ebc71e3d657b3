// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `volumes`: measures, copies and puts back the named volumes of the application
/// (docs/formats.md). It runs as the user that lightermand is, root as a rule, as the engine's
/// folders are root's; gets neither AWS keys nor the application's secrets, and talks to the engine
/// and lightermand only.

#include "deploy/stages.h"
#include "worker/protocol.h"
#include "worker/task.h"
#include "worker/volume_copies.h"

/// Runs the task; there is always an outcome. `ret_need`: the caller calls volume_need_finish.
void volumes_task_run(const struct task *task, struct protocol *p, struct deploy_outcome *ret,
	struct volume_need *ret_need);
