// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/buf.h"
#include "base/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct kept {
	struct lm_buf lines;
	unsigned count;
	enum lm_level level;
};

static void keep(void *ctx, enum lm_level level, struct lm_str line)
{
	struct kept *kept = ctx;

	lm_buf_clear(&kept->lines);
	(void)lm_buf_add_str(&kept->lines, line);
	kept->level = level;
	kept->count++;
	errno = EBADF; // a sink may do this
}

static int begin(void **state)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return -1;
	kept->lines = LM_BUF(1 << 20);
	lm_log_set_sink(keep, kept);
	lm_log_set_level(LM_INFO);
	*state = kept;
	return 0;
}

static int end(void **state)
{
	struct kept *kept = *state;

	lm_log_set_sink(NULL, NULL);
	lm_buf_finish(&kept->lines);
	free(kept);
	return 0;
}

/// What stands behind the time.
static const char *behind_time(struct kept *kept)
{
	const char *text = lm_buf_cstr(&kept->lines);
	const char *at = strstr(text, "Z][");

	assert_int_equal(text[0], '[');
	assert_non_null(at);
	return at + 2;
}

/// What stands behind the place.
static const char *message(struct kept *kept)
{
	const char *comma = strchr(behind_time(kept), ',');

	assert_non_null(comma);
	return comma + 1;
}

static void a_line_has_time_level_place_and_message(void **state)
{
	struct kept *kept = *state;
	char wanted[64];

	(void)snprintf(wanted, sizeof(wanted), "[WARN]-log_test.c:%d,it is 7\n", __LINE__ + 1);
	lm_warn("%s is %d", "it", 7);
	assert_string_equal(behind_time(kept), wanted);
	assert_int_equal(kept->level, LM_WARN);
	assert_int_equal(kept->count, 1);
}

static void lower_levels_are_left_out(void **state)
{
	struct kept *kept = *state;

	lm_debug("no");
	assert_int_equal(kept->count, 0);
	lm_log_set_level(LM_DEBUG);
	lm_debug("yes");
	assert_string_equal(message(kept), "yes\n");
	lm_log_set_level(LM_ERROR);
	lm_warn("no");
	lm_error("yes");
	assert_int_equal(kept->count, 2);
}

static void a_message_cannot_forge_a_line(void **state)
{
	struct kept *kept = *state;

	lm_info("a\nb\tc\r\x1b[2J\x7f");
	assert_string_equal(message(kept), "a b c??[2J?\n");
}

static void errno_is_what_it_was_before(void **state)
{
	struct kept *kept = *state;

	errno = ENOENT;
	lm_info("open: %m");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(message(kept), "open: No such file or directory\n");
}

static void every_length_ends_with_one_newline_under_the_ceiling(void **state)
{
	struct kept *kept = *state;

	// The time's fraction is trimmed, so one round may miss the length that just fits.
	for (int i = 0; i < 10 * 55; i++) {
		int n = LIMIT_LOG_LINE - 50 + i % 55;

		lm_info("%*s", n, "x");
		assert_in_range(kept->lines.len, 1, LIMIT_LOG_LINE);
		assert_int_equal(kept->lines.data[kept->lines.len - 1], '\n');
	}
	assert_string_equal(message(kept), "(a message too long for a log line)\n");
}

static void without_a_sink_lines_go_to_stderr(void **state)
{
	(void)state;
	int ends[2];
	char said[200] = "";

	assert_int_equal(pipe(ends), 0);
	int old = dup(STDERR_FILENO);
	assert_true(old >= 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	lm_log_set_sink(NULL, NULL);
	lm_error("hello");
	(void)dup2(old, STDERR_FILENO);
	assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
	assert_non_null(strstr(said, "Z][ERROR]-log_test.c:"));
	assert_non_null(strstr(said, ",hello\n"));
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)close(old);
}

static void the_head_of_a_line_is_read(void **state)
{
	(void)state;
	int64_t ms = 0;
	enum lm_level level = LM_DEBUG;

	assert_true(
		lm_log_parse(LM_STR("[2020-08-11T13:39:04.909Z][WARN]-a.c:1,[x]"), &ms, &level));
	assert_int_equal(ms, 1597153144909);
	assert_int_equal(level, LM_WARN);
	assert_true(lm_log_parse(LM_STR("[2020-08-11T13:39:04Z][ERROR]-"), &ms, &level));
	assert_int_equal(level, LM_ERROR);
}

static void what_has_no_head_is_not_read(void **state)
{
	(void)state;
	static const char *const lines[] = {"", "[", "[]", "hello", "[2020-08-11T13:39:04Z]",
		"[2020-08-11T13:39:04Z][INFO]", "[2020-08-11T13:39:04Z][INFO] x",
		"[2020-08-11T13:39:04Z][FATAL]-x", "[2020-08-11][INFO]-x",
		"[2020-08-11T13:39:04Z] [INFO]-x", " [2020-08-11T13:39:04Z][INFO]-x"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int64_t ms = 77;
		enum lm_level level = LM_DEBUG;

		assert_false(lm_log_parse(lm_str(lines[i]), &ms, &level));
		assert_int_equal(ms, 77);
		assert_int_equal(level, LM_DEBUG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_line_has_time_level_place_and_message, begin, end),
		cmocka_unit_test_setup_teardown(lower_levels_are_left_out, begin, end),
		cmocka_unit_test_setup_teardown(a_message_cannot_forge_a_line, begin, end),
		cmocka_unit_test_setup_teardown(errno_is_what_it_was_before, begin, end),
		cmocka_unit_test_setup_teardown(
			every_length_ends_with_one_newline_under_the_ceiling, begin, end),
		cmocka_unit_test(the_head_of_a_line_is_read),
		cmocka_unit_test(what_has_no_head_is_not_read),
		cmocka_unit_test_setup_teardown(without_a_sink_lines_go_to_stderr, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
