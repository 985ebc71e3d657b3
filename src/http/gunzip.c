// SPDX-License-Identifier: Apache-2.0
#include "http/gunzip.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <zlib.h>

enum { GZIP_ONLY = 16 + MAX_WBITS, STEP = 16 << 10 };

static void end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

/// One step: decompresses up to STEP bytes. Z_OK, Z_STREAM_END, or zlib's error.
static int step(z_stream *z, struct lm_buf *out, bool *ret_full)
{
	unsigned char piece[STEP];

	z->next_out = piece;
	z->avail_out = STEP;
	int rc = inflate(z, Z_NO_FLUSH);
	*ret_full = !lm_buf_add(out, piece, STEP - z->avail_out);
	return rc;
}

lm_rc gunzip(struct lm_str data, struct lm_buf *out, struct lm_err *err)
{
	lm_auto(end_inflate) z_stream z = {
		// zlib does not write through next_in; its type only lacks the const.
		.next_in = (Bytef *)(uintptr_t)data.p,
		.avail_in = (uInt)data.n,
	};

	if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
		return lm_fail(err, LM_E_SYS, 0, "its gzip data cannot be read: no memory");
	for (;;) {
		bool full = false;
		int rc = step(&z, out, &full);

		if (full)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"its gzip data holds more than %zu bytes", out->max);
		if (rc == Z_STREAM_END && !z.avail_in)
			return LM_OK;
		if (rc == Z_STREAM_END)
			rc = inflateReset(&z); // members may follow each other: RFC 1952 2.2
		if (rc == Z_BUF_ERROR || (rc == Z_OK && !z.avail_in && z.avail_out))
			return lm_fail(err, LM_E_PROTOCOL, 0, "its gzip data ends early");
		if (rc != Z_OK)
			return lm_fail(err, LM_E_PROTOCOL, 0, "its gzip data is damaged");
	}
}
