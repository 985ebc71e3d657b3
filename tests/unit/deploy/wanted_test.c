// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "base/file.h"
#include "deploy/wanted.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct lm_err err;

static void the_longest_text_fits(void **state)
{
	(void)state;
	const struct store_want longest = {
		{WANTED_DOWN, 999999999}, {WANTED_DOWN, 999999999}, true, 999999999};
	char text[WANTED_SIZE];
	struct store_want read;

	wanted_format(&longest, text);
	assert_string_equal(text, "down 999999999 touched from 999999999 else down 999999999");
	assert_true(wanted_parse(lm_str(text), &read));
	assert_int_equal(read.before.generation, 999999999);
	assert_int_equal(read.leaves, 999999999);
	const struct store_want after_failure = {
		{WANTED_DOWN, 999999999}, {WANTED_DOWN, 999999999}, true, .failed = 999999999};
	wanted_format(&after_failure, text);
	assert_string_equal(text, "down 999999999 touched else down 999999999 failed 999999999");
	assert_true(wanted_parse(lm_str(text), &read));
	assert_int_equal(read.failed, 999999999);
}

static void leaves_out_what_it_cannot_understand(void **state)
{
	static const struct {
		const char *text;
		struct store_want expected;
	} table[] = {
		{"up 4", {{WANTED_UP, 4}}},
		{"up 4 else", {{WANTED_UP, 4}}},
		{"up 4 else up", {{WANTED_UP, 4}}},
		{"up 4 else up 0", {{WANTED_UP, 4}}},
		{"up 4 else down 3", {{WANTED_UP, 4}, {WANTED_DOWN, 3}}},
		{"down 4 touched", {{WANTED_DOWN, 4}, .touched = true}},
		{"down 4 touched else up 9 x", {{WANTED_DOWN, 4}, {WANTED_UP, 9}, true}},
		{"up 3 touched from 4 else up 4", {{WANTED_UP, 3}, {WANTED_UP, 4}, true, 4}},
		{"up 3 from 4", {{WANTED_UP, 3}, .leaves = 4}},
		{"up 3 from", {{WANTED_UP, 3}}},
		{"up 3 from x", {{WANTED_UP, 3}}},
		{"down 3 touched failed 4", {{WANTED_DOWN, 3}, .touched = true, .failed = 4}},
		{"down 3 else up 2 failed 4", {{WANTED_DOWN, 3}, {WANTED_UP, 2}, .failed = 4}},
		{"down 3 failed", {{WANTED_DOWN, 3}}},
		{"up 4 twice", {{WANTED_UP, 4}}},
		{"up", {{0}}},
		{"", {{0}}},
		{"up 04", {{0}}},
		{"up -4", {{0}}},
		{"UP 4", {{0}}},
		{"up 2147483648", {{0}}},
		{"generations/4", {{0}}},
	};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct store_want read;
		const struct store_want *expected = &table[i].expected;

		assert_int_equal(wanted_parse(lm_str(table[i].text), &read),
			expected->wanted.state != WANTED_NOTHING);
		assert_int_equal(read.wanted.state, expected->wanted.state);
		assert_int_equal(read.wanted.generation, expected->wanted.generation);
		assert_int_equal(read.before.state, expected->before.state);
		assert_int_equal(read.before.generation, expected->before.generation);
		assert_int_equal(read.touched, expected->touched);
		assert_int_equal(read.leaves, expected->leaves);
		assert_int_equal(read.failed, expected->failed);
	}
}

static void is_a_link_that_is_replaced_or_removed(void **state)
{
	(void)state;
	char path[] = "/tmp/wanted_test.XXXXXX", text[64] = "";
	struct store_want wanted = {.wanted = {WANTED_UP, 1}}, read;

	assert_non_null(mkdtemp(path));
	lm_auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(wanted_read(dir, &read, &err), LM_OK);
	assert_int_equal(read.wanted.state, WANTED_NOTHING);
	for (unsigned n = 1; n < 3; n++) {
		wanted.wanted.generation = n;
		assert_int_equal(wanted_write(dir, &wanted, &err), LM_OK);
		assert_int_equal(wanted_read(dir, &read, &err), LM_OK);
		assert_int_equal(read.wanted.generation, n);
	}
	assert_int_equal(readlinkat(dir, WANTED_NAME, text, sizeof(text)), 4);
	wanted.wanted.state = WANTED_NOTHING;
	assert_int_equal(wanted_write(dir, &wanted, &err), LM_OK);
	assert_int_equal(readlinkat(dir, WANTED_NAME, text, sizeof(text)), -1);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_text_fits),
		cmocka_unit_test(leaves_out_what_it_cannot_understand),
		cmocka_unit_test(is_a_link_that_is_replaced_or_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
