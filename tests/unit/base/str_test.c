// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct lm_str NONE = {NULL, 0};

static void assert_str(struct lm_str s, const char *expected)
{
	assert_int_equal(s.n, strlen(expected));
	if (s.n)
		assert_memory_equal(s.p, expected, s.n);
}

static void equality_counts_length_and_nul(void **state)
{
	(void)state;
	assert_true(lm_str_eq(LM_STR("a\0b"), LM_STR("a\0b")));
	assert_false(lm_str_eq(LM_STR("a\0b"), LM_STR("a\0c")));
	assert_false(lm_str_eq(LM_STR("a"), LM_STR("ab")));
	assert_true(lm_str_eq(NONE, LM_STR("")));
	assert_true(lm_str_eq(lm_str(NULL), NONE));
}

static void nocase_is_for_ascii_letters_only(void **state)
{
	(void)state;
	assert_true(lm_str_eq_nocase(LM_STR("True"), LM_STR("tRUE")));
	assert_false(lm_str_eq_nocase(LM_STR("@["), LM_STR("`{"))); // beside the letters
	assert_false(lm_str_eq_nocase(LM_STR("\xc3\xbc"), LM_STR("\xc3\x9c")));
	assert_false(lm_str_eq_nocase(LM_STR("a"), LM_STR("")));
}

static void starts_and_ends(void **state)
{
	(void)state;
	assert_true(lm_str_starts(LM_STR("abc"), LM_STR("ab")));
	assert_false(lm_str_starts(LM_STR("a"), LM_STR("ab")));
	assert_true(lm_str_ends(LM_STR("abc"), LM_STR("bc")));
	assert_false(lm_str_ends(LM_STR("c"), LM_STR("bc")));
	assert_true(lm_str_starts(NONE, NONE));
	assert_true(lm_str_ends(NONE, NONE));
	assert_false(lm_str_ends(NONE, LM_STR("a")));
}

static void trim_takes_blanks_from_both_ends(void **state)
{
	(void)state;
	assert_str(lm_str_trim(LM_STR(" \t\r\na b\n ")), "a b");
	assert_str(lm_str_trim(LM_STR(" \n ")), "");
	assert_str(lm_str_trim(NONE), "");
}

static void cut_walks_through_the_pieces(void **state)
{
	(void)state;
	struct lm_str rest = LM_STR("a,,b");

	assert_str(lm_str_cut(&rest, ','), "a");
	assert_str(lm_str_cut(&rest, ','), "");
	assert_str(lm_str_cut(&rest, ','), "b");
	assert_int_equal(rest.n, 0);
	assert_str(lm_str_cut(&rest, ','), "");
	rest = NONE;
	assert_str(lm_str_cut(&rest, ','), "");
	assert_int_equal(lm_str_find(LM_STR("abc"), 'c'), 2);
	assert_int_equal(lm_str_find(LM_STR("abc"), 'x'), 3);
	assert_int_equal(lm_str_find(NONE, 'x'), 0);
}

static void reads_numbers_up_to_the_maximum(void **state)
{
	(void)state;
	uint64_t n = 7;

	assert_true(lm_str_to_u64(LM_STR("0"), 0, &n));
	assert_int_equal(n, 0);
	assert_true(lm_str_to_u64(LM_STR("4294967295"), UINT32_MAX, &n));
	assert_int_equal(n, UINT32_MAX);
	assert_true(lm_str_to_u64(LM_STR("18446744073709551615"), UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
}

static void refuses_what_is_no_number_and_leaves_the_result(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "07", "00", "0x1", "1.0",
		"18446744073709551616", "99999999999999999999999", "101", "a"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t max = i == 9 || i == 10 ? UINT64_MAX : 100;
		uint64_t n = 42;

		if (lm_str_to_u64(lm_str(bad[i]), max, &n))
			fail_msg("took '%s'", bad[i]);
		assert_int_equal(n, 42);
	}
	uint64_t n = 42;
	assert_false(lm_str_to_u64(LM_STR("1\0"), 100, &n));
	assert_false(lm_str_to_u64(NONE, 100, &n));
}

static void knows_well_formed_utf8(void **state)
{
	(void)state;
	static const char *const good[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2g",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80", "\xe1\x80g", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf1\x80\x80", "\xff", "a\xfe"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!lm_str_is_utf8(lm_str(good[i])))
			fail_msg("refused good sequence %zu", i);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (lm_str_is_utf8(lm_str(bad[i])))
			fail_msg("took bad sequence %zu", i);
	}
	assert_true(lm_str_is_utf8(NONE));
	assert_false(lm_str_is_utf8((struct lm_str){"\xc3\xbc", 1})); // its end is outside
}

static void assert_shortened(struct lm_str s, size_t max, const char *expected)
{
	// On the heap, exactly as large as promised, for the sanitizer to watch.
	size_t size = 4 * max + 32;
	char *out = malloc(size);

	assert_non_null(out);
	assert_ptr_equal(lm_str_shorten(s, max, out, size), out);
	assert_string_equal(out, expected);
	free(out);
}

static void shorten_leaves_what_fits(void **state)
{
	(void)state;
	assert_shortened(LM_STR("hello"), 5, "hello");
	assert_shortened(LM_STR(""), 5, "");
	assert_shortened(NONE, 0, "");
	assert_shortened(LM_STR("\xc3\xbc"), 2, "\xc3\xbc");
}

static void shorten_tells_how_long_it_was(void **state)
{
	(void)state;
	assert_shortened(LM_STR("hello!"), 5, "hello\xe2\x80\xa6(6 bytes)");
	assert_shortened(LM_STR("hello"), 0, "\xe2\x80\xa6(5 bytes)");
}

static void shorten_does_not_cut_inside_a_character(void **state)
{
	(void)state;
	assert_shortened(
		LM_STR("ab\xf0\x9f\x9a\xa2z"), 6, "ab\xf0\x9f\x9a\xa2\xe2\x80\xa6(7 bytes)");
	assert_shortened(LM_STR("ab\xf0\x9f\x9a\xa2z"), 5, "ab\xe2\x80\xa6(7 bytes)");
	assert_shortened(LM_STR("ab\xf0\x9f\x9a\xa2"), 3, "ab\xe2\x80\xa6(6 bytes)");
}

static void shorten_shows_controls_and_rubbish_as_hexadecimal(void **state)
{
	(void)state;
	assert_shortened(LM_STR("a\n\0\x1b\x7f\xff"), 10, "a\\x0a\\x00\\x1b\\x7f\\xff");
	assert_shortened(LM_STR("\xc2\x9b"), 10, "\\xc2\\x9b"); // CSI, as terminals know it
	assert_shortened(LM_STR("\xe2\x82"), 10, "\\xe2\\x82"); // ends in the middle
}

static void shorten_fits_into_what_its_header_asks_for(void **state)
{
	(void)state;
	static char worst[4096];

	memset(worst, 0xff, sizeof(worst));
	for (size_t max = 0; max < 40; max++) {
		size_t size = 4 * max + 32;
		char *out = malloc(size);

		assert_non_null(out);
		(void)lm_str_shorten((struct lm_str){worst, sizeof(worst)}, max, out, size);
		assert_int_equal(strlen(out), 4 * max + strlen("\xe2\x80\xa6(4096 bytes)"));
		free(out);
	}
}

static void shorten_stays_inside_an_output_that_is_too_small(void **state)
{
	(void)state;
	for (size_t size = 1; size < 40; size++) {
		char *out = malloc(size);

		assert_non_null(out);
		(void)lm_str_shorten(LM_STR("ab\xff\xf0\x9f\x9a\xa2 and more"), 100, out, size);
		assert_true(strnlen(out, size) < size);
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality_counts_length_and_nul),
		cmocka_unit_test(nocase_is_for_ascii_letters_only),
		cmocka_unit_test(starts_and_ends),
		cmocka_unit_test(trim_takes_blanks_from_both_ends),
		cmocka_unit_test(cut_walks_through_the_pieces),
		cmocka_unit_test(reads_numbers_up_to_the_maximum),
		cmocka_unit_test(refuses_what_is_no_number_and_leaves_the_result),
		cmocka_unit_test(knows_well_formed_utf8),
		cmocka_unit_test(shorten_leaves_what_fits),
		cmocka_unit_test(shorten_tells_how_long_it_was),
		cmocka_unit_test(shorten_does_not_cut_inside_a_character),
		cmocka_unit_test(shorten_shows_controls_and_rubbish_as_hexadecimal),
		cmocka_unit_test(shorten_fits_into_what_its_header_asks_for),
		cmocka_unit_test(shorten_stays_inside_an_output_that_is_too_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
