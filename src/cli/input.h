// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The file that a command was given.

#include "base/buf.h"
#include "base/error.h"

/// How messages call it: the path, or "standard input" for "-".
const char *input_name(const char *path);
/// Reads the file, or standard input to its end, under the ceiling of `out`. Errors as
/// lm_file_read.
lm_rc input_read(const char *path, struct lm_buf *out, struct lm_err *err);
