// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman validate FILE`: every fault of a group file on its own line.

#include <stdbool.h>
#include <stdio.h>

/// Checks the file ("-": standard input). Faults and warnings go to `err`, the verdict of a valid
/// file to `out`; with `json` one document goes to `out` and nothing to `err`. Returns the exit
/// status: 0, or 2 if the file is invalid or cannot be read.
int validate_run(const char *path, bool json, FILE *out, FILE *err);
