// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman logs`.

#include "cli/options.h"

int cmd_logs(const struct call *call);
