// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static char text[FORMAT_SIZE];

static void durations_have_two_units_at_most(void **state)
{
	(void)state;
	assert_string_equal(format_duration(-5, text), "0.0 s");
	assert_string_equal(format_duration(4249, text), "4.2 s");
	assert_string_equal(format_duration(59999, text), "59.9 s");
	assert_string_equal(format_duration(192000, text), "3 min 12 s");
	assert_string_equal(format_duration(7500000, text), "2 h 5 min");
	assert_string_equal(format_duration(273600000, text), "3 d 4 h");
	assert_string_equal(format_duration(INT64_MAX, text), "106751991167 d 7 h");
}

static void ago_is_rounded_down(void **state)
{
	(void)state;
	assert_string_equal(format_ago(1000, 1000, text), "0 s ago");
	assert_string_equal(format_ago(0, 59999, text), "59 s ago");
	assert_string_equal(format_ago(0, 60000, text), "1 min ago");
	assert_string_equal(format_ago(0, 7199999, text), "1 h ago");
	assert_string_equal(format_ago(0, 86400000, text), "1 d ago");
}

static void a_clock_that_was_set_is_no_nonsense(void **state)
{
	(void)state;
	assert_string_equal(format_ago(60000, 0, text), "0 s ago");
	assert_string_equal(format_ago(60001, 0, text), "in the future");
	assert_string_equal(format_ago(INT64_MIN, INT64_MAX, text), "in the future");
}

static void assert_wrapped(const char *s, size_t columns, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(256);

	render_wrapped(&out, s, columns, 2);
	assert_string_equal(lm_buf_cstr(&out), expected);
}

static void lines_are_broken_at_blanks(void **state)
{
	(void)state;
	assert_wrapped("", 10, "");
	assert_wrapped("one two", 7, "one two");
	assert_wrapped("one two", 6, "one\n  two");
	assert_wrapped("one two three four", 9, "one two\n  three\n  four");
	assert_wrapped("a bbbbbbbbbbbb c", 5, "a\n  bbbbbbbbbbbb\n  c");
	assert_wrapped("港口 港口", 8, "港口\n  港口"); // two columns each
	assert_wrapped("one two three", SIZE_MAX, "one two three");
}

static void time_is_local_and_says_so(void **state)
{
	(void)state;
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	assert_string_equal(format_time(1597153144909, text), "2020-08-11T13:39:04+00:00");
	(void)setenv("TZ", "XYZ3:30", 1); // POSIX counts westward
	tzset();
	assert_string_equal(format_time(1597153144909, text), "2020-08-11T10:09:04-03:30");
	(void)setenv("TZ", "UTC0", 1);
	tzset();
}

static void sizes_are_decimal(void **state)
{
	(void)state;
	assert_string_equal(format_bytes(0, text), "0 B");
	assert_string_equal(format_bytes(999, text), "999 B");
	assert_string_equal(format_bytes(1000, text), "1.0 kB");
	assert_string_equal(format_bytes(999949, text), "999.9 kB");
	assert_string_equal(format_bytes(999950, text), "1.0 MB");
	assert_string_equal(format_bytes(12100000, text), "12.1 MB");
	assert_string_equal(format_bytes(UINT64_MAX, text), "18446744.1 TB");
}

static void a_part_is_in_the_unit_of_the_whole(void **state)
{
	(void)state;
	assert_string_equal(format_bytes_of(3400000, 12100000, text), "3.4 of 12.1 MB");
	assert_string_equal(format_bytes_of(3400, 12100000, text), "0.0 of 12.1 MB");
	assert_string_equal(format_bytes_of(0, 500, text), "0.0 of 0.5 kB");
}

static void assert_plain(const char *s, const char *expected)
{
	lm_auto_free char *plain = sanitize_text(s);

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
	lm_auto_free char *long_text = lm_xcalloc(5001, 1);

	(void)state;
	memset(long_text, 'x', 5000);
	lm_auto_free char *plain = sanitize_text(long_text);
	assert_int_equal(strspn(plain, "x"), 4096);
	assert_string_equal(plain + 4096, "…(5000 bytes)");
}

static void width_is_in_columns(void **state)
{
	(void)state;
	assert_int_equal(render_width(""), 0);
	assert_int_equal(render_width("web"), 3);
	assert_int_equal(render_width("Züge"), 4);
	assert_int_equal(render_width("港口"), 4);
	assert_int_equal(render_width("e\xcc\x81"), 1); // a combining accent
	assert_int_equal(render_width("🚢"), 2);
	assert_int_equal(render_width("\xe6"), 1); // half a character
}

static void assert_cut(const char *s, size_t columns, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(100);

	render_cut(&out, s, columns);
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

	render_tail(&out, s, columns);
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
	render_padded(&out, "港", 4);
	render_padded(&out, "ab", 4);
	render_padded(&out, "abcde", 4);
	assert_string_equal(out.data, "港  ab  abcde");
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	(void)state;
	static const char *const cells[] = {"A", "B", "ü-wide", "x", "y", "a long last cell"};
	struct table t = {.columns = 2};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);

	for (size_t i = 0; i < LM_ARRAY_SIZE(cells); i++)
		table_add(&t, lm_xstrdup(cells[i]));
	table_render(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "A       B\n"
					       "ü-wide  x\n"
					       "y       a long last cell\n");
}

static void what_is_empty_is_a_dash(void **state)
{
	(void)state;
	struct table t = {.columns = 3};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);

	table_add(&t, NULL);
	table_add(&t, lm_xstrdup(""));
	table_add(&t, lm_xstrdup("x"));
	table_render(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "-  -  x\n");
	table_render(&t, &out);
	assert_string_equal(lm_buf_cstr(&out), "-  -  x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_two_units_at_most),
		cmocka_unit_test(ago_is_rounded_down),
		cmocka_unit_test(a_clock_that_was_set_is_no_nonsense),
		cmocka_unit_test(lines_are_broken_at_blanks),
		cmocka_unit_test(time_is_local_and_says_so),
		cmocka_unit_test(sizes_are_decimal),
		cmocka_unit_test(a_part_is_in_the_unit_of_the_whole),
		cmocka_unit_test(nothing_can_command_the_terminal),
		cmocka_unit_test(a_long_text_has_a_ceiling),
		cmocka_unit_test(width_is_in_columns),
		cmocka_unit_test(cuts_at_whole_characters),
		cmocka_unit_test(cuts_on_the_left_at_whole_characters),
		cmocka_unit_test(pads_by_columns),
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(what_is_empty_is_a_dash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
