// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman doctor`: checks made here, and those of a worker, in one order.

#include "cli/options.h"

int cmd_doctor(const struct call *call);
