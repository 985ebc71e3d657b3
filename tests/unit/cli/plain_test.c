// SPDX-License-Identifier: Apache-2.0
#include "cli/plain.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_plain(const char *s, const char *expected)
{
	lm_auto_free char *plain = plain_text(s);

	assert_string_equal(plain, expected);
}

static void nothing_can_command_the_terminal(void **state)
{
	(void)state;
	assert_plain("\x1b[2J", "\\x1b[2J");
	assert_plain("a\nb\r\tc\x7f", "a\\x0ab\\x0d\\x09c\\x7f");
	assert_plain("\xc2\x9b"
		     "2J",
		"\\xc2\\x9b2J"); // U+009B is CSI too
	assert_plain("Züge", "Züge");
	assert_plain("\xff", "\\xff");
	assert_plain(NULL, "");
}

static void a_long_text_has_a_ceiling(void **state)
{
	lm_auto_free char *text = lm_xcalloc(5001, 1);

	(void)state;
	memset(text, 'x', 5000);
	lm_auto_free char *plain = plain_text(text);
	assert_int_equal(strspn(plain, "x"), 4096);
	assert_string_equal(plain + 4096, "…(5000 bytes)");
}

static void width_is_in_columns(void **state)
{
	(void)state;
	assert_int_equal(plain_width(""), 0);
	assert_int_equal(plain_width("web"), 3);
	assert_int_equal(plain_width("Züge"), 4);
	assert_int_equal(plain_width("港口"), 4);
	assert_int_equal(plain_width("e\xcc\x81"), 1); // a combining accent
	assert_int_equal(plain_width("🚢"), 2);
	assert_int_equal(plain_width("\xe6"), 1); // half a character
}

static void assert_cut(const char *s, size_t columns, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	plain_add_cut(&out, s, columns);
	assert_string_equal(out.data ? out.data : "", expected);
}

static void cuts_at_whole_characters(void **state)
{
	(void)state;
	assert_cut("harbour", 7, "harbour");
	assert_cut("harbour", 6, "harbo…");
	assert_cut("harbour", 1, "…");
	assert_cut("harbour", 0, "");
	assert_cut("", 0, "");
	assert_cut("港口港口", 8, "港口港口");
	assert_cut("港口港口", 6, "港口…"); // one column stays free
}

static void assert_end(const char *s, size_t columns, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	plain_add_end(&out, s, columns);
	assert_string_equal(out.data ? out.data : "", expected);
}

static void cuts_on_the_left_at_whole_characters(void **state)
{
	(void)state;
	assert_end("harbour", 7, "harbour");
	assert_end("harbour", 6, "…rbour");
	assert_end("harbour", 1, "…");
	assert_end("harbour", 0, "");
	assert_end("", 0, "");
	assert_end("港口港口", 8, "港口港口");
	assert_end("港口港口", 6, "…港口"); // one column stays free
	assert_end("ae\xcc\x81"
		   "b",
		2, "…b"); // no accent without its letter
}

static void pads_by_columns(void **state)
{
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	(void)state;
	plain_add_padded(&out, "港", 4);
	plain_add_padded(&out, "ab", 4);
	plain_add_padded(&out, "abcde", 4);
	assert_string_equal(out.data, "港  ab  abcde");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_can_command_the_terminal),
		cmocka_unit_test(a_long_text_has_a_ceiling),
		cmocka_unit_test(width_is_in_columns),
		cmocka_unit_test(cuts_at_whole_characters),
		cmocka_unit_test(cuts_on_the_left_at_whole_characters),
		cmocka_unit_test(pads_by_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
