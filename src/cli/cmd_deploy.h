// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman deploy`, `rollback`, `start` and `stop`: one request, its progress, and the outcome.

#include "cli/options.h"

int cmd_deploy(const struct call *call);
int cmd_rollback(const struct call *call);
int cmd_start(const struct call *call);
int cmd_stop(const struct call *call);
