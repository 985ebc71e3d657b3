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
#include "deploy/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int dir_fd = -1;
static char path[64];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/journal_test.XXXXXX");
	if (!mkdtemp(path))
		return -1;
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)close(dir_fd);
	struct lm_err err;
	return lm_tree_remove(AT_FDCWD, path, &err) == LM_OK ? 0 : -1;
}

static void put(const char *text)
{
	assert_int_equal(lm_file_replace(dir_fd, "journal", lm_str(text), 0600, NULL), LM_OK);
}

static struct journal_state read_all(void)
{
	struct journal_state state;
	struct lm_err err;

	memset(&state, 0x55, sizeof(state));
	assert_int_equal(journal_read(dir_fd, &state, &err), LM_OK);
	return state;
}

static void an_absent_or_empty_journal_means_nothing_is_under_way(void **state)
{
	(void)state;
	assert_int_equal(read_all().generation, 0);
	put("");
	assert_int_equal(read_all().generation, 0);
}

static void tells_the_attempt_and_its_last_stage(void **state)
{
	(void)state;
	assert_int_equal(journal_begin(dir_fd, 12, 3, NULL), LM_OK);
	assert_string_equal(read_all().stage, "");
	assert_int_equal(journal_stage(dir_fd, "fetch", NULL), LM_OK);
	assert_int_equal(journal_stage(dir_fd, "pull", NULL), LM_OK);
	struct journal_state j = read_all();

	assert_int_equal(j.generation, 12);
	assert_int_equal(j.attempt, 3);
	assert_string_equal(j.stage, "pull");
	assert_true(j.began_ms > 1500000000000 && j.stage_ms >= j.began_ms);
	assert_int_equal(journal_clear(dir_fd, NULL), LM_OK);
	assert_int_equal(read_all().generation, 0);
}

static void leaves_out_torn_and_damaged_lines(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned generation;
		const char *stage;
	} table[] = {
		{"begin 1 1 5\nstage pu", 1, ""},
		{"begin 1 1 5\nstage pull 6\nstage up 7", 1, "pull"},
		{"begin 1 1 5\nstage pullstage up 7\nstage down 8\n", 1, "down"},
		{"begin 1 1 5\nstage ../x 6\n", 1, ""},
		{"begin 1 1 5\nstage PULL 6\n", 1, ""},
		{"begin 1 1 5\nstage pull -6\n", 1, ""},
		{"begin 1 1 5\nstage pull 6 7\n", 1, ""},
		{"begin 1 1 5\nstage aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 6\n", 1, ""},
		{"begin 1 1 5\nstage aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 6\n", 1,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		put(table[i].text);
		struct journal_state j = read_all();

		assert_int_equal(j.generation, table[i].generation);
		assert_string_equal(j.stage, table[i].stage);
	}
}

static void a_line_behind_a_torn_one_is_lost_but_the_attempt_is_not(void **state)
{
	(void)state;
	put("begin 4 2 5\nstage pu");
	assert_int_equal(journal_stage(dir_fd, "down", NULL), LM_OK);
	assert_int_equal(journal_stage(dir_fd, "up", NULL), LM_OK);
	assert_int_equal(read_all().generation, 4);
	assert_string_equal(read_all().stage, "up");
}

static void refuses_what_is_no_stage(void **state)
{
	(void)state;
	static const char *const names[] = {
		"", "a b", "a\nb", "Up", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	assert_int_equal(journal_begin(dir_fd, 1, 1, NULL), LM_OK);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		assert_int_equal(journal_stage(dir_fd, names[i], NULL), LM_E_INVALID);
	assert_string_equal(read_all().stage, "");
}

static void is_bounded(void **state)
{
	(void)state;
	lm_rc rc = LM_OK;
	struct stat st;

	assert_int_equal(journal_begin(dir_fd, 1, 1, NULL), LM_OK);
	for (int i = 0; i < 10000 && rc == LM_OK; i++)
		rc = journal_stage(dir_fd, "pull", NULL);
	assert_int_equal(rc, LM_E_TOO_LARGE);
	assert_int_equal(fstatat(dir_fd, "journal", &st, 0), 0);
	assert_true(st.st_size <= JOURNAL_MAX);
	assert_string_equal(read_all().stage, "pull");
}

static void does_not_write_through_a_link(void **state)
{
	(void)state;
	struct lm_err err;
	struct journal_state j;

	assert_int_equal(journal_begin(dir_fd, 1, 1, NULL), LM_OK);
	assert_int_equal(renameat(dir_fd, "journal", dir_fd, "elsewhere"), 0);
	assert_int_equal(symlinkat("elsewhere", dir_fd, "journal"), 0);
	assert_int_equal(journal_stage(dir_fd, "up", &err), LM_E_SYS);
	assert_int_equal(journal_read(dir_fd, &j, &err), LM_E_INVALID);
	// A new one takes the link's place.
	assert_int_equal(journal_begin(dir_fd, 2, 1, &err), LM_OK);
	assert_int_equal(read_all().generation, 2);
	assert_int_equal(faccessat(dir_fd, "elsewhere", F_OK, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_absent_or_empty_journal_means_nothing_is_under_way),
		TEST(tells_the_attempt_and_its_last_stage),
		TEST(leaves_out_torn_and_damaged_lines),
		TEST(a_line_behind_a_torn_one_is_lost_but_the_attempt_is_not),
		TEST(refuses_what_is_no_stage),
		TEST(is_bounded),
		TEST(does_not_write_through_a_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
