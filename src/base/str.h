// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Borrowed text: a pointer and a length, never owned, not necessarily ended by NUL.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lm_str {
	const char *p;
	size_t n;
};

#define LM_STR(literal) ((struct lm_str){"" literal, sizeof(literal) - 1})
/// For printf's "%.*s".
#define LM_STR_ARG(s) (int)(s).n, (s).p

static inline struct lm_str lm_str(const char *s)
{
	return (struct lm_str){s, s ? strlen(s) : 0};
}

bool lm_str_eq(struct lm_str a, struct lm_str b);
/// As lm_str_eq, but ASCII letters compare without regard to case.
bool lm_str_eq_nocase(struct lm_str a, struct lm_str b);
bool lm_str_starts(struct lm_str s, struct lm_str prefix);
bool lm_str_ends(struct lm_str s, struct lm_str suffix);
/// Without spaces, tabs, CR and LF at both ends.
struct lm_str lm_str_trim(struct lm_str s);
/// Index of the first `c`, or `s.n`.
size_t lm_str_find(struct lm_str s, char c);
/// Splits at the first `sep`: returns what is before it and leaves what is behind it in `*rest`.
/// Without `sep` the whole is returned and `*rest` is empty.
struct lm_str lm_str_cut(struct lm_str *rest, char sep);
/// Decimal digits only, no sign, no space; leading zeros are refused unless the text is "0".
/// False if it is none or greater than `max`; `*ret` is then untouched.
bool lm_str_to_u64(struct lm_str s, uint64_t max, uint64_t *ret);
/// Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool lm_str_is_utf8(struct lm_str s);

/// Writes `s` for a person to read: at most `max` bytes of it, control characters and bytes that
/// are not UTF-8 as \xNN, "…(N bytes)" behind what was cut. Returns `out`, always NUL-ended.
/// `out` must hold at least 4 * max + 32 bytes.
char *lm_str_shorten(struct lm_str s, size_t max, char *out, size_t out_size);

/// The name of the list nearest to `name` (at most two letters differ), or NULL. Names stand
/// `stride` bytes apart, so that a table's first member can be searched.
const char *lm_str_nearest(const char *name, const void *names, size_t n, size_t stride);
