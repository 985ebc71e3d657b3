// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The group file that a command was given: a path, or "-" for standard input.

#include "base/buf.h"
#include "cli/options.h"

/// What messages call it: the path, or "standard input".
const char *group_file_name(const char *path);
/// Reads it to the end, under the ceiling of `out`. Errors as lm_file_read.
lm_rc group_file_read(const char *path, struct lm_buf *out, struct lm_err *err);
/// Reads the file of the call for lightermand, which validates it; but it must be JSON to be sent.
/// False: it cannot be sent, which has been reported as `lighterman validate` does.
bool group_file_load(const struct call *call, struct lm_buf *text);
