// SPDX-License-Identifier: Apache-2.0
#include "registry/unpacker.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

enum { CONTENT = 300000, ROOM = 1 << 20 };

static bool on_out(void *ctx, struct lm_str piece)
{
	assert_true(lm_buf_add_str(ctx, piece));
	return true;
}

static void fill(struct lm_buf *content)
{
	uint32_t n = 1;

	while (content->len < CONTENT) {
		n = n * 1664525 + 1013904223;
		(void)lm_buf_putc(content, (char)('a' + (n >> 28)));
	}
}

static void gzip(struct lm_str in, struct lm_buf *out)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = (Bytef *)lm_buf_reserve(out, ROOM / 2);
	z.avail_out = ROOM / 2;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	(void)deflateEnd(&z);
}

static void zstd(struct lm_str in, struct lm_buf *out)
{
	size_t n = ZSTD_compress(lm_buf_reserve(out, ROOM / 2), ROOM / 2, in.p, in.n, 3);

	assert_false(ZSTD_isError(n));
	out->len += n;
}

/// Whether it is complete and undamaged.
static bool unpack(struct lm_str packed, size_t piece, struct lm_buf *out)
{
	lm_auto(unpacker_destroy_p) struct unpacker *u = NULL;

	lm_buf_clear(out);
	assert_true(unpacker_knows(packed));
	u = unpacker_create(packed, on_out, out);
	for (size_t at = 0; at < packed.n; at += piece) {
		size_t n = packed.n - at < piece ? packed.n - at : piece;

		(void)unpacker_feed(u, (struct lm_str){packed.p + at, n});
	}
	return unpacker_end(u);
}

static void unpacks_gzip_and_zstd_however_they_are_cut(void **state)
{
	static void (*const packers[])(struct lm_str in, struct lm_buf * out) = {gzip, zstd};
	static const size_t pieces[] = {1, 1000, ROOM};
	lm_auto_buf struct lm_buf content = LM_BUF(ROOM);
	lm_auto_buf struct lm_buf out = LM_BUF(ROOM);
	(void)state;

	fill(&content);
	for (size_t k = 0; k < LM_ARRAY_SIZE(packers); k++) {
		lm_auto_buf struct lm_buf packed = LM_BUF(ROOM);

		packers[k](lm_buf_str(&content), &packed);
		for (size_t i = 0; i < LM_ARRAY_SIZE(pieces); i++) {
			assert_true(unpack(lm_buf_str(&packed), pieces[i], &out));
			assert_true(lm_str_eq(lm_buf_str(&out), lm_buf_str(&content)));
		}
		struct lm_str cut = {packed.data, packed.len - 1};
		assert_false(unpack(cut, ROOM, &out));
		packers[k](LM_STR("and more"), &packed); // several streams, one behind the other
		assert_true(unpack(lm_buf_str(&packed), 1000, &out));
		assert_int_equal(out.len, content.len + strlen("and more"));
	}
}

static void what_fills_the_buffer_exactly_is_complete(void **state)
{
	static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072};
	lm_auto_buf struct lm_buf content = LM_BUF(ROOM);
	lm_auto_buf struct lm_buf out = LM_BUF(ROOM);
	(void)state;

	fill(&content);
	for (size_t i = 0; i < LM_ARRAY_SIZE(sizes); i++) {
		lm_auto_buf struct lm_buf a = LM_BUF(ROOM);
		lm_auto_buf struct lm_buf b = LM_BUF(ROOM);

		gzip((struct lm_str){content.data, sizes[i]}, &a);
		assert_true(unpack(lm_buf_str(&a), ROOM, &out));
		assert_int_equal(out.len, sizes[i]);
		zstd((struct lm_str){content.data, sizes[i]}, &b);
		assert_true(unpack(lm_buf_str(&b), ROOM, &out));
		assert_int_equal(out.len, sizes[i]);
	}
}

static void knows_what_is_not_compressed(void **state)
{
	(void)state;
	assert_false(unpacker_knows(LM_STR("")));
	assert_false(unpacker_knows(LM_STR("\x1f")));
	assert_false(unpacker_knows(LM_STR("{}")));
	assert_false(unpacker_knows(LM_STR("\x28\xb5\x2f")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unpacks_gzip_and_zstd_however_they_are_cut),
		cmocka_unit_test(what_fills_the_buffer_exactly_is_complete),
		cmocka_unit_test(knows_what_is_not_compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
