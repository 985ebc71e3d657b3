// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fail_tells_class_errno_and_text(void **state)
{
	(void)state;
	struct lm_err err = {0};

	assert_int_equal(lm_fail(&err, LM_E_SYS, ENOENT, "open '%s': %m", "/x"), LM_E_SYS);
	assert_int_equal(err.rc, LM_E_SYS);
	assert_int_equal(err.sys, ENOENT);
	assert_string_equal(err.msg, "open '/x': No such file or directory");
}

static void wrap_puts_words_in_front_and_keeps_the_class(void **state)
{
	(void)state;
	struct lm_err err = {0};

	(void)lm_fail(&err, LM_E_TIMEOUT, 0, "no answer");
	assert_int_equal(lm_wrap(&err, "pull %s", "web"), LM_E_TIMEOUT);
	assert_int_equal(lm_wrap(&err, "deploy"), LM_E_TIMEOUT);
	assert_string_equal(err.msg, "deploy: pull web: no answer");
}

static void a_message_may_be_made_of_the_old_one(void **state)
{
	(void)state;
	struct lm_err err = {0};

	(void)lm_fail(&err, LM_E_SYS, 0, "first");
	(void)lm_fail(&err, LM_E_DENIED, 0, "second after %s", err.msg);
	assert_string_equal(err.msg, "second after first");
	(void)lm_wrap(&err, "[%s]", err.msg);
	assert_string_equal(err.msg, "[second after first]: second after first");
}

static void nobody_need_ask_for_the_text(void **state)
{
	(void)state;
	assert_int_equal(lm_fail(NULL, LM_E_REFUSED, 0, "%s", "x"), LM_E_REFUSED);
	assert_int_not_equal(lm_wrap(NULL, "x"), LM_OK);
}

static void the_message_is_one_line_without_controls(void **state)
{
	(void)state;
	struct lm_err err = {0};

	(void)lm_fail(&err, LM_E_REFUSED, 0, "a\nb\r\tc\x1b[31m\x7f");
	assert_string_equal(err.msg, "a b  c?[31m?");
	(void)lm_wrap(&err, "w\x01\n");
	assert_string_equal(err.msg, "w? : a b  c?[31m?");
}

static void exactly_what_fits_is_not_marked_as_cut(void **state)
{
	(void)state;
	struct lm_err err = {0};

	(void)lm_fail(&err, LM_E_SYS, 0, "%*s", LM_ERR_MSG_SIZE - 1, "x");
	assert_int_equal(strlen(err.msg), LM_ERR_MSG_SIZE - 1);
	assert_int_equal(err.msg[LM_ERR_MSG_SIZE - 2], 'x');
}

static void a_long_message_is_cut_and_marked(void **state)
{
	(void)state;
	struct lm_err err = {0};

	(void)lm_fail(&err, LM_E_SYS, 0, "%*s", LM_ERR_MSG_SIZE, "x");
	assert_int_equal(strlen(err.msg), LM_ERR_MSG_SIZE - 1);
	assert_string_equal(err.msg + LM_ERR_MSG_SIZE - 4, "...");

	(void)lm_fail(&err, LM_E_SYS, 0, "cause");
	(void)lm_wrap(&err, "%*s", 5 * LM_ERR_MSG_SIZE, "x");
	assert_int_equal(strlen(err.msg), LM_ERR_MSG_SIZE - 1);
	assert_string_equal(err.msg + LM_ERR_MSG_SIZE - 4, "...");
}

static void cutting_keeps_utf8_whole(void **state)
{
	(void)state;
	struct lm_err err = {0};
	char text[2 * LM_ERR_MSG_SIZE] = "";

	for (size_t shift = 0; shift < 4; shift++) {
		memset(text, 'a', shift);
		for (size_t i = shift; i + 5 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x9a\xa2", 5); // a ship
		(void)lm_fail(&err, LM_E_SYS, 0, "%s", text);
		assert_true(lm_str_is_utf8(lm_str(err.msg)));
		assert_true(lm_str_ends(lm_str(err.msg), LM_STR("...")));
		(void)lm_wrap(&err, "w");
		assert_true(lm_str_is_utf8(lm_str(err.msg)));
	}
}

static void every_class_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int a = LM_OK; a <= LM_E_CANCELLED; a++) {
		assert_string_not_equal(lm_rc_name((lm_rc)a), "unknown");
		for (int b = LM_OK; b < a; b++)
			assert_string_not_equal(lm_rc_name((lm_rc)a), lm_rc_name((lm_rc)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_tells_class_errno_and_text),
		cmocka_unit_test(wrap_puts_words_in_front_and_keeps_the_class),
		cmocka_unit_test(a_message_may_be_made_of_the_old_one),
		cmocka_unit_test(nobody_need_ask_for_the_text),
		cmocka_unit_test(the_message_is_one_line_without_controls),
		cmocka_unit_test(exactly_what_fits_is_not_marked_as_cut),
		cmocka_unit_test(a_long_message_is_cut_and_marked),
		cmocka_unit_test(cutting_keeps_utf8_whole),
		cmocka_unit_test(every_class_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
