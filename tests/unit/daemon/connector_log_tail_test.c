// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "daemon/connector_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	struct connector_log *log;
	struct lm_buf text;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/log_tail_test.XXXXXX", .text = LM_BUF(1 << 20)};
	assert_non_null(mkdtemp(f.folder));
	assert_int_equal(connector_log_open(f.folder, "eu-west-1", 16, &f.log, &f.err), LM_OK);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	connector_log_close(f->log);
	lm_buf_finish(&f->text);
	return lm_tree_remove(AT_FDCWD, f->folder, &err) ? 1 : 0;
}

static void write_lines(struct fixture *f, int from, int to)
{
	for (int i = from; i <= to; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "line %06d of the log\n", i);
		connector_log_write(f->log, lm_str(line));
	}
}

static const char *tail(struct fixture *f, unsigned lines)
{
	lm_buf_clear(&f->text);
	assert_int_equal(connector_log_tail(f->log, lines, &f->text, &f->err), LM_OK);
	return lm_buf_cstr(&f->text);
}

static void gives_the_last_lines(void **state)
{
	struct fixture *f = *state;

	write_lines(f, 1, 5);
	assert_string_equal(tail(f, 2), "line 000004 of the log\nline 000005 of the log\n");
	assert_string_equal(tail(f, 0), "");
	assert_int_equal(strlen(tail(f, 5)), 5 * strlen("line 000001 of the log\n"));
	assert_memory_equal(tail(f, 100), "line 000001", 11);
}

static void an_empty_log_has_none(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(tail(f, 10), "");
}

static void goes_on_in_older_parts(void **state)
{
	struct fixture *f = *state;

	write_lines(f, 1, 400); // 9,200 bytes, in parts of 4 KB
	const char *text = tail(f, 300);
	assert_memory_equal(text, "line 000101 of the log\nline 000102", 34);
	assert_int_equal(strlen(text), 300 * strlen("line 000001 of the log\n"));
}

static void what_was_pushed_out_is_not_there(void **state)
{
	struct fixture *f = *state;

	write_lines(f, 1, 2000);
	const char *text = tail(f, 2000);
	assert_memory_equal(text, "line ", 5);
	assert_in_range(strlen(text), 8 << 10, 16 << 10);
	assert_string_equal(text + strlen(text) - 23, "line 002000 of the log\n");
}

static void gives_whole_lines_of_the_newest_bytes_of_a_large_log(void **state)
{
	struct fixture *f = *state;

	connector_log_set_space(f->log, 8 << 10);
	write_lines(f, 1, 20000); // 460,000 bytes in one file
	const char *text = tail(f, 20000);
	assert_memory_equal(text, "line ", 5);
	assert_in_range(strlen(text), LIMIT_LOG_TAIL - 64, LIMIT_LOG_TAIL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_the_last_lines),
		TEST(an_empty_log_has_none),
		TEST(goes_on_in_older_parts),
		TEST(what_was_pushed_out_is_not_there),
		TEST(gives_whole_lines_of_the_newest_bytes_of_a_large_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
