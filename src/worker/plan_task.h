// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `plan`.

#include "worker/context.h"

/// Runs the task; there is always an outcome.
void plan_task_run(struct context *cx, struct deploy_outcome *ret);
