// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/// FIPS 180-2, appendix B, and the empty text.
static void hashes_as_the_standard_shows(void **state)
{
	lm_auto(lm_sha256_destroy_p) struct lm_sha256 *s = lm_sha256_create();
	char hex[LM_SHA256_HEX + 1];
	(void)state;

	lm_sha256_end(s, hex);
	assert_string_equal(
		hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	lm_sha256_add(s, LM_STR("abc"));
	lm_sha256_end(s, hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	lm_sha256_add(s, LM_STR("abcdbcdecdefdefgefghfghighij"));
	lm_sha256_add(s, LM_STR(""));
	lm_sha256_add(s, LM_STR("hijkijkljklmklmnlmnomnopnopq"));
	lm_sha256_end(s, hex);
	assert_string_equal(
		hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void at_once_and_in_pieces_is_the_same(void **state)
{
	char hex[LM_SHA256_HEX + 1];
	(void)state;

	lm_sha256_hex(LM_STR("abc"), hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hashes_as_the_standard_shows),
		cmocka_unit_test(at_once_and_in_pieces_is_the_same)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
