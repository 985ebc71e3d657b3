// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct terminal_style PLAIN;

static json_t *parse(const char *text)
{
	json_t *check = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &check, &err), LM_OK);
	return check;
}

static void assert_text(
	const char *text, const struct terminal_style *style, bool is_more, const char *expected)
{
	lm_auto_json json_t *check = parse(text);
	lm_auto_buf struct lm_buf page = LM_BUF(65536);

	doctor_render(&page, style, check, is_more);
	assert_string_equal(page.data, expected);
}

static void a_check_is_a_line_in_columns(void **state)
{
	(void)state;
	assert_text("{\"check\":\"docker-compose\",\"ok\":true,\"warning\":false,"
		    "\"message\":\"/usr/bin/docker-compose, version 1.29.2\",\"mend\":null}",
		&PLAIN, false,
		"ok       docker-compose      /usr/bin/docker-compose, version 1.29.2\n");
	assert_text("{\"check\":\"root\",\"ok\":null,\"warning\":false,\"message\":\"not needed\","
		    "\"mend\":null}",
		&PLAIN, false, "-        root                not needed\n");
}

static void what_to_do_is_a_line_of_its_own(void **state)
{
	(void)state;
	assert_text("{\"check\":\"engine\",\"ok\":false,\"warning\":false,"
		    "\"message\":\"no Docker socket\",\"mend\":\"install it\"}",
		&PLAIN, false,
		"PROBLEM  engine              no Docker socket\n"
		"                             fix: install it\n");
}

static void another_line_of_a_check_does_not_repeat_its_name(void **state)
{
	(void)state;
	assert_text("{\"check\":\"destination\",\"ok\":true,\"warning\":true,"
		    "\"message\":\"every user can read it\",\"mend\":null}",
		&PLAIN, true, "warning                      every user can read it\n");
}

static void sentences_are_broken_at_the_width_of_a_terminal(void **state)
{
	(void)state;
	const struct terminal_style terminal = {.moving = true, .columns = 54, .rows = 24};
	const char *check = "{\"check\":\"engine\",\"ok\":false,\"warning\":false,"
			    "\"message\":\"no Docker socket at /var/run/docker.sock: "
			    "abcdefghijklmnopqrstuvwxyzabcdefghijkl\",\"mend\":\"install it\"}";

	assert_text(check, &terminal, false,
		"PROBLEM  engine              no Docker socket at\n"
		"                             /var/run/docker.sock:\n"
		"                             abcdefghijklmnopqrstuvwxyzabcdefghijkl\n"
		"                             fix: install it\n");
	const struct terminal_style narrow = {.moving = true, .columns = 20, .rows = 24};
	assert_text(check, &narrow, false,
		"PROBLEM  engine              no Docker socket at /var/run/docker.sock: "
		"abcdefghijklmnopqrstuvwxyzabcdefghijkl\n"
		"                             fix: install it\n");
}

static void colour_is_for_terminals(void **state)
{
	(void)state;
	const struct terminal_style terminal = {
		.moving = true, .colour = true, .columns = 80, .rows = 24};

	assert_text("{\"check\":\"clock\",\"ok\":false,\"warning\":false,\"message\":\"late\"}",
		&terminal, false, "\x1b[31mPROBLEM  \x1b[0mclock               late\n");
}

static void what_comes_from_elsewhere_cannot_move_the_cursor(void **state)
{
	(void)state;
	assert_text("{\"check\":\"a\\u001b[2J\",\"ok\":true,\"message\":\"b\\nc\\u001b[0m\"}",
		&PLAIN, false, "ok       a\\x1b[2J            b\\x0ac\\x1b[0m\n");
}

static void what_is_no_check_is_a_problem(void **state)
{
	(void)state;
	assert_text("{}", &PLAIN, false, "PROBLEM                      no message\n");
	assert_text("{\"check\":\"a\",\"ok\":1,\"message\":\"b\"}", &PLAIN, false,
		"PROBLEM  a                   b\n");
}

static void assert_sum(size_t wrong, size_t warnings, const char *expected)
{
	lm_auto_buf struct lm_buf page = LM_BUF(100);

	doctor_render_sum(&page, wrong, warnings);
	assert_string_equal(page.data, expected);
}

static void the_last_line_counts(void **state)
{
	(void)state;
	assert_sum(0, 0, "no problems found\n");
	assert_sum(0, 2, "no problems found, 2 warnings\n");
	assert_sum(1, 1, "1 problem found, 1 warning\n");
	assert_sum(3, 0, "3 problems found\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_check_is_a_line_in_columns),
		cmocka_unit_test(what_to_do_is_a_line_of_its_own),
		cmocka_unit_test(another_line_of_a_check_does_not_repeat_its_name),
		cmocka_unit_test(sentences_are_broken_at_the_width_of_a_terminal),
		cmocka_unit_test(colour_is_for_terminals),
		cmocka_unit_test(what_comes_from_elsewhere_cannot_move_the_cursor),
		cmocka_unit_test(what_is_no_check_is_a_problem),
		cmocka_unit_test(the_last_line_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
