// SPDX-License-Identifier: Apache-2.0
#include "daemon/connector_log.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR_PATH "ggc/var/log/user/us-east-1/aws"
#define LOG_PATH DIR_PATH "/DockerApplicationDeployment.log"

struct fixture {
	char folder[64];
	struct connector_log *log;
	int next; ///< Number of the next line.
};

static struct fixture f;
static struct lm_err err;

static int setup(void **state)
{
	f = (struct fixture){0};
	(void)snprintf(f.folder, sizeof(f.folder), "/tmp/connector_log_test.XXXXXX");
	*state = &f;
	return mkdtemp(f.folder) ? chdir(f.folder) : -1;
}

static int teardown(void **state)
{
	(void)state;
	connector_log_close(f.log);
	if (chdir("/") != 0)
		return -1;
	return lm_tree_remove(AT_FDCWD, f.folder, NULL);
}

static void start(unsigned space_kb)
{
	assert_int_equal(connector_log_open(f.folder, "us-east-1", space_kb, &f.log, &err), LM_OK);
}

/// "line 000017 ......\n", `size` bytes.
static void write_line(size_t size)
{
	lm_auto_free char *line = lm_xmalloc(size + 32);

	memset(line, '.', size + 32);
	(void)snprintf(line, 12, "line %06d", f.next++);
	line[11] = ' ';
	line[size - 1] = '\n';
	connector_log_write(f.log, (struct lm_str){line, size});
}

static void write_lines(int n, size_t size)
{
	for (int i = 0; i < n; i++)
		write_line(size);
}

static void put(const char *path, struct lm_str text)
{
	lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(lm_fd_write_all(fd, path, text, NULL), LM_OK);
}

static bool read_part(const char *suffix, struct lm_buf *out)
{
	lm_auto_free char *path = lm_xasprintf(LOG_PATH "%s", suffix);

	return lm_file_read(path, out, NULL) == LM_OK;
}

/// All parts, the oldest line first.
static struct lm_buf read_all(void)
{
	struct lm_buf all = LM_BUF(64 << 20);

	(void)read_part(".3", &all);
	(void)read_part(".2", &all);
	(void)read_part(".1", &all);
	assert_true(read_part("", &all));
	return all;
}

/// The numbers of the lines that are there: one after the other, up to the last written. Returns
/// the first.
static int first_line(void)
{
	lm_auto_buf struct lm_buf all = read_all();
	struct lm_str rest = lm_buf_str(&all);
	int first = -1;
	int expected = -1;

	while (rest.n > 0) {
		struct lm_str line = lm_str_cut(&rest, '\n');
		int number = -1;

		assert_int_equal(sscanf(line.p, "line %06d ", &number), 1);
		if (expected < 0)
			first = expected = number;
		assert_int_equal(number, expected);
		expected++;
	}
	assert_int_equal(expected, f.next);
	return first;
}

static size_t total(void)
{
	lm_auto_buf struct lm_buf all = read_all();

	return all.len;
}

static void makes_what_is_missing_for_root_only(void **state)
{
	(void)state;
	struct stat st;
	mode_t mask = umask(0);

	assert_int_equal(mkdir("ggc", 0755), 0);
	start(128);
	(void)umask(mask);
	assert_int_equal(stat("ggc", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat("ggc/var", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(LOG_PATH, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void goes_on_in_the_file_that_is_there(void **state)
{
	(void)state;
	start(128);
	write_lines(2, 100);
	connector_log_close(lm_take(f.log));
	start(128);
	write_lines(2, 100);
	assert_int_equal(first_line(), 0);
	assert_int_equal(access(LOG_PATH ".1", F_OK), -1);
}

static void keeps_the_newest_lines_under_the_bound(void **state)
{
	(void)state;
	static const struct {
		unsigned space_kb;
		size_t line;
	} cases[] = {{1, 50}, {1, 200}, {2, 700}, {128, 100}, {128, LIMIT_LOG_LINE}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		size_t space = cases[i].space_kb << 10;
		size_t line = cases[i].line;

		f.next = 0;
		start(cases[i].space_kb);
		for (size_t written = 0; written < space * 5; written += line) {
			write_line(line);
			assert_true(total() <= space);
		}
		int kept = f.next - first_line();
		assert_true((size_t)kept * line + 2 * line > space / 2);
		connector_log_close(lm_take(f.log));
		assert_int_equal(lm_tree_remove(AT_FDCWD, "ggc", NULL), LM_OK);
	}
}

static void the_largest_space_is_none_too_large(void **state)
{
	(void)state;
	start(UINT32_MAX);
	write_lines(100, 1000);
	assert_int_equal(first_line(), 0);
}

static void a_line_over_the_bound_is_cut_between_characters(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_LOG_LINE);

	(void)lm_buf_puts(&line, "a");
	while (lm_buf_puts(&line, "\xc3\xa4") && line.len < 5000)
		;
	(void)lm_buf_puts(&line, "\n");
	start(1);
	connector_log_write(f.log, lm_buf_str(&line));
	lm_auto_buf struct lm_buf all = read_all();
	assert_in_range(all.len, 1020, 1024);
	assert_string_equal(lm_buf_cstr(&all) + all.len - 6, "\xc3\xa4...\n");
	assert_true(lm_str_is_utf8(lm_buf_str(&all)));
}

static void a_smaller_bound_holds_at_once(void **state)
{
	(void)state;
	start(128);
	write_lines(1200, 100);
	connector_log_set_space(f.log, 64);
	assert_true(total() <= 64 << 10);
	assert_true(first_line() > 0);
	connector_log_set_space(f.log, 1);
	assert_true(total() <= 1 << 10);
	int first = first_line();
	assert_true(first < f.next);
	write_lines(3, 100);
	assert_int_equal(first_line(), first);
}

static void a_larger_bound_keeps_more(void **state)
{
	(void)state;
	start(1);
	write_lines(10, 100);
	int first = first_line();
	connector_log_set_space(f.log, 128);
	write_lines(200, 100);
	assert_int_equal(first_line(), first);
	write_lines(5000, 100);
	assert_in_range(total(), 96 << 10, 128 << 10);
}

static void a_large_file_of_another_program_keeps_its_newest_lines(void **state)
{
	(void)state;
	start(1 << 20);
	write_lines(40000, 100);
	connector_log_close(lm_take(f.log));
	start(128);
	assert_in_range(total(), (96 << 10) - 200, 96 << 10);
	int first = first_line();
	write_lines(100, 100);
	assert_int_equal(first_line(), first);
}

static void a_kill_between_two_renames_loses_nothing(void **state)
{
	(void)state;
	static const char *const parts[][2] = {{LOG_PATH ".2", LOG_PATH ".3"},
		{LOG_PATH ".1", LOG_PATH ".2"}, {LOG_PATH, LOG_PATH ".1"}};

	start(4);
	write_lines(39, 100);
	connector_log_close(lm_take(f.log));
	for (size_t i = 0; i < LM_ARRAY_SIZE(parts); i++) {
		for (size_t done = 0; done <= i; done++)
			assert_int_equal(rename(parts[done][0], parts[done][1]), 0);
		start(4);
		int first = first_line();
		write_line(100);
		assert_int_equal(first_line(), first); // the gap was filled
		write_lines(9, 100);
		connector_log_close(lm_take(f.log));
	}
}

/// `n` lines in one call.
static void write_together(int n, size_t size)
{
	lm_auto_buf struct lm_buf lines = LM_BUF(1 << 20);

	for (int i = 0; i < n; i++) {
		size_t end = lines.len + size;

		(void)lm_buf_printf(&lines, "line %06d ", f.next++);
		while (lines.len < end - 1)
			(void)lm_buf_putc(&lines, '.');
		(void)lm_buf_putc(&lines, '\n');
	}
	connector_log_write(f.log, lm_buf_str(&lines));
}

static void lines_given_together_are_rotated_as_if_one_by_one(void **state)
{
	(void)state;
	start(10);
	for (int i = 0; i < 40; i++)
		write_line(97);
	write_together(500, 97);
	size_t together = total();
	int first = first_line();
	connector_log_close(lm_take(f.log));
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(setup(state), 0);
	start(10);
	for (int i = 0; i < 540; i++)
		write_line(97);
	assert_int_equal(total(), together);
	assert_int_equal(first_line(), first);
}

static void lines_given_together_of_which_one_is_over_the_bound_are_all_there(void **state)
{
	(void)state;
	start(1);
	write_together(3, 2000);
	lm_auto_buf struct lm_buf all = read_all();
	assert_true(all.len <= 1024);
	assert_non_null(strstr(lm_buf_cstr(&all), "line 000002 "));
	assert_int_equal(all.data[all.len - 1], '\n');
}

static void a_torn_line_is_removed(void **state)
{
	(void)state;
	start(128);
	write_lines(3, 100);
	connector_log_write(f.log, LM_STR("half a li"));
	connector_log_close(lm_take(f.log));
	start(128);
	write_line(100);
	assert_int_equal(first_line(), 0);
}

static void a_file_of_nothing_but_a_torn_line_becomes_empty(void **state)
{
	(void)state;
	start(128);
	connector_log_write(f.log, LM_STR("half a li"));
	connector_log_close(lm_take(f.log));
	start(128);
	assert_int_equal(total(), 0);
}

static void a_torn_line_of_another_program_gets_an_end(void **state)
{
	(void)state;
	size_t n = LIMIT_LOG_LINE * 2;
	lm_auto_free char *text = lm_xmalloc(n);

	memset(text, 'x', n);
	start(128);
	connector_log_close(lm_take(f.log));
	put(LOG_PATH, (struct lm_str){text, n});
	start(128);
	assert_int_equal(total(), n + 1);
}

static void a_file_removed_or_moved_is_made_anew(void **state)
{
	(void)state;
	start(128);
	write_line(100);
	assert_int_equal(unlink(LOG_PATH), 0);
	write_line(100);
	assert_int_equal(first_line(), 1);
	assert_int_equal(rename(LOG_PATH, LOG_PATH ".1"), 0);
	write_line(100);
	assert_int_equal(first_line(), 1);
	assert_int_equal(rename(DIR_PATH, DIR_PATH ".old"), 0);
	write_line(100);
	assert_int_equal(first_line(), 3);
	assert_int_equal(lm_tree_remove(AT_FDCWD, "ggc", NULL), LM_OK);
	write_line(100);
	assert_int_equal(first_line(), 4);
}

static void a_file_emptied_by_somebody_else_counts_as_empty(void **state)
{
	(void)state;
	start(1);
	write_lines(2, 100);
	assert_int_equal(truncate(LOG_PATH, 0), 0);
	write_lines(2, 100);
	assert_int_equal(access(LOG_PATH ".1", F_OK), -1);
	assert_int_equal(first_line(), 2);
}

static void a_link_is_not_followed(void **state)
{
	(void)state;
	start(128);
	connector_log_close(lm_take(f.log));
	assert_int_equal(unlink(LOG_PATH), 0);
	assert_int_equal(symlink("elsewhere", LOG_PATH), 0);
	assert_int_equal(
		connector_log_open(f.folder, "us-east-1", 128, &f.log, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, ".log' is not a regular file: remove it"));
	assert_int_equal(access(DIR_PATH "/elsewhere", F_OK), -1);
	assert_null(f.log);
}

static void something_else_than_a_file_is_refused(void **state)
{
	(void)state;
	start(128);
	connector_log_close(lm_take(f.log));
	assert_int_equal(unlink(LOG_PATH), 0);
	assert_int_equal(mkfifo(LOG_PATH, 0600), 0);
	assert_int_equal(
		connector_log_open(f.folder, "us-east-1", 128, &f.log, &err), LM_E_INVALID);
	assert_int_equal(unlink(LOG_PATH), 0);
	assert_int_equal(mkdir(LOG_PATH, 0700), 0);
	assert_int_equal(
		connector_log_open(f.folder, "us-east-1", 128, &f.log, &err), LM_E_INVALID);
	assert_int_equal(
		connector_log_open(f.folder, "../../etc", 128, &f.log, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "'../../etc' is not a valid region");
}

static void lines_that_cannot_be_written_are_counted(void **state)
{
	(void)state;
	start(128);
	write_line(100);
	assert_int_equal(rename(LOG_PATH, "aside"), 0);
	assert_int_equal(symlink("elsewhere", LOG_PATH), 0);
	write_lines(3, 100);
	assert_int_equal(rename("aside", LOG_PATH), 0);
	write_line(100);
	lm_auto_buf struct lm_buf all = read_all();
	assert_non_null(strstr(lm_buf_cstr(&all),
		"Z][WARN]-3 lines of this log were lost: Too many levels of symbolic links\nline "
		"000004 "));
}

/// A file size limit is as a full disk: it takes a part of a line, then nothing.
static void limit_files(rlim_t most)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_whole_lines_and_their_number(void **state)
{
	(void)state;
	start(128);
	limit_files(250);
	write_lines(3, 100);
	assert_int_equal(total(), 200);
	write_lines(1, 100);
	assert_int_equal(total(), 200);
	limit_files(RLIM_INFINITY);
	write_line(100);
	lm_auto_buf struct lm_buf all = read_all();
	const char *report =
		strstr(lm_buf_cstr(&all), "[WARN]-2 lines of this log were lost: disk full\n");
	assert_non_null(report);
	assert_non_null(strstr(report, "\nline 000004 "));
	connector_log_write(f.log, LM_STR("one more\n")); // report once
	lm_auto_buf struct lm_buf more = read_all();
	assert_int_equal(more.len, all.len + 9);
}

static void a_full_disk_takes_what_fits_of_lines_given_together(void **state)
{
	(void)state;
	start(128);
	limit_files(250);
	write_together(5, 100);
	assert_int_equal(total(), 200);
	limit_files(RLIM_INFINITY);
	write_together(2, 100);
	lm_auto_buf struct lm_buf all = read_all();
	assert_non_null(
		strstr(lm_buf_cstr(&all), "[WARN]-3 lines of this log were lost: disk full\n"));
	assert_non_null(strstr(lm_buf_cstr(&all), "\nline 000005 "));
	assert_non_null(strstr(lm_buf_cstr(&all), "\nline 000006 "));
}

static void what_cannot_be_rotated_is_written_on_to_under_the_bound(void **state)
{
	(void)state;
	start(1);
	assert_int_equal(mkdir(LOG_PATH ".1", 0700), 0);
	assert_int_equal(mkdir(LOG_PATH ".2", 0700), 0);
	assert_int_equal(mkdir(LOG_PATH ".3", 0700), 0);
	put(LOG_PATH ".1/x", LM_STR("x"));
	put(LOG_PATH ".2/x", LM_STR("x"));
	put(LOG_PATH ".3/x", LM_STR("x"));
	write_lines(10, 100);
	assert_int_equal(first_line(), 0);
	write_lines(2, 100);
	f.next = 10;
	assert_int_equal(first_line(), 0); // both lost: the bound matters more
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

struct tail_fixture {
	char folder[64];
	struct connector_log *log;
	struct lm_buf text;
	struct lm_err err;
};

static int set_up_tail(void **state)
{
	static struct tail_fixture t;

	t = (struct tail_fixture){.folder = "/tmp/log_tail_test.XXXXXX", .text = LM_BUF(1 << 20)};
	assert_non_null(mkdtemp(t.folder));
	assert_int_equal(connector_log_open(t.folder, "eu-west-1", 16, &t.log, &t.err), LM_OK);
	*state = &t;
	return 0;
}

static int tear_down_tail(void **state)
{
	struct tail_fixture *t = *state;

	connector_log_close(t->log);
	lm_buf_finish(&t->text);
	return lm_tree_remove(AT_FDCWD, t->folder, NULL) ? 1 : 0;
}

static void write_numbered(struct tail_fixture *t, int from, int to)
{
	for (int i = from; i <= to; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "line %06d of the log\n", i);
		connector_log_write(t->log, lm_str(line));
	}
}

static const char *tail(struct tail_fixture *t, unsigned lines)
{
	lm_buf_clear(&t->text);
	assert_int_equal(connector_log_tail(t->log, lines, &t->text, &t->err), LM_OK);
	return lm_buf_cstr(&t->text);
}

static void gives_the_last_lines(void **state)
{
	struct tail_fixture *t = *state;

	write_numbered(t, 1, 5);
	assert_string_equal(tail(t, 2), "line 000004 of the log\nline 000005 of the log\n");
	assert_string_equal(tail(t, 0), "");
	assert_int_equal(strlen(tail(t, 5)), 5 * strlen("line 000001 of the log\n"));
	assert_memory_equal(tail(t, 100), "line 000001", 11);
}

static void an_empty_log_has_none(void **state)
{
	struct tail_fixture *t = *state;

	assert_string_equal(tail(t, 10), "");
}

static void goes_on_in_older_parts(void **state)
{
	struct tail_fixture *t = *state;

	write_numbered(t, 1, 400); // 9,200 bytes, in parts of 4 KB
	const char *text = tail(t, 300);
	assert_memory_equal(text, "line 000101 of the log\nline 000102", 34);
	assert_int_equal(strlen(text), 300 * strlen("line 000001 of the log\n"));
}

static void what_was_pushed_out_is_not_there(void **state)
{
	struct tail_fixture *t = *state;

	write_numbered(t, 1, 2000);
	const char *text = tail(t, 2000);
	assert_memory_equal(text, "line ", 5);
	assert_in_range(strlen(text), 8 << 10, 16 << 10);
	assert_string_equal(text + strlen(text) - 23, "line 002000 of the log\n");
}

static void gives_whole_lines_of_the_newest_bytes_of_a_large_log(void **state)
{
	struct tail_fixture *t = *state;

	connector_log_set_space(t->log, 8 << 10);
	write_numbered(t, 1, 20000); // 460,000 bytes in one file
	const char *text = tail(t, 20000);
	assert_memory_equal(text, "line ", 5);
	assert_in_range(strlen(text), LIMIT_LOG_TAIL - 64, LIMIT_LOG_TAIL);
}

#define TAIL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_tail, tear_down_tail)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(makes_what_is_missing_for_root_only),
		LOG_TEST(goes_on_in_the_file_that_is_there),
		LOG_TEST(keeps_the_newest_lines_under_the_bound),
		LOG_TEST(the_largest_space_is_none_too_large),
		LOG_TEST(a_line_over_the_bound_is_cut_between_characters),
		LOG_TEST(a_smaller_bound_holds_at_once),
		LOG_TEST(a_larger_bound_keeps_more),
		LOG_TEST(a_large_file_of_another_program_keeps_its_newest_lines),
		LOG_TEST(a_kill_between_two_renames_loses_nothing),
		LOG_TEST(lines_given_together_are_rotated_as_if_one_by_one),
		LOG_TEST(lines_given_together_of_which_one_is_over_the_bound_are_all_there),
		LOG_TEST(a_full_disk_takes_what_fits_of_lines_given_together),
		LOG_TEST(a_torn_line_is_removed),
		LOG_TEST(a_file_of_nothing_but_a_torn_line_becomes_empty),
		LOG_TEST(a_torn_line_of_another_program_gets_an_end),
		LOG_TEST(a_file_removed_or_moved_is_made_anew),
		LOG_TEST(a_file_emptied_by_somebody_else_counts_as_empty),
		LOG_TEST(a_link_is_not_followed),
		LOG_TEST(something_else_than_a_file_is_refused),
		LOG_TEST(lines_that_cannot_be_written_are_counted),
		LOG_TEST(a_full_disk_leaves_whole_lines_and_their_number),
		LOG_TEST(what_cannot_be_rotated_is_written_on_to_under_the_bound),
		TAIL_TEST(gives_the_last_lines),
		TAIL_TEST(an_empty_log_has_none),
		TAIL_TEST(goes_on_in_older_parts),
		TAIL_TEST(what_was_pushed_out_is_not_there),
		TAIL_TEST(gives_whole_lines_of_the_newest_bytes_of_a_large_log),
	};

	return cmocka_run_group_tests_name("daemon/connector_log", tests, NULL, NULL);
}
