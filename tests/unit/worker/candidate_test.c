// SPDX-License-Identifier: Apache-2.0
#include "worker/candidate.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ABANDONED ".docker-compose.0123456789abcdef.yml"

struct place {
	char path[64];
	int fd;
};

static int set_up(void **state)
{
	struct place *p = lm_xcalloc(1, sizeof(*p));
	strncpy(p->path, "/tmp/candidate_test.XXXXXX", sizeof(p->path) - 1);
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct lm_err err;
	assert_int_equal(lm_tree_remove(AT_FDCWD, p->path, &err), LM_OK);
	close(p->fd);
	free(p);
	return 0;
}

static bool exists(const struct place *p, const char *name)
{
	struct stat st;
	return fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const struct place *p, const char *name)
{
	lm_auto_close int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static void keeps_every_byte_for_its_owner_alone_and_goes(void **state)
{
	struct place *p = *state;
	struct lm_str text = LM_STR("\xff\xfes\0e\0r\0v\0\n\r\n---\n");
	lm_auto_candidate struct candidate c = CANDIDATE_NONE;
	lm_auto_buf struct lm_buf read = LM_BUF(100);
	struct lm_err err = {LM_OK};
	struct stat st;
	mode_t before = umask(0);
	assert_int_equal(candidate_create(p->fd, p->path, text, &c, &err), LM_OK);
	umask(before);
	assert_int_equal(lm_file_read(c.path, &read, &err), LM_OK);
	assert_int_equal(read.len, text.n);
	assert_memory_equal(read.data, text.p, text.n);
	assert_int_equal(stat(c.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	candidate_finish(&c);
	candidate_finish(&c);
	assert_int_equal(rmdir(p->path), 0); // it is empty
	assert_int_equal(mkdir(p->path, 0700), 0);
}

static void two_tasks_have_one_each(void **state)
{
	struct place *p = *state;
	lm_auto_candidate struct candidate one = CANDIDATE_NONE, two = CANDIDATE_NONE;
	struct lm_err err = {LM_OK};
	assert_int_equal(candidate_create(p->fd, p->path, LM_STR("1"), &one, &err), LM_OK);
	assert_int_equal(candidate_create(p->fd, p->path, LM_STR("2"), &two, &err), LM_OK);
	assert_string_not_equal(one.path, two.path);
	assert_true(exists(p, lm_path_base(one.path))); // not taken for abandoned
	candidate_finish(&one);
	assert_true(exists(p, lm_path_base(two.path)));
}

static void what_a_killed_task_left_goes_and_nothing_else(void **state)
{
	struct place *p = *state;
	static const char *const others[] = {".docker-compose.0123456789abcdef.yaml",
		".docker-compose.0123456789abcdeg.yml", ".docker-compose.01234567.yml",
		"docker-compose.yml", ".env"};
	lm_auto_candidate struct candidate c = CANDIDATE_NONE;
	struct lm_err err = {LM_OK};
	put(p, ABANDONED);
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++)
		put(p, others[i]);
	assert_int_equal(candidate_create(p->fd, p->path, LM_STR("x"), &c, &err), LM_OK);
	assert_false(exists(p, ABANDONED));
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++)
		assert_true(exists(p, others[i]));
}

static void what_is_planted_is_neither_followed_nor_waited_for(void **state)
{
	struct place *p = *state;
	static const char pipe_name[] = ".docker-compose.00000000000000aa.yml";
	static const char folder_name[] = ".docker-compose.00000000000000bb.yml";
	lm_auto_candidate struct candidate c = CANDIDATE_NONE;
	struct lm_err err = {LM_OK};
	put(p, "precious");
	assert_int_equal(symlinkat("precious", p->fd, ABANDONED), 0);
	assert_int_equal(mkfifoat(p->fd, pipe_name, 0600), 0);
	assert_int_equal(mkdirat(p->fd, folder_name, 0700), 0);
	assert_int_equal(candidate_create(p->fd, p->path, LM_STR("x"), &c, &err), LM_OK);
	assert_true(exists(p, "precious"));
	assert_true(exists(p, pipe_name));
	assert_true(exists(p, folder_name));
}

static void a_directory_that_cannot_take_it_is_named(void **state)
{
	struct place *p = *state;
	lm_auto_candidate struct candidate c = CANDIDATE_NONE;
	struct lm_err err = {LM_OK};
	lm_auto_close int file = openat(p->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(candidate_create(file, "/d/file", LM_STR("x"), &c, &err), LM_E_SYS);
	assert_int_equal(err.sys, ENOTDIR);
	assert_string_equal(err.msg, "create a file in '/d/file': Not a directory");
	assert_null(c.path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_every_byte_for_its_owner_alone_and_goes),
		TEST(two_tasks_have_one_each),
		TEST(what_a_killed_task_left_goes_and_nothing_else),
		TEST(what_is_planted_is_neither_followed_nor_waited_for),
		TEST(a_directory_that_cannot_take_it_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
