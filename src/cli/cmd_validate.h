// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman validate FILE`: prints every validation error of a group file on its own line.

#include "cli/options.h"

/// Errors and warnings go to `err`, the verdict of a valid file to `out`; with --json one document
/// goes to `out` and nothing to `err`. EXIT_INVALID: the file is invalid or cannot be read.
int cmd_validate(const struct call *call);
