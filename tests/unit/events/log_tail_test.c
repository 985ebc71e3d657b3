// SPDX-License-Identifier: Apache-2.0
#include "events/log_tail.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#define HEAD(stream, n) "" stream "\0\0\0\0\0\0" n
#define OUT(n) HEAD("\1", n)
#define ERR(n) HEAD("\2", n)

static struct log_tail t;

static int setup(void **unused)
{
	(void)unused;
	log_tail_init(&t);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	log_tail_finish(&t);
	return 0;
}

static void feed(struct lm_str bytes, size_t step)
{
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < bytes.n; i += step) {
		size_t n = bytes.n - i < step ? bytes.n - i : step;
		assert_int_equal(log_tail_feed(&t, (struct lm_str){bytes.p + i, n}, &err), LM_OK);
	}
}

static void assert_lines(const char *expected)
{
	lm_auto_json json_t *lines = log_tail_lines(&t);
	lm_auto_free char *text = json_dumps(lines, JSON_COMPACT);

	assert_string_equal(text, expected);
}

static void joins_the_frames_of_both_streams(void **unused)
{
	(void)unused;
	static const char bytes[] =
		OUT("\5") "one\nt" ERR("\6") "bad\nxy" OUT("\3") "wo\n" OUT("\0");

	for (size_t step = 1; step < sizeof(bytes); step++) {
		feed((struct lm_str){bytes, sizeof(bytes) - 1}, step);
		assert_lines("[\"one\",\"tbad\",\"xywo\"]");
		(void)teardown(NULL);
		(void)setup(NULL);
	}
}

static void takes_the_output_of_a_terminal_as_it_is(void **unused)
{
	(void)unused;
	static const char bytes[] = "login: admin\r\nPassword:\r\n";

	for (size_t step = 1; step < sizeof(bytes); step++) {
		feed((struct lm_str){bytes, sizeof(bytes) - 1}, step);
		assert_lines("[\"login: admin\",\"Password:\"]");
		(void)teardown(NULL);
		(void)setup(NULL);
	}
}

static void output_shorter_than_a_head_is_not_lost(void **unused)
{
	(void)unused;
	feed(LM_STR("hi\n"), 3);
	assert_lines("[\"hi\"]");
}

static void a_container_that_said_nothing_has_no_lines(void **unused)
{
	(void)unused;
	assert_lines("[]");
}

static void a_frame_without_a_head_is_an_error_and_what_came_stays(void **unused)
{
	(void)unused;
	struct lm_err err = {LM_OK};

	assert_int_equal(log_tail_feed(&t, LM_STR(OUT("\3") "ok\nrubbish!"), &err), LM_E_PROTOCOL);
	assert_lines("[\"ok\"]");
}

static void keeps_the_last_twenty_lines(void **unused)
{
	(void)unused;
	char line[64];

	for (int i = 1; i <= 30; i++) {
		int n = snprintf(line, sizeof(line), "a line with the number %d\n", i);
		feed((struct lm_str){line, (size_t)n}, 64);
	}
	lm_auto_json json_t *lines = log_tail_lines(&t);
	assert_int_equal(json_array_size(lines), LIMIT_CRASH_LINES);
	assert_string_equal(
		json_string_value(json_array_get(lines, 0)), "a line with the number 11");
	assert_string_equal(
		json_string_value(json_array_get(lines, 19)), "a line with the number 30");
}

static void megabytes_take_no_more_memory_than_kilobytes(void **unused)
{
	(void)unused;
	char *much = malloc(1 << 20);

	memset(much, 'x', 1 << 20);
	for (int i = 0; i < 8; i++)
		feed((struct lm_str){much, 1 << 20}, 1 << 20);
	free(much);
	assert_true(t.text.size <= 4 * LIMIT_CRASH_LOG);
	lm_auto_json json_t *lines = log_tail_lines(&t);
	assert_int_equal(json_array_size(lines), 1);
	const char *line = json_string_value(json_array_get(lines, 0));
	assert_true(strlen(line) < 1100);
	assert_non_null(strstr(line, "xxx…("));
}

static void all_lines_together_have_a_ceiling(void **unused)
{
	(void)unused;
	char line[1000];

	memset(line, 0x01, sizeof(line) - 1); // each becomes four bytes
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 10; i++)
		log_tail_feed_json(&t, LM_STR("{\"log\":\"short\\n\"}\n"));
	feed((struct lm_str){line, sizeof(line)}, sizeof(line));
	feed((struct lm_str){line, sizeof(line)}, sizeof(line));
	feed((struct lm_str){line, sizeof(line)}, sizeof(line));
	lm_auto_json json_t *lines = log_tail_lines(&t);
	size_t bytes = 0;
	for (size_t i = 0; i < json_array_size(lines); i++)
		bytes += json_string_length(json_array_get(lines, i));
	assert_true(bytes > 0 && bytes <= LIMIT_CRASH_LOG);
}

static void what_is_no_text_is_escaped(void **unused)
{
	(void)unused;
	feed(LM_STR("\x1b[31mred\tr\xc3\xb6t\xff\n"), 64);
	assert_lines("[\"\\\\x1b[31mred\\\\x09röt\\\\xff\"]");
}

static void reads_lines_of_the_default_driver(void **unused)
{
	(void)unused;
	log_tail_feed_json(&t,
		LM_STR("{\"log\":\"first\\n\",\"stream\":\"stdout\",\"time\":\"2020-08-11T13:39:04Z"
		       "\"}\n"
		       "{\"log\":\"no end \",\"stream\":\"stderr\"}\n"
		       "rubbish\n{}\n[1]\n{\"log\":7}\n"
		       "{\"log\":\"of line\\n\"}\n"
		       "{\"log\":\"a\\u0000b\\n\"}\n"
		       "{\"log\":\"torn"));
	assert_lines("[\"first\",\"no end of line\",\"a\\\\x00b\"]");
}

/// A file of so many lines.
static void write_file(char path[64], int lines)
{
	(void)snprintf(path, 64, "/tmp/log_tail.XXXXXX");
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	for (int i = 0; i < lines; i++)
		(void)fprintf(file, "{\"log\":\"line %d\\n\",\"stream\":\"stdout\"}\n", i);
	(void)fclose(file);
}

static void reads_the_end_of_a_file(void **unused)
{
	(void)unused;
	char path[64];
	struct lm_err err = {LM_OK};

	write_file(path, 10000);
	assert_int_equal(log_tail_read_file(&t, path, &err), LM_OK);
	(void)unlink(path);
	lm_auto_json json_t *lines = log_tail_lines(&t);
	assert_int_equal(json_array_size(lines), 20);
	assert_string_equal(json_string_value(json_array_get(lines, 0)), "line 9980");
	assert_string_equal(json_string_value(json_array_get(lines, 19)), "line 9999");
}

static void an_empty_file_is_a_log_without_lines(void **unused)
{
	(void)unused;
	char path[64];
	struct lm_err err = {LM_OK};

	write_file(path, 0);
	assert_int_equal(log_tail_read_file(&t, path, &err), LM_OK);
	assert_lines("[]");
	(void)unlink(path);
}

static void a_file_that_was_just_begun_anew_is_not_the_log(void **unused)
{
	(void)unused;
	char path[64], older[80];
	struct lm_err err = {LM_OK};

	write_file(path, 0);
	(void)snprintf(older, sizeof(older), "%s.1", path);
	assert_int_equal(symlink("/dev/null", older), 0);
	assert_int_equal(log_tail_read_file(&t, path, &err), LM_E_NOT_FOUND);
	(void)unlink(older);
	(void)unlink(path);
}

static void a_file_that_is_none_is_refused(void **unused)
{
	(void)unused;
	struct lm_err err = {LM_OK};

	assert_int_equal(log_tail_read_file(&t, "/nonexistent/log", &err), LM_E_NOT_FOUND);
	assert_int_equal(log_tail_read_file(&t, "/tmp", &err), LM_E_SYS);
}

#define TAIL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void only_lines_of_the_time_that_is_asked_for_are_kept(void **state)
{
	static const char lines[] =
		"{\"log\":\"before\\n\",\"time\":\"2026-01-01T00:00:01.5Z\"}\n"
		"{\"log\":\"first\\n\",\"time\":\"2026-01-01T00:00:02.000000001Z\"}\n"
		"{\"log\":\"timeless\\n\"}\n"
		"{\"log\":\"last\\n\",\"time\":\"2026-01-01T00:00:03Z\"}\n"
		"{\"log\":\"after\\n\",\"time\":\"2026-01-01T00:00:03.25Z\"}\n";
	const int64_t zero_ms = 1767225600000;

	(void)state;
	log_tail_init(&t);
	t.from_ms = zero_ms + 1500;
	t.until_ms = zero_ms + 3000;
	log_tail_feed_json(&t, lm_str(lines));
	lm_auto_json json_t *found = log_tail_lines(&t);
	lm_auto_json json_t *expected = json_pack("[s, s, s]", "first", "timeless", "last");
	assert_true(json_equal(found, expected));
	log_tail_finish(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_lines_of_the_time_that_is_asked_for_are_kept),
		TAIL_TEST(joins_the_frames_of_both_streams),
		TAIL_TEST(takes_the_output_of_a_terminal_as_it_is),
		TAIL_TEST(output_shorter_than_a_head_is_not_lost),
		TAIL_TEST(a_container_that_said_nothing_has_no_lines),
		TAIL_TEST(a_frame_without_a_head_is_an_error_and_what_came_stays),
		TAIL_TEST(keeps_the_last_twenty_lines),
		TAIL_TEST(megabytes_take_no_more_memory_than_kilobytes),
		TAIL_TEST(all_lines_together_have_a_ceiling),
		TAIL_TEST(what_is_no_text_is_escaped),
		TAIL_TEST(reads_lines_of_the_default_driver),
		TAIL_TEST(reads_the_end_of_a_file),
		TAIL_TEST(an_empty_file_is_a_log_without_lines),
		TAIL_TEST(a_file_that_was_just_begun_anew_is_not_the_log),
		TAIL_TEST(a_file_that_is_none_is_refused),
	};

	return cmocka_run_group_tests_name("events/log_tail", tests, NULL, NULL);
}
