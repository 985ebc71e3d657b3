// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include "base/memory.h"
#include "base/secret.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/// Makes room for `n` more bytes and a NUL. False over the ceiling.
static bool grow(struct lm_buf *b, size_t n)
{
	if (n > b->max || b->len > b->max - n) {
		b->overflow = true;
		return false;
	}
	size_t need = b->len + n + 1;
	if (need <= b->size)
		return true;

	size_t size = b->size ? b->size : 64;
	while (size < need)
		size *= 2;
	if (size - 1 > b->max)
		size = b->max + 1;
	if (b->wipe) { // realloc would leave a copy behind
		char *bigger = lm_xmalloc(size);
		if (b->data) {
			memcpy(bigger, b->data, b->len);
			lm_wipe(b->data, b->size);
			free(b->data);
		}
		b->data = bigger;
	} else {
		b->data = lm_xrealloc(b->data, size);
	}
	b->size = size;
	return true;
}

bool lm_buf_add(struct lm_buf *b, const void *p, size_t n)
{
	// The bytes may be the buffer's own, which growing moves.
	uintptr_t start = (uintptr_t)b->data;
	bool own = b->data && (uintptr_t)p >= start && (uintptr_t)p - start <= b->len;
	size_t offset = own ? (uintptr_t)p - start : 0;

	if (!grow(b, n))
		return false;
	if (n)
		memmove(b->data + b->len, own ? b->data + offset : p, n);
	b->len += n;
	b->data[b->len] = '\0';
	return true;
}

bool lm_buf_add_str(struct lm_buf *b, struct lm_str s)
{
	return lm_buf_add(b, s.p, s.n);
}

bool lm_buf_puts(struct lm_buf *b, const char *s)
{
	return lm_buf_add(b, s, strlen(s));
}

bool lm_buf_putc(struct lm_buf *b, char c)
{
	return lm_buf_add(b, &c, 1);
}

bool lm_buf_vprintf(struct lm_buf *b, const char *format, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		b->overflow = true; // or a chain of appends would not see it
	if (n < 0 || !grow(b, (size_t)n))
		return false;
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, format, ap);
	b->len += (size_t)n;
	return true;
}

bool lm_buf_printf(struct lm_buf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	bool fits = lm_buf_vprintf(b, format, ap);
	va_end(ap);
	return fits;
}

char *lm_buf_reserve(struct lm_buf *b, size_t n)
{
	if (!grow(b, n))
		return NULL;
	memset(b->data + b->len, 0, n + 1); // NUL-ended, however much of it the caller fills
	return b->data + b->len;
}

void lm_buf_consume(struct lm_buf *b, size_t n)
{
	if (n >= b->len) {
		n = b->len;
	}
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	if (b->wipe)
		lm_wipe(b->data + (b->len - n), n);
	b->len -= n;
	b->data[b->len] = '\0';
}

void lm_buf_clear(struct lm_buf *b)
{
	if (b->data) {
		if (b->wipe)
			lm_wipe(b->data, b->size);
		b->data[0] = '\0';
	}
	b->len = 0;
	b->overflow = false;
}

void lm_buf_finish(struct lm_buf *b)
{
	if (b->data && b->wipe)
		lm_wipe(b->data, b->size);
	free(b->data);
	*b = (struct lm_buf){.max = b->max, .wipe = b->wipe};
}

char *lm_buf_take(struct lm_buf *b)
{
	char *data = b->data ? b->data : lm_xstrdup("");

	*b = (struct lm_buf){.max = b->max, .wipe = b->wipe};
	return data;
}
