// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Text from outside, made fit for a terminal, and columns of it. The width of a character is that
/// of common terminals: two columns for East Asian and emoji, none for combining marks.

#include "base/buf.h"

#include <stddef.h>

/// `s` with control characters as \xNN and at most 4,096 bytes of it; NULL is "". The caller frees.
char *plain_text(const char *s) __attribute__((returns_nonnull));
/// Columns that `s` (UTF-8) takes.
size_t plain_width(const char *s);
/// Appends `s`, if it is wider than `columns` cut to them with "…" as the last.
void plain_add_cut(struct lm_buf *out, const char *s, size_t columns);
/// The same, but cut on the left: the end of `s` stays, with "…" in front of it.
void plain_add_end(struct lm_buf *out, const char *s, size_t columns);
/// Appends `s`, then blanks up to `columns`.
void plain_add_padded(struct lm_buf *out, const char *s, size_t columns);
