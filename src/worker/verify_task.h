// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `verify`: reads images from the Docker Engine and compares them with their IDs
/// (docs/formats.md). Changes nothing.

#include "deploy/stages.h"
#include "worker/protocol.h"
#include "worker/task.h"

/// Runs the task; there is always an outcome. It has succeeded if every image was looked at,
/// whatever was found.
void verify_task_run(
	const struct task *task, struct protocol *protocol, struct deploy_outcome *ret);
