// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A growing byte buffer with a ceiling. What does not fit is refused whole and remembered in
/// `overflow`, so a chain of appends needs one check at its end. `data` is NUL-ended behind `len`
/// whenever it is not NULL.

#include "base/cleanup.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct lm_buf {
	char *data;
	size_t len;
	size_t size;
	size_t max;    ///< Ceiling for `len`.
	bool overflow; ///< Something did not fit since the last lm_buf_clear.
	bool wipe;     ///< Bytes are wiped when memory is given back or moved (secrets).
};

#define LM_BUF(ceiling) ((struct lm_buf){.max = (ceiling)})
#define LM_BUF_SECRET(ceiling) ((struct lm_buf){.max = (ceiling), .wipe = true})
#define lm_auto_buf lm_auto(lm_buf_finish)

/// False (and nothing is written) if the result would be over the ceiling. What is added may be
/// part of the buffer itself, except as an argument of lm_buf_printf and lm_buf_vprintf.
bool lm_buf_add(struct lm_buf *b, const void *p, size_t n);
bool lm_buf_add_str(struct lm_buf *b, struct lm_str s);
bool lm_buf_puts(struct lm_buf *b, const char *s);
bool lm_buf_putc(struct lm_buf *b, char c);
bool lm_buf_printf(struct lm_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool lm_buf_vprintf(struct lm_buf *b, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
/// Makes room for `n` more bytes and returns where they go, or NULL over the ceiling; the caller
/// then adds to `len` what it wrote.
char *lm_buf_reserve(struct lm_buf *b, size_t n);
/// Drops the first `n` bytes.
void lm_buf_consume(struct lm_buf *b, size_t n);
void lm_buf_clear(struct lm_buf *b);
/// Frees the memory; the buffer stays usable with its ceiling.
void lm_buf_finish(struct lm_buf *b);
static inline struct lm_str lm_buf_str(const struct lm_buf *b)
{
	return (struct lm_str){b->data ? b->data : "", b->len};
}
/// The text ("" if nothing was added); borrowed until the next change.
static inline const char *lm_buf_cstr(const struct lm_buf *b)
{
	return b->data ? b->data : "";
}
/// The memory itself, for the caller to free; never NULL.
char *lm_buf_take(struct lm_buf *b);
