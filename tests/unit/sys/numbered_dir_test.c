// SPDX-License-Identifier: Apache-2.0
#include "sys/numbered_dir.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const SUFFIXES[] = {".a", ".json", NULL};
static char top[64], path[80];
static struct numbered_dir dir;
static unsigned ours, others;

static void reopen(void)
{
	struct lm_err err = {LM_OK};

	numbered_dir_finish(&dir);
	assert_int_equal(numbered_dir_open(path, SUFFIXES, &dir, &err), LM_OK);
}

static int setup(void **unused)
{
	(void)unused;
	(void)snprintf(top, sizeof(top), "/tmp/numbered_dir.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/parent/items", top);
	ours = others = 0;
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	numbered_dir_finish(&dir);
	return lm_tree_remove(AT_FDCWD, top, NULL) ? -1 : 0;
}

static void write_file(const char *name)
{
	assert_int_equal(lm_file_replace(dir.fd, name, LM_STR("x"), 0600, NULL), LM_OK);
}

static bool has_file(const char *name)
{
	return faccessat(dir.fd, name, F_OK, 0) == 0;
}

static void count(void *ctx, const char *name, const struct numbered_file *file)
{
	char again[NUMBERED_FILE_NAME_SIZE];

	assert_ptr_equal(ctx, &ours);
	ours += file != NULL;
	others += file == NULL;
	if (file)
		assert_string_equal(numbered_file_name(&dir, *file, again), name);
}

static void a_file_is_named_after_its_number_and_suffix(void **unused)
{
	(void)unused;
	struct stat st;

	reopen();
	assert_int_equal(
		numbered_dir_put(&dir, (struct numbered_file){7, 1}, LM_STR("{}"), NULL), LM_OK);
	assert_true(has_file("00000000000000000007.json"));
	assert_int_equal(fstatat(dir.fd, "00000000000000000007.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(dir.last, 7);
}

static void names_that_are_not_ours_are_not_taken(void **unused)
{
	(void)unused;
	static const char *const names[] = {"", "1.json", "00000000000000000001",
		"00000000000000000001.txt", "00000000000000000001.json.bad",
		"0000000000000000000x.json", "000000000000000000001.json",
		"18446744073709551615.json", "99999999999999999999.json"};
	struct numbered_file file = {42, 1};

	reopen();
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		assert_false(numbered_file_parse_name(&dir, names[i], &file));
	assert_int_equal(file.number, 42);
	assert_true(numbered_file_parse_name(&dir, "18446744073709551614.a", &file));
	assert_true(file.number == UINT64_MAX - 1);
	assert_int_equal(file.suffix, 0);
}

static void a_restart_finds_the_files_and_numbers_on(void **unused)
{
	(void)unused;
	reopen();
	for (uint64_t n = 1; n <= 3; n++)
		assert_int_equal(
			numbered_dir_put(&dir, (struct numbered_file){n, 0}, LM_STR(""), NULL),
			LM_OK);
	write_file("notes");
	write_file(".00000000000000000004.a.tmp");
	reopen();
	assert_int_equal(dir.last, 0);
	assert_int_equal(numbered_dir_list(&dir, count, &ours, NULL), LM_OK);
	assert_int_equal(ours, 3);
	assert_int_equal(others, 1);
	assert_int_equal(dir.last, 3);
	assert_true(has_file("notes"));
	assert_false(has_file(".00000000000000000004.a.tmp")); // half-written
	numbered_dir_reserve(&dir, 9);
	numbered_dir_reserve(&dir, 5);
	assert_int_equal(dir.last, 9);
}

static void a_file_that_is_gone_can_be_removed(void **unused)
{
	(void)unused;
	const struct numbered_file file = {1, 0};

	reopen();
	assert_int_equal(numbered_dir_put(&dir, file, LM_STR(""), NULL), LM_OK);
	assert_int_equal(numbered_dir_remove(&dir, file, NULL), LM_OK);
	assert_false(has_file("00000000000000000001.a"));
	assert_int_equal(numbered_dir_remove(&dir, file, NULL), LM_OK);
}

static void what_cannot_be_removed_is_an_error_that_names_it(void **unused)
{
	(void)unused;
	struct lm_err err = {LM_OK};

	reopen();
	assert_int_equal(mkdirat(dir.fd, "00000000000000000001.a", 0700), 0);
	assert_int_equal(numbered_dir_remove(&dir, (struct numbered_file){1, 0}, &err), LM_E_SYS);
	assert_non_null(strstr(err.msg, "/parent/items/00000000000000000001.a'"));
}

static void a_directory_that_is_none_is_an_error(void **unused)
{
	(void)unused;
	struct lm_err err = {LM_OK};

	(void)snprintf(path, sizeof(path), "%s/file", top);
	assert_int_equal(lm_file_replace(AT_FDCWD, path, LM_STR(""), 0600, NULL), LM_OK);
	assert_int_equal(numbered_dir_open(path, SUFFIXES, &dir, &err), LM_E_INVALID);
	assert_null(dir.path);
}

#define DIR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_file_is_named_after_its_number_and_suffix),
		DIR_TEST(names_that_are_not_ours_are_not_taken),
		DIR_TEST(a_restart_finds_the_files_and_numbers_on),
		DIR_TEST(a_file_that_is_gone_can_be_removed),
		DIR_TEST(what_cannot_be_removed_is_an_error_that_names_it),
		DIR_TEST(a_directory_that_is_none_is_an_error),
	};

	return cmocka_run_group_tests_name("sys/numbered_dir", tests, NULL, NULL);
}
