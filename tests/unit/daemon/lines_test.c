// SPDX-License-Identifier: Apache-2.0
#include "daemon/lines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINE_MAX = 8 };

struct fixture {
	int write_fd;
	struct lines lines;
	struct lm_buf seen;
	bool end;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	f = (struct fixture){
		.write_fd = ends[1],
		.lines = {.fd = ends[0], .pending = LM_BUF(LINE_MAX)},
		.seen = LM_BUF(200),
	};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lm_cleanup_close(&f->write_fd);
	(void)close(f->lines.fd);
	lines_finish(&f->lines);
	lm_buf_finish(&f->seen);
	return 0;
}

static void see(void *ctx, struct lm_str line)
{
	(void)lm_buf_printf(ctx, "<%.*s>", LM_STR_ARG(line));
}

static lm_rc feed(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->write_fd, text, strlen(text)), strlen(text));
	return lines_read(&f->lines, see, &f->seen, &f->end, &f->err);
}

static void end_stream(struct fixture *f)
{
	lm_cleanup_close(&f->write_fd);
	f->write_fd = -1;
	assert_int_equal(lines_read(&f->lines, see, &f->seen, &f->end, &f->err), LM_OK);
}

static void hands_over_complete_lines_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "one\n\ntw"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<one><>");
	assert_int_equal(feed(f, "o\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<one><><two>");
	assert_false(f->end);
}

static void the_last_line_needs_no_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "a\nlast"), LM_OK);
	end_stream(f);
	assert_string_equal(lm_buf_cstr(&f->seen), "<a><last>");
	assert_true(f->end);
}

static void refuses_a_line_over_the_ceiling(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "12345678\n"), LM_E_TOO_LARGE);
	assert_string_equal(f->err.msg, "a line is longer than 8 bytes");
}

static void takes_a_line_of_the_ceiling_with_its_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "1234567\n1234567\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<1234567><1234567>");
}

static void cuts_a_long_line_into_pieces_if_asked_to(void **state)
{
	struct fixture *f = *state;

	f->lines.in_pieces = true;
	assert_int_equal(feed(f, "1234567890\nx\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<12345678><90><x>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hands_over_complete_lines_only, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_line_needs_no_end, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_line_over_the_ceiling, setup, teardown),
		cmocka_unit_test_setup_teardown(
			takes_a_line_of_the_ceiling_with_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			cuts_a_long_line_into_pieces_if_asked_to, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
