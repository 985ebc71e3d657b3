// SPDX-License-Identifier: Apache-2.0

/// A record, whatever is in it; and one made of the input, then with one of its bits changed.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/record.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "outcome.json"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_free char *copy = lm_xmemdup0(data, size);
	lm_auto_buf struct lm_buf text = LM_BUF(size + RECORD_HEADER_MAX);
	const struct lm_str input = {copy, size};
	struct lm_str document = {0};
	struct lm_err err;

	// A document is a part of the text.
	if (record_parse(NAME, input, &document, &err) == LM_OK &&
		(document.p < copy || document.p + document.n != copy + size))
		abort();
	if (record_make(NAME, input, &text, &err) != LM_OK)
		return 0;
	if (record_parse(NAME, lm_buf_str(&text), &document, &err) != LM_OK ||
		!lm_str_eq(document, input))
		abort();
	size_t bit = (size * 2654435761u + data[size - 1]) % (text.len * 8);
	text.data[bit / 8] ^= (char)(1 << bit % 8);
	if (record_parse(NAME, lm_buf_str(&text), &document, &err) == LM_OK)
		abort();
	return 0;
}
