// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Paths as text; nothing here looks at the disk.

#include "base/str.h"

#include <stdbool.h>

/// `a` and `b` with exactly one '/' between them. The caller frees.
char *lm_path_join(const char *a, const char *b) __attribute__((returns_nonnull));
/// What stands behind the last '/'; borrowed.
const char *lm_path_base(const char *path);
bool lm_path_is_absolute(struct lm_str path);
/// Whether a component is "..", or the path is empty or holds a NUL.
bool lm_path_escapes(struct lm_str path);
