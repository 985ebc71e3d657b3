// SPDX-License-Identifier: Apache-2.0
#include "cli/plain.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdint.h>

enum { TEXT_MAX = 4096 };

struct range {
	uint32_t first, last;
	unsigned width;
};

// Unicode's East Asian Width, and its combining marks, as whole blocks.
static const struct range RANGES[] = {
	{0x0300, 0x036f, 0},
	{0x1100, 0x115f, 2},
	{0x200b, 0x200f, 0},
	{0x20d0, 0x20ff, 0},
	{0x2e80, 0x303e, 2},
	{0x3041, 0xa4cf, 2},
	{0xac00, 0xd7a3, 2},
	{0xf900, 0xfaff, 2},
	{0xfe00, 0xfe0f, 0},
	{0xfe20, 0xfe2f, 0},
	{0xfe30, 0xfe6f, 2},
	{0xff00, 0xff60, 2},
	{0xffe0, 0xffe6, 2},
	{0x1f300, 0x1f64f, 2},
	{0x1f680, 0x1f6ff, 2},
	{0x1f900, 0x1f9ff, 2},
	{0x20000, 0x3fffd, 2},
};

char *plain_text(const char *s)
{
	struct lm_str text = lm_str(s);
	size_t max = text.n < TEXT_MAX ? text.n : TEXT_MAX;
	size_t size = 4 * max + 32;
	char *out = lm_xmalloc(size);

	return lm_str_shorten(text, max, out, size);
}

static unsigned width_of(uint32_t c)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(RANGES) && c >= RANGES[i].first; i++) {
		if (c <= RANGES[i].last)
			return RANGES[i].width;
	}
	return 1;
}

/// Takes one character off `*s`, which is not at its end. A byte that starts none is one by itself.
static uint32_t next_character(const unsigned char **s)
{
	const unsigned char *p = *s;
	unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
	uint32_t c = more ? p[0] & (0x3fu >> more) : p[0];

	for (unsigned i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*s = p + i;
			return '?';
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	*s = p + 1 + more;
	return c;
}

/// Bytes of `s` that fit into `columns`; `*ret_width` is what they take.
static size_t fit(const char *s, size_t columns, size_t *ret_width)
{
	const unsigned char *at = (const unsigned char *)s;
	size_t width = 0;

	while (*at) {
		const unsigned char *next = at;
		unsigned w = width_of(next_character(&next));

		if (width + w > columns)
			break;
		width += w;
		at = next;
	}
	*ret_width = width;
	return (size_t)(at - (const unsigned char *)s);
}

size_t plain_width(const char *s)
{
	size_t width;

	(void)fit(s, SIZE_MAX, &width);
	return width;
}

void plain_add_cut(struct lm_buf *out, const char *s, size_t columns)
{
	size_t width, n = fit(s, columns, &width);

	if (!s[n]) {
		(void)lm_buf_puts(out, s);
		return;
	}
	if (columns == 0)
		return;
	n = fit(s, columns - 1, &width);
	(void)lm_buf_add(out, s, n);
	(void)lm_buf_puts(out, "…");
}

void plain_add_end(struct lm_buf *out, const char *s, size_t columns)
{
	size_t width = plain_width(s), cut = 0;

	if (width <= columns) {
		(void)lm_buf_puts(out, s);
		return;
	}
	if (columns == 0)
		return;
	const unsigned char *at = (const unsigned char *)s;
	while (width - cut > columns - 1)
		cut += width_of(next_character(&at));
	while (*at) { // what combines with the last one that is cut goes with it
		const unsigned char *next = at;
		if (width_of(next_character(&next)) > 0)
			break;
		at = next;
	}
	(void)lm_buf_puts(out, "…");
	(void)lm_buf_puts(out, (const char *)at);
}

void plain_add_padded(struct lm_buf *out, const char *s, size_t columns)
{
	(void)lm_buf_puts(out, s);
	for (size_t width = plain_width(s); width < columns; width++)
		(void)lm_buf_putc(out, ' ');
}
