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
		"line 9, column 18: a value is not in quotes, and docker-compose 1 reads it as the "
		"number 3723 (of base 60): put it in quotes\n");
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

static void finds_nothing_in_what_is_no_yaml(void **state)
{
	(void)state;
	assert_found("", 1, "");
	assert_found("a: [", 1, "");
	assert_found("22:22", 1,
		"line 1, column 1: a value is not in quotes, and docker-compose 1 reads it as the "
		"number 1342 (of base 60): put it in quotes\n");
	assert_found("[99999999:10, '', ':', 1:, :1, 1:60, 1::2]", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_numbers_of_base_60),
		cmocka_unit_test(finds_keys_that_stand_twice),
		cmocka_unit_test(finds_nothing_in_what_is_no_yaml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
