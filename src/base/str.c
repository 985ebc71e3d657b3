// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include <stdio.h>

bool lm_str_eq(struct lm_str a, struct lm_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool lm_str_eq_nocase(struct lm_str a, struct lm_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (to_lower(a.p[i]) != to_lower(b.p[i]))
			return false;
	}
	return true;
}

bool lm_str_starts(struct lm_str s, struct lm_str prefix)
{
	return s.n >= prefix.n && lm_str_eq((struct lm_str){s.p, prefix.n}, prefix);
}

bool lm_str_ends(struct lm_str s, struct lm_str suffix)
{
	if (suffix.n == 0) // and s.p may be NULL
		return true;
	return s.n >= suffix.n &&
	       lm_str_eq((struct lm_str){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct lm_str lm_str_trim(struct lm_str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t lm_str_find(struct lm_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

struct lm_str lm_str_cut(struct lm_str *rest, char sep)
{
	size_t i = lm_str_find(*rest, sep);
	struct lm_str head = {rest->p, i};

	if (i == rest->n)
		*rest = (struct lm_str){rest->n ? rest->p + rest->n : rest->p, 0};
	else
		*rest = (struct lm_str){rest->p + i + 1, rest->n - i - 1};
	return head;
}

bool lm_str_to_u64(struct lm_str s, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
			return false;
	}
	if (value > max)
		return false;
	*ret = value;
	return true;
}

/// Length of the well-formed sequence at the start of `s` (RFC 3629 section 4), or 0.
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
	unsigned char c = s[0];

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return n >= 2 && (s[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c >= 0xe0 && c <= 0xef) {
		unsigned char lowest = c == 0xe0 ? 0xa0 : 0x80;  // overlong
		unsigned char highest = c == 0xed ? 0x9f : 0xbf; // surrogates

		return n >= 3 && s[1] >= lowest && s[1] <= highest && (s[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		unsigned char lowest = c == 0xf0 ? 0x90 : 0x80;
		unsigned char highest = c == 0xf4 ? 0x8f : 0xbf; // over U+10FFFF

		return n >= 4 && s[1] >= lowest && s[1] <= highest && (s[2] & 0xc0) == 0x80 &&
				       (s[3] & 0xc0) == 0x80
			       ? 4
			       : 0;
	}
	return 0;
}

bool lm_str_is_utf8(struct lm_str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_sequence((const unsigned char *)s.p + i, s.n - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

char *lm_str_shorten(struct lm_str s, size_t max, char *out, size_t out_size)
{
	size_t at = 0;
	size_t i = 0;

	if (out_size == 0)
		return out;
	while (i < s.n && i < max) {
		const unsigned char *c = (const unsigned char *)s.p + i;
		size_t n = utf8_sequence(c, s.n - i);

		bool is_c1 = n == 2 && c[0] == 0xc2 && c[1] < 0xa0; // U+0080 to U+009F
		if (n == 0 || *c < 0x20 || *c == 0x7f || is_c1) {
			if (at + 5 > out_size)
				break;
			at += (size_t)snprintf(out + at, out_size - at, "\\x%02x", *c);
			i++;
			continue;
		}
		if (i + n > max || at + n + 1 > out_size)
			break;
		memcpy(out + at, c, n);
		at += n;
		i += n;
	}
	out[at] = '\0';
	if (i < s.n)
		(void)snprintf(out + at, out_size - at, "…(%zu bytes)", s.n);
	return out;
}

enum { NAME_MAX_COMPARED = 64, DISTANCE_MAX = 2 };

/// Levenshtein's distance, without regard to ASCII case; both texts are at most NAME_MAX_COMPARED.
static size_t distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t row[NAME_MAX_COMPARED + 1];

	for (size_t j = 0; j <= b_n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_n; j++) {
			bool same = lm_str_eq_nocase(
				(struct lm_str){a + i - 1, 1}, (struct lm_str){b + j - 1, 1});
			size_t best = diagonal + (same ? 0 : 1);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_n];
}

const char *lm_str_nearest(const char *name, const void *names, size_t n, size_t stride)
{
	size_t name_n = strlen(name), best = DISTANCE_MAX + 1;
	const char *nearest = NULL;

	if (name_n > NAME_MAX_COMPARED)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *candidate;
		memcpy(&candidate, (const char *)names + i * stride, sizeof(candidate));
		// Of a short name every other one is near: only its case may differ.
		if (name_n < 4 && !lm_str_eq_nocase(lm_str(name), lm_str(candidate)))
			continue;
		size_t d = distance(name, name_n, candidate, strlen(candidate));
		if (d < best) {
			best = d;
			nearest = candidate;
		}
	}
	return nearest;
}
