// SPDX-License-Identifier: Apache-2.0
#include "worker/previous.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/path.h"
#include "worker/local_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT "services: {web: {image: a}}\n"

struct fixture {
	char dir[64];
	char *old, *new;
	int new_fd;
	struct previous previous;
};

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));
	struct lm_err err = {LM_OK};

	strncpy(f->dir, "/tmp/previous_test.XXXXXX", sizeof(f->dir) - 1);
	assert_non_null(mkdtemp(f->dir));
	f->old = lm_path_join(f->dir, "old");
	f->new = lm_path_join(f->dir, "new");
	assert_int_equal(mkdir(f->old, 0700), 0);
	assert_int_equal(mkdir(f->new, 0700), 0);
	f->new_fd = open(f->new, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->previous = PREVIOUS_NONE;
	lm_auto_close int fd = open(f->old, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(local_copy_place(fd, f->old, LM_STR(TEXT), &err), LM_OK);
	(void)lm_buf_puts(&f->previous.text, TEXT);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	previous_finish(&f->previous);
	(void)close(f->new_fd);
	assert_int_equal(lm_tree_remove(AT_FDCWD, f->dir, &err), LM_OK);
	free(f->old);
	free(f->new);
	free(f);
	return 0;
}

static bool copy_exists(const struct fixture *f)
{
	lm_auto_free char *path = lm_path_join(f->old, LOCAL_COPY_NAME);

	return access(path, F_OK) == 0;
}

static bool remove_copy(const struct fixture *f)
{
	struct lm_err err = {LM_OK};
	bool removed = false;

	assert_int_equal(previous_remove_copy(&f->previous, &removed, &err), LM_OK);
	return removed;
}

static void the_copy_in_a_directory_that_was_left_goes(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	assert_int_equal(previous_open(&f->previous, f->old, f->new_fd, &err), LM_OK);
	assert_true(f->previous.moved);
	assert_true(remove_copy(f));
	assert_false(copy_exists(f));
	assert_false(remove_copy(f));
}

static void the_same_directory_has_not_moved_whatever_its_path(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	lm_auto_free char *link = lm_path_join(f->dir, "link");
	lm_auto_close int fd = open(f->old, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(symlink(f->old, link), 0);
	assert_int_equal(previous_open(&f->previous, link, fd, &err), LM_OK);
	assert_false(f->previous.moved);
	assert_false(remove_copy(f));
	assert_true(copy_exists(f));
}

static void what_is_not_the_file_that_was_put_there_stays(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	assert_int_equal(previous_open(&f->previous, f->old, f->new_fd, &err), LM_OK);
	(void)lm_buf_puts(&f->previous.text, "# more\n");
	assert_false(remove_copy(f));
	lm_buf_clear(&f->previous.text);
	assert_false(remove_copy(f));
	assert_true(copy_exists(f));

	lm_auto_free char *path = lm_path_join(f->old, LOCAL_COPY_NAME);
	lm_auto_free char *target = lm_path_join(f->new, "target");
	(void)lm_buf_puts(&f->previous.text, TEXT);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_false(remove_copy(f));
	assert_int_equal(access(target, F_OK), 0);
}

static void a_directory_that_is_gone_is_told(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	lm_auto_free char *none = lm_path_join(f->dir, "none");

	assert_int_equal(previous_open(&f->previous, none, f->new_fd, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, none));
	assert_true(f->previous.moved);
	assert_int_equal(f->previous.directory_fd, -1);
	assert_false(remove_copy(f));
}

static void somebody_elses_directory_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->old, 12345, 12345), 0);
	assert_int_equal(previous_open(&f->previous, f->old, f->new_fd, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "belongs to user 12345"));
	assert_int_equal(f->previous.directory_fd, -1);
	assert_false(remove_copy(f));
	assert_true(copy_exists(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_copy_in_a_directory_that_was_left_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_same_directory_has_not_moved_whatever_its_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_not_the_file_that_was_put_there_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_directory_that_is_gone_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			somebody_elses_directory_is_not_used, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
