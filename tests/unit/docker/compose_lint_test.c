// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_lint.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void take(void *ctx, const char *message)
{
	(void)lm_buf_printf(ctx, "%s\n", message);
}

static void assert_found(const char *text, unsigned generation, const char *found)
{
	lm_auto_buf struct lm_buf messages = LM_BUF(4000);

	compose_lint(lm_str(text), generation, take, &messages);
	assert_string_equal(lm_buf_cstr(&messages), found);
}

static void finds_numbers_of_base_60(void **state)
{
	(void)state;
	static const char text[] = "services:\n"
				   "  web:\n"
				   "    ports:\n"
				   "      - 22:22\n"
				   "      - 8080:80\n"
				   "      - \"23:23\"\n"
				   "      - 127.0.0.1:24:24\n"
				   "      - 25:25/udp\n"
				   "    labels: {at: 1:02:03, not: 0:10, nor: '1:1'}\n";

	assert_found(text, 1,
		"line 4, column 9: port 22:22 is not in quotes, and docker-compose 1 reads it as "
		"the "
		"number 1342 (of base 60): put it in quotes\n"
		"line 9, column 18: a value is not in quotes, and docker-compose 1 reads it as a "
		"number of base 60: put it in quotes\n");
	assert_found(text, 2, "");
}

static void finds_keys_that_stand_twice(void **state)
{
	(void)state;
	static const char text[] = "services:\n"
				   "  web: {image: a, image: b}\n"
				   "  db: {<<: {image: a}, <<: {labels: [x]}}\n"
				   "  web: {image: c}\n";

	assert_found(text, 1,
		"line 2, column 19: 'image' stands here a second time (first in line 2), and "
		"docker-compose 1 takes the last one only: remove one of them\n"
		"line 4, column 3: 'web' stands here a second time (first in line 2), and "
		"docker-compose 1 takes the last one only: remove one of them\n");
	assert_found(text, 2, "");
}

static void finds_numbers_of_other_bases_where_a_text_is_wanted(void **state)
{
	(void)state;
	static const char text[] =
		"services:\n"
		"  web:\n"
		"    environment: {A: 022, B: '022', C: 089, D: 0, E: 0x1F, F: 0x}\n"
		"    ports: [0010]\n"
		"    secrets: [{source: s, mode: 0440}]\n"
		"---\n"
		"services: {db: {labels: {l: 0o17}}}\n";
	static const char both[] =
		"line 3, column 22: a value that begins with 0 is not in quotes, and "
		"docker-compose "
		"reads it as a number of base 8: put it in quotes\n"
		"line 3, column 54: a value that begins with 0 is not in quotes, and "
		"docker-compose "
		"reads it as a number of base 16: put it in quotes\n"
		"line 4, column 13: a port that begins with 0 is not in quotes, and docker-compose "
		"reads it as a number of base 8: put it in quotes\n";
	lm_auto_buf struct lm_buf second = LM_BUF(4000);

	(void)lm_buf_printf(&second,
		"%sline 7, column 29: a value that begins with 0 is not in quotes, and "
		"docker-compose reads it as a number of base 8: put it in quotes\n",
		both);
	assert_found(text, 1, both);
	assert_found(text, 2, lm_buf_cstr(&second));
}

static void what_aliases_repeat_is_told_once_and_a_flood_is_cut(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(10000), messages = LM_BUF(100000);
	size_t lines = 0;

	assert_found("a: &a [1:30]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1,
		"line 1, column 8: a value is not in quotes, and docker-compose 1 reads it as a "
		"number of base 60: put it in quotes\n");
	for (size_t i = 0; i < 1000; i++)
		(void)lm_buf_puts(&text, "- 1:30\n");
	compose_lint(lm_buf_str(&text), 1, take, &messages);
	for (size_t i = 0; i < messages.len; i++)
		lines += messages.data[i] == '\n';
	assert_int_equal(lines, 50);
}

static void finds_nothing_in_what_is_no_yaml(void **state)
{
	(void)state;
	assert_found("", 1, "");
	assert_found("a: [", 1, "");
	assert_found("22:22", 1,
		"line 1, column 1: a value is not in quotes, and docker-compose 1 reads it as a "
		"number of base 60: put it in quotes\n");
	assert_found("[99999999:10, '', ':', 1:, :1, 1:60, 1::2]", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_numbers_of_base_60),
		cmocka_unit_test(finds_keys_that_stand_twice),
		cmocka_unit_test(finds_numbers_of_other_bases_where_a_text_is_wanted),
		cmocka_unit_test(what_aliases_repeat_is_told_once_and_a_flood_is_cut),
		cmocka_unit_test(finds_nothing_in_what_is_no_yaml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
