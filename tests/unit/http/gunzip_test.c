// SPDX-License-Identifier: Apache-2.0
#include "http/gunzip.h"

#include "base/cleanup.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <zlib.h>

#include <cmocka.h>

static void add_member(struct lm_buf *out, const char *text)
{
	unsigned char packed[256];
	z_stream z = {
		.next_in = (Bytef *)(uintptr_t)text,
		.avail_in = (uInt)strlen(text),
		.next_out = packed,
		.avail_out = sizeof(packed),
	};

	assert_int_equal(
		deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_true(lm_buf_add(out, packed, z.total_out));
	(void)deflateEnd(&z);
}

static void joins_members(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);
	lm_auto_buf struct lm_buf out = LM_BUF(11);

	(void)state;
	add_member(&in, "hello ");
	add_member(&in, "world");
	assert_int_equal(gunzip(lm_buf_str(&in), &out, NULL), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "hello world");
}

static void refuses_every_truncation(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);

	(void)state;
	add_member(&in, "hello hello hello");
	for (size_t n = 0; n < in.len; n++) {
		lm_auto_buf struct lm_buf out = LM_BUF(100);
		struct lm_str part = {in.data, n};

		assert_int_equal(gunzip(part, &out, NULL), LM_E_PROTOCOL);
	}
}

static void refuses_damage_and_what_follows_that_is_no_gzip(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);
	lm_auto_buf struct lm_buf out = LM_BUF(1000);

	(void)state;
	add_member(&in, "hello");
	assert_true(lm_buf_puts(&in, "rubbish behind it"));
	assert_int_equal(gunzip(lm_buf_str(&in), &out, NULL), LM_E_PROTOCOL);
	in.data[15] ^= 1;
	assert_int_equal(gunzip(lm_buf_str(&in), &out, NULL), LM_E_PROTOCOL);
	assert_int_equal(gunzip(LM_STR("version: '3'"), &out, NULL), LM_E_PROTOCOL);
}

static void stops_at_the_ceiling(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);
	lm_auto_buf struct lm_buf out = LM_BUF(4);

	(void)state;
	add_member(&in, "hello");
	assert_int_equal(gunzip(lm_buf_str(&in), &out, NULL), LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_members),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_damage_and_what_follows_that_is_no_gzip),
		cmocka_unit_test(stops_at_the_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
