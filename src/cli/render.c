// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <time.h>

enum {
	SECOND_MS = 1000,
	MINUTE_S = 60,
	HOUR_S = 3600,
	DAY_S = 86400,
	TEXT_MAX = 4096,
	LABEL_COLUMN = 17,
	TABLE_GAP = 2,
};

char *format_duration(int64_t ms, char out[FORMAT_SIZE])
{
	long long tenths = ms > 0 ? ms / 100 : 0, s = tenths / 10;

	if (s < MINUTE_S)
		(void)snprintf(out, FORMAT_SIZE, "%lld.%lld s", s, tenths % 10);
	else if (s < HOUR_S)
		(void)snprintf(out, FORMAT_SIZE, "%lld min %lld s", s / MINUTE_S, s % MINUTE_S);
	else if (s < DAY_S)
		(void)snprintf(
			out, FORMAT_SIZE, "%lld h %lld min", s / HOUR_S, s % HOUR_S / MINUTE_S);
	else
		(void)snprintf(out, FORMAT_SIZE, "%lld d %lld h", s / DAY_S, s % DAY_S / HOUR_S);
	return out;
}

char *format_age(int64_t s, char out[FORMAT_SIZE])
{
	long long n = s > 0 ? s : 0;

	if (n < MINUTE_S)
		(void)snprintf(out, FORMAT_SIZE, "%lld s", n);
	else if (n < HOUR_S)
		(void)snprintf(out, FORMAT_SIZE, "%lld min", n / MINUTE_S);
	else if (n < DAY_S)
		(void)snprintf(out, FORMAT_SIZE, "%lld h", n / HOUR_S);
	else
		(void)snprintf(out, FORMAT_SIZE, "%lld d", n / DAY_S);
	return out;
}

char *format_ago(int64_t then_ms, int64_t now_ms, char out[FORMAT_SIZE])
{
	long long s;

	if (__builtin_sub_overflow(now_ms, then_ms, &s) || s < -MINUTE_S * SECOND_MS) {
		(void)snprintf(out, FORMAT_SIZE, "in the future");
		return out;
	}
	char age[FORMAT_SIZE];

	(void)snprintf(
		out, FORMAT_SIZE, "%.*s ago", FORMAT_SIZE - 8, format_age(s / SECOND_MS, age));
	return out;
}

char *format_time(int64_t wall_ms, char out[FORMAT_SIZE])
{
	time_t s = (time_t)(wall_ms / SECOND_MS);
	struct tm local;

	if (!localtime_r(&s, &local)) { // a year that does not fit
		(void)snprintf(out, FORMAT_SIZE, "%lld ms", (long long)wall_ms);
		return out;
	}
	long minutes = local.tm_gmtoff / MINUTE_S, absolute = minutes < 0 ? -minutes : minutes;
	(void)snprintf(out, FORMAT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld",
		local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min,
		local.tm_sec, minutes < 0 ? '-' : '+', absolute / MINUTE_S, absolute % MINUTE_S);
	return out;
}

struct unit {
	double divisor;
	const char *name;
};

static const struct unit *unit_of(uint64_t n)
{
	static const struct unit units[] = {{1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}};
	size_t i = 0;

	while (i + 1 < LM_ARRAY_SIZE(units) && (double)n >= 999.95 * units[i].divisor)
		i++;
	return &units[i];
}

char *format_bytes(uint64_t n, char out[FORMAT_SIZE])
{
	const struct unit *unit = unit_of(n);

	if (n < 1000)
		(void)snprintf(out, FORMAT_SIZE, "%llu B", (unsigned long long)n);
	else
		(void)snprintf(out, FORMAT_SIZE, "%.1f %s", (double)n / unit->divisor, unit->name);
	return out;
}

char *format_bytes_of(uint64_t done, uint64_t total, char out[FORMAT_SIZE])
{
	const struct unit *unit = unit_of(total);

	(void)snprintf(out, FORMAT_SIZE, "%.1f of %.1f %s", (double)done / unit->divisor,
		(double)total / unit->divisor, unit->name);
	return out;
}

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

char *sanitize_text(const char *s)
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

size_t render_width(const char *s)
{
	size_t width;

	(void)fit(s, SIZE_MAX, &width);
	return width;
}

void render_cut(struct lm_buf *out, const char *s, size_t columns)
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

void render_tail(struct lm_buf *out, const char *s, size_t columns)
{
	size_t width = render_width(s), cut = 0;

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

void render_wrapped(struct lm_buf *out, const char *s, size_t columns, unsigned indent)
{
	struct lm_str rest = lm_str(s);
	size_t at = 0; // the column
	bool is_first = true;

	while (rest.n > 0) {
		struct lm_str cut = lm_str_cut(&rest, ' ');
		lm_auto_free char *word = lm_xmemdup0(cut.p, cut.n);
		size_t width = render_width(word);

		if (!is_first && at + 1 + width > columns) {
			(void)lm_buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!is_first) {
			(void)lm_buf_putc(out, ' ');
			at++;
		}
		(void)lm_buf_puts(out, word);
		at += width;
		is_first = false;
	}
}

void render_padded(struct lm_buf *out, const char *s, size_t columns)
{
	(void)lm_buf_puts(out, s);
	for (size_t width = render_width(s); width < columns; width++)
		(void)lm_buf_putc(out, ' ');
}

void render_sanitized(struct lm_buf *out, const char *s)
{
	lm_auto_free char *clean = sanitize_text(s);

	(void)lm_buf_puts(out, clean);
}

void render_label(struct lm_buf *out, const char *label)
{
	render_padded(out, label, LABEL_COLUMN);
}

void render_member(struct lm_buf *out, const json_t *object, const char *key, const char *before)
{
	const char *text = json_get_text(object, key);

	if (!text)
		return;
	(void)lm_buf_puts(out, before);
	render_sanitized(out, text);
}

void table_add(struct table *t, char *cell)
{
	if (t->n % 64 == 0)
		t->cells = lm_xrealloc(t->cells, (t->n + 64) * sizeof(*t->cells));
	if (cell && *cell) {
		t->cells[t->n++] = cell;
		return;
	}
	free(cell);
	t->cells[t->n++] = lm_xstrdup("-");
}

void table_render(struct table *t, struct lm_buf *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < t->n; i++) {
		size_t width = render_width(t->cells[i]);
		size_t *column = &widths[i % t->columns];
		*column = width > *column ? width : *column;
	}
	for (size_t i = 0; i < t->n; i++) {
		bool last = i % t->columns == t->columns - 1;

		if (last)
			(void)lm_buf_puts(out, t->cells[i]);
		else
			render_padded(out, t->cells[i], widths[i % t->columns] + TABLE_GAP);
		if (last || i == t->n - 1)
			(void)lm_buf_putc(out, '\n');
		free(t->cells[i]);
	}
	free(t->cells);
	*t = (struct table){.columns = t->columns};
}
