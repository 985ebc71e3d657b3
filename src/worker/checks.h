// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `check`: whether this device has what a deployment needs. Every check runs whose own
/// requirements are met, and reports what it found in one or more lines (docs/formats.md). Warnings
/// that a stage's function logs meanwhile are reported as warnings of that check.

#include "worker/context.h"

/// Fails only if it is cancelled.
void checks_run(struct context *cx, struct deploy_outcome *ret);
