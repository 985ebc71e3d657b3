// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `verify`: reads images from the Docker Engine and compares them with their IDs
/// (docs/formats.md). Changes nothing.

#include "deploy/stages.h"
#include "worker/image_check.h"
#include "worker/protocol.h"
#include "worker/task.h"

/// Runs the task; there is always an outcome. It has succeeded if every image was looked at,
/// whatever was found.
void verify_task_run(
	const struct task *task, struct protocol *protocol, struct deploy_outcome *ret);

/// Sends the line of an image: `state` "reading", or what was found.
lm_rc verify_task_report(struct protocol *protocol, const char *ref, const char *state,
	const struct image_finding *f, struct lm_err *err);
