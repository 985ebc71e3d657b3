// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Text for people: formats numbers, sanitizes what came from outside, and lays text out in
/// columns. Pure. The width of a character is that of common terminals: two columns for East Asian
/// and emoji, none for combining marks.

#include "base/buf.h"
#include "sys/json.h"

#include <stddef.h>
#include <stdint.h>

enum { FORMAT_SIZE = 64, TABLE_COLUMNS_MAX = 8 };

/// All format functions return `out`.
/// "4.2 s", "3 min 12 s", "2 h 5 min", "3 d 4 h". Negative is 0.
char *format_duration(int64_t ms, char out[FORMAT_SIZE]);
/// "12 s", "5 min", "3 h", "2 d". Negative is 0.
char *format_age(int64_t s, char out[FORMAT_SIZE]);
/// "12 s ago", "5 min ago", "3 h ago", "2 d ago"; "in the future" if `then_ms` is after `now_ms`
/// (a clock was set) by more than a minute.
char *format_ago(int64_t then_ms, int64_t now_ms, char out[FORMAT_SIZE]);
/// "2026-03-01T12:13:14+01:00", in local time.
char *format_time(int64_t wall_ms, char out[FORMAT_SIZE]);
/// "312 B", "12.1 MB".
char *format_bytes(uint64_t n, char out[FORMAT_SIZE]);
/// "3.4 of 12.1 MB".
char *format_bytes_of(uint64_t done, uint64_t total, char out[FORMAT_SIZE]);

/// `s` with control characters as \xNN and at most 4,096 bytes of it; NULL is "". The caller frees.
char *sanitize_text(const char *s) __attribute__((returns_nonnull));

/// Columns that `s` (UTF-8) takes.
size_t render_width(const char *s);
/// Appends `s`; if it is wider than `columns`, cut to them with "…" as the last.
void render_cut(struct lm_buf *out, const char *s, size_t columns);
/// The same, but cut on the left: the end of `s` stays, with "…" in front of it.
void render_tail(struct lm_buf *out, const char *s, size_t columns);
/// Appends `s` in lines of at most `columns`, broken at blanks; all but the first begin with
/// `indent` blanks. A word that is wider has a line of its own. No line end follows.
void render_wrapped(struct lm_buf *out, const char *s, size_t columns, unsigned indent);
/// Appends `s`, then blanks up to `columns`.
void render_padded(struct lm_buf *out, const char *s, size_t columns);
/// Appends `s` sanitized.
void render_sanitized(struct lm_buf *out, const char *s);
/// Appends `label`, then blanks up to the column in which values begin.
void render_label(struct lm_buf *out, const char *label);
/// Appends `before` and a text member, sanitized; nothing if the member is not a text.
void render_member(struct lm_buf *out, const json_t *object, const char *key, const char *before);

/// Columns of text, as wide as their widest cell.
struct table {
	size_t columns;
	char **cells; ///< Owned; row by row.
	size_t n;     ///< Of the cells.
};

/// Adds a cell to the right of the last one, or in the next row. Takes ownership of the text, which
/// must be sanitized. NULL or "" is shown as "-".
void table_add(struct table *t, char *cell);
/// Appends the table to `out` and frees its cells.
void table_render(struct table *t, struct lm_buf *out);
