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
#include "base/memory.h"
#include "deploy/state_format.h"
#include "sys/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char path[64];
static int dir = -1;
static struct lm_err err;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/state_format_test.XXXXXX");
	if (!mkdtemp(path))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)close(dir);
	return lm_tree_remove(AT_FDCWD, path, &err) == LM_OK ? 0 : -1;
}

static void put(const char *text)
{
	assert_int_equal(lm_file_replace(dir, "format", lm_str(text), 0600, &err), LM_OK);
}

static void assert_ours(void)
{
	lm_auto_buf struct lm_buf text = LM_BUF(100);

	assert_int_equal(record_read(dir, "format", &text, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), "2\n");
}

static void a_directory_without_a_number_is_of_the_release_before_and_gets_one(void **state)
{
	(void)state;
	struct stat before, after;

	assert_int_equal(state_format_check("/nonexistent/state", &err), LM_OK);
	assert_int_equal(state_format_check(path, &err), LM_OK);
	assert_int_equal(fstatat(dir, "format", &before, 0), -1);
	assert_int_equal(state_format_mark(path, &err), LM_OK);
	assert_ours();
	assert_int_equal(state_format_check(path, &err), LM_OK);
	// It is written once.
	assert_int_equal(fstatat(dir, "format", &before, 0), 0);
	assert_int_equal(state_format_mark(path, &err), LM_OK);
	assert_int_equal(fstatat(dir, "format", &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void a_newer_one_is_refused(void **state)
{
	(void)state;
	lm_auto_free char *expected = lm_xasprintf(
		"a newer release of Lighterman wrote the state directory '%s' (format 3; this one "
		"reads up to 2)",
		path);

	assert_int_equal(record_replace(dir, "format", LM_STR("3\n"), &err), LM_OK);
	assert_int_equal(state_format_check(path, &err), LM_E_CONFLICT);
	assert_string_equal(err.msg, expected);
	put("3");
	assert_int_equal(state_format_check(path, &err), LM_E_CONFLICT);
	put("4294967295\n");
	assert_int_equal(state_format_check(path, &err), LM_E_CONFLICT);
	// A record of a format to come, with a checksum and members of its own.
	put("{\"lighterman\":\"format\",\"format\":3,\"blake3\":\"00ff\"}\n3\n");
	assert_int_equal(state_format_check(path, &err), LM_E_CONFLICT);
	assert_string_equal(err.msg, expected);
}

static void what_is_damaged_does_not_pass_for_newer(void **state)
{
	(void)state;
	put("{\"lighterman\":\"format\",\"format\":3,\"sha256\":\"00ff\"}\n2\n");
	assert_int_equal(state_format_check(path, &err), LM_OK);
	put("{\"lighterman\":\"format\",\"format\":2,\"sha256\":\"00ff\"}\n3\n");
	assert_int_equal(state_format_check(path, &err), LM_OK);
	put("{\"lighterman\":\"format\",\"format\":3}");
	assert_int_equal(state_format_check(path, &err), LM_OK);
	put("\"format\":,\n\n\n");
	assert_int_equal(state_format_check(path, &err), LM_OK);
	assert_int_equal(state_format_mark(path, &err), LM_OK);
	assert_ours();
}

static void an_older_one_is_taken_over(void **state)
{
	(void)state;
	put("1\n");
	assert_int_equal(state_format_check(path, &err), LM_OK);
	assert_int_equal(state_format_mark(path, &err), LM_OK);
	assert_ours();
}

static void a_damaged_one_says_nothing_and_is_set_aside(void **state)
{
	static const char *const texts[] = {"", "x", "-3", "3.5", "{}",
		"{\"lighterman\":\"format\",\"format\":2,\"sha256\":\"\"}\n3\n",
		"99999999999999999999\n", "333333333333333333333333333333333333333333333333333333"};
	struct stat st;
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		put(texts[i]);
		assert_int_equal(state_format_check(path, &err), LM_OK);
		assert_int_equal(state_format_mark(path, &err), LM_OK);
		assert_ours();
	}
	assert_int_equal(unlinkat(dir, "format", 0), 0);
	assert_int_equal(mkdirat(dir, "format", 0700), 0);
	assert_int_equal(state_format_check(path, &err), LM_OK);
	assert_int_equal(state_format_mark(path, &err), LM_OK);
	assert_ours();
	assert_int_equal(fstatat(dir, "format.damaged", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_directory_without_a_number_is_of_the_release_before_and_gets_one),
		TEST(a_newer_one_is_refused),
		TEST(what_is_damaged_does_not_pass_for_newer),
		TEST(an_older_one_is_taken_over),
		TEST(a_damaged_one_says_nothing_and_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
