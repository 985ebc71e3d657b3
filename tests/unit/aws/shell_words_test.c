// SPDX-License-Identifier: Apache-2.0
#include "aws/shell_words.h"

#include "base/buf.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

/// The words, each in brackets.
static void assert_words(const char *text, const char *expected)
{
	lm_auto_shell_words struct shell_words w = {0};
	lm_auto_buf struct lm_buf shown = LM_BUF(4096);
	const char *why = NULL;

	if (!shell_words_split(lm_str(text), &w, &why))
		fail_msg("'%s' %s", text, why);
	for (size_t i = 0; i < w.n; i++)
		(void)lm_buf_printf(&shown, "[%s]", w.items[i]);
	assert_string_equal(lm_buf_cstr(&shown), expected);
	assert_null(w.items[w.n]);
}

static void splits_as_a_shell_does(void **state)
{
	(void)state;
	assert_words("", "");
	assert_words("  \t\r\n", "");
	assert_words("/usr/bin/x --a  b\t-c\n", "[/usr/bin/x][--a][b][-c]");
	assert_words("x 'a b' \"c d\" e\\ f", "[x][a b][c d][e f]");
	assert_words("x '' \"\"", "[x][][]");
	assert_words("a'b'\"c\"d", "[abcd]");
	assert_words("'a\\b' \"a\\b\" \"a\\\"b\" \"a\\\\b\" a\\\\b a\\b",
		"[a\\b][a\\b][a\"b][a\\b][a\\b][ab]");
}

static void does_nothing_else_that_a_shell_does(void **state)
{
	(void)state;
	assert_words("a;b|c $HOME `id` *.c #x ~ > y", "[a;b|c][$HOME][`id`][*.c][#x][~][>][y]");
}

static void refuses_what_is_not_closed(void **state)
{
	static const struct {
		struct lm_str text;
		const char *why;
	} cases[] = {
		{LM_STR("x 'a"), "has a quote that is not closed"},
		{LM_STR("x \"a"), "has a quote that is not closed"},
		{LM_STR("x \"a\\"), "ends with a backslash"},
		{LM_STR("x \\"), "ends with a backslash"},
		{LM_STR("x \0 y"), "holds a NUL"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct shell_words w = {0};
		const char *why = NULL;

		assert_false(shell_words_split(cases[i].text, &w, &why));
		assert_string_equal(why, cases[i].why);
		assert_null(w.items);
	}
}

static void has_a_ceiling(void **state)
{
	char text[2 * SHELL_WORDS_MAX + 3];
	struct shell_words w = {0};
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "a ", 2);
	assert_true(shell_words_split((struct lm_str){text, 2 * SHELL_WORDS_MAX}, &w, &why));
	assert_int_equal(w.n, SHELL_WORDS_MAX);
	shell_words_finish(&w);
	assert_false(shell_words_split((struct lm_str){text, 2 * SHELL_WORDS_MAX + 1}, &w, &why));
	assert_string_equal(why, "has too many words");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_as_a_shell_does),
		cmocka_unit_test(does_nothing_else_that_a_shell_does),
		cmocka_unit_test(refuses_what_is_not_closed),
		cmocka_unit_test(has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
