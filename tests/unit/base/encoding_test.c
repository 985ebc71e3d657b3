// SPDX-License-Identifier: Apache-2.0
#include "base/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void base64_encodes_the_vectors_of_rfc_4648(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(100);
		lm_auto_buf struct lm_buf back = LM_BUF(100);

		assert_true(lm_base64_encode(&out, lm_str(pairs[i][0]), LM_BASE64_STANDARD));
		assert_string_equal(lm_buf_cstr(&out), pairs[i][1]);
		assert_true(lm_base64_decode(&back, lm_str(pairs[i][1])));
		assert_string_equal(lm_buf_cstr(&back), pairs[i][0]);
	}
}

static void base64_knows_both_alphabets(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	assert_true(lm_base64_encode(&out, LM_STR("\xfb\xff"), LM_BASE64_STANDARD));
	assert_true(lm_base64_encode(&out, LM_STR("\xfb\xff"), LM_BASE64_URL));
	assert_string_equal(lm_buf_cstr(&out), "+/8=-_8=");
	lm_buf_clear(&out);
	assert_true(lm_base64_decode(&out, LM_STR("+/8=")));
	assert_true(lm_base64_decode(&out, LM_STR("-_8")));
	assert_memory_equal(out.data, "\xfb\xff\xfb\xff", 5);
}

static void base64_survives_every_byte_and_length(void **state)
{
	(void)state;
	unsigned char bytes[256];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (unsigned char)(i * 7 + 3);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		lm_auto_buf struct lm_buf text = LM_BUF(400);
		lm_auto_buf struct lm_buf back = LM_BUF(256);

		assert_true(lm_base64_encode(
			&text, (struct lm_str){(char *)bytes, n}, LM_BASE64_STANDARD));
		assert_true(lm_base64_decode(&back, lm_buf_str(&text)));
		assert_int_equal(back.len, n);
		if (n)
			assert_memory_equal(back.data, bytes, n);
	}
}

static void base64_decode_skips_line_ends(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	assert_true(lm_base64_decode(&out, LM_STR("Zm9v\r\nYg=\n=\n")));
	assert_string_equal(lm_buf_cstr(&out), "foob");
}

static void base64_decode_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {"Z", "Zm9vY", "Zm9v!", "Zm 9v",
		"Zg=", "Zg===", "Zm8==", "Zm9v=", "=",
		"==", "====", "Zg==Zg==", "Z===", "\xc3\xbc"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(100);

		if (lm_base64_decode(&out, lm_str(bad[i])))
			fail_msg("took '%s'", bad[i]);
	}
	lm_auto_buf struct lm_buf small = LM_BUF(2);
	assert_false(lm_base64_decode(&small, LM_STR("Zm9v")));
	assert_false(lm_base64_encode(&small, LM_STR("f"), LM_BASE64_STANDARD));
}

static void knows_a_sha256(void **state)
{
	(void)state;
	char text[LM_SHA256_HEX + 1];

	memset(text, 'f', sizeof(text));
	assert_true(lm_hex_is_sha256((struct lm_str){text, LM_SHA256_HEX}));
	assert_false(lm_hex_is_sha256((struct lm_str){text, LM_SHA256_HEX - 1}));
	assert_false(lm_hex_is_sha256((struct lm_str){text, LM_SHA256_HEX + 1}));
	for (size_t i = 0; i < 4; i++) {
		text[40] = "Fg/\0"[i];
		assert_false(lm_hex_is_sha256((struct lm_str){text, LM_SHA256_HEX}));
	}
}

static void hex_is_lower_case(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(8);

	assert_true(lm_hex_encode(&out, LM_STR("\0\x0f\xab\xff")));
	assert_string_equal(lm_buf_cstr(&out), "000fabff");
	assert_false(lm_hex_encode(&out, LM_STR("a")));
}

static void percent_encodes_all_but_the_unreserved(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(200);

	assert_true(lm_percent_encode(&out, LM_STR("AZaz09-_.~"), false));
	assert_string_equal(lm_buf_cstr(&out), "AZaz09-_.~");
	lm_buf_clear(&out);
	assert_true(lm_percent_encode(&out, LM_STR("a b+c/%20=\xc3\xbc"), false));
	assert_string_equal(lm_buf_cstr(&out), "a%20b%2Bc%2F%2520%3D%C3%BC");
	lm_buf_clear(&out);
	assert_true(lm_percent_encode(&out, LM_STR("/a/\0"), true));
	assert_string_equal(lm_buf_cstr(&out), "/a/%00");
}

static void percent_decode_undoes_every_byte(void **state)
{
	(void)state;
	char bytes[256];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (char)i;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	lm_auto_buf struct lm_buf back = LM_BUF(256);
	assert_true(lm_percent_encode(&text, (struct lm_str){bytes, 256}, false));
	assert_true(lm_percent_decode(&back, lm_buf_str(&text)));
	assert_int_equal(back.len, 256);
	assert_memory_equal(back.data, bytes, 256);
}

static void percent_decode_leaves_a_plus_and_takes_lower_case(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(10);

	assert_true(lm_percent_decode(&out, LM_STR("a+%c3%bC")));
	assert_string_equal(lm_buf_cstr(&out), "a+\xc3\xbc");
}

static void percent_decode_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {"%", "a%", "%4", "%4g", "%g4", "%%41", "%-1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(100);

		if (lm_percent_decode(&out, lm_str(bad[i])))
			fail_msg("took '%s'", bad[i]);
	}
	// The digits must be inside the text, not merely behind it.
	lm_auto_buf struct lm_buf out = LM_BUF(100);
	assert_false(lm_percent_decode(&out, (struct lm_str){"%41", 2}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_encodes_the_vectors_of_rfc_4648),
		cmocka_unit_test(base64_knows_both_alphabets),
		cmocka_unit_test(base64_survives_every_byte_and_length),
		cmocka_unit_test(base64_decode_skips_line_ends),
		cmocka_unit_test(base64_decode_refuses),
		cmocka_unit_test(knows_a_sha256),
		cmocka_unit_test(hex_is_lower_case),
		cmocka_unit_test(percent_encodes_all_but_the_unreserved),
		cmocka_unit_test(percent_decode_undoes_every_byte),
		cmocka_unit_test(percent_decode_leaves_a_plus_and_takes_lower_case),
		cmocka_unit_test(percent_decode_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
