// SPDX-License-Identifier: Apache-2.0
#include "worker/local_copy.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// A destination, and the file "outside" beside it.
struct place {
	char root[64];
	char *path;
	int fd;
};

static int set_up(void **state)
{
	struct place *p = lm_xcalloc(1, sizeof(*p));
	struct lm_err err;
	strncpy(p->root, "/tmp/local_copy_test.XXXXXX", sizeof(p->root) - 1);
	assert_non_null(mkdtemp(p->root));
	p->path = lm_xasprintf("%s/app", p->root);
	assert_int_equal(mkdir(p->path, 0700), 0);
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_free char *outside = lm_xasprintf("%s/outside", p->root);
	assert_int_equal(lm_file_replace(AT_FDCWD, outside, LM_STR("theirs\n"), 0644, &err), LM_OK);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct lm_err err;
	assert_int_equal(lm_tree_remove(AT_FDCWD, p->root, &err), LM_OK);
	close(p->fd);
	free(p->path);
	free(p);
	return 0;
}

static void reads_what_was_placed_and_only_its_owner_can(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	lm_auto_buf struct lm_buf text = LM_BUF(100);
	struct stat st;
	mode_t before = umask(0);
	assert_int_equal(local_copy_place(p->fd, p->path, LM_STR("one\n"), &err), LM_OK);
	assert_int_equal(local_copy_place(p->fd, p->path, LM_STR("two\n"), &err), LM_OK);
	umask(before);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), "two\n");
	assert_int_equal(fstatat(p->fd, LOCAL_COPY_NAME, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_missing_copy_is_named(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	struct lm_buf text = LM_BUF(100);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_E_NOT_FOUND);
	lm_auto_free char *message =
		lm_xasprintf("there is no local copy '%s/docker-compose.yml'", p->path);
	assert_string_equal(err.msg, message);
}

static void no_link_is_followed(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	struct lm_buf text = LM_BUF(100);
	lm_auto_free char *outside = lm_xasprintf("%s/outside", p->root);
	lm_auto_buf struct lm_buf theirs = LM_BUF(100);
	assert_int_equal(symlinkat("../outside", p->fd, LOCAL_COPY_NAME), 0);
	assert_int_equal(symlinkat("../outside", p->fd, "." LOCAL_COPY_NAME ".tmp"), 0);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_E_INVALID);
	assert_non_null(
		strstr(err.msg, "docker-compose.yml' is a symbolic link, which is not followed"));
	assert_int_equal(local_copy_place(p->fd, p->path, LM_STR("ours\n"), &err), LM_OK);
	assert_int_equal(lm_file_read(outside, &theirs, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&theirs), "theirs\n");
}

static void only_a_regular_file_is_read(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	struct lm_buf text = LM_BUF(100);
	assert_int_equal(mkfifoat(p->fd, LOCAL_COPY_NAME, 0600), 0);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_E_INVALID);
	assert_int_equal(unlinkat(p->fd, LOCAL_COPY_NAME, 0), 0);
	assert_int_equal(mkdirat(p->fd, LOCAL_COPY_NAME, 0700), 0);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_E_INVALID);
}

/// For a test that needs the files of others.
static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

enum { SOMEBODY = 58999, ANYBODY = 58998 };

static void put(struct place *p, const char *name, uid_t owner, mode_t mode)
{
	struct lm_err err = {LM_OK};
	assert_int_equal(lm_file_replace(p->fd, name, LM_STR("text\n"), mode, &err), LM_OK);
	assert_int_equal(fchownat(p->fd, name, owner, owner, 0), 0);
}

static void only_our_own_or_roots_file_is_trusted(void **state)
{
	struct place *p = *state;
	needs_root();
	static const struct {
		uid_t owner;
		mode_t mode;
		lm_rc rc;
		const char *words;
	} table[] = {
		{SOMEBODY, 0644, LM_OK, ""},
		{0, 0644, LM_OK, ""},
		{SOMEBODY, 0664, LM_OK, ""},
		{ANYBODY, 0644, LM_E_INVALID, "docker-compose.yml' belongs to user 58998"},
		{SOMEBODY, 0666, LM_E_INVALID, "is world-writable"},
		{0, 0646, LM_E_INVALID, "is world-writable"},
	};
	assert_int_equal(fchmod(p->fd, 0711), 0);
	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct lm_err err = {LM_OK};
		lm_auto_buf struct lm_buf text = LM_BUF(100);
		put(p, LOCAL_COPY_NAME, table[i].owner, table[i].mode);
		assert_int_equal(seteuid(SOMEBODY), 0);
		lm_rc rc = local_copy_read(p->fd, p->path, &text, &err);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(rc, table[i].rc);
		assert_non_null(strstr(err.msg, table[i].words));
	}
}

static void a_name_that_can_be_replaced_passes_the_check(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	assert_int_equal(local_copy_check(p->fd, p->path, &err), LM_OK);
	assert_int_equal(symlinkat("../outside", p->fd, LOCAL_COPY_NAME), 0);
	assert_int_equal(local_copy_check(p->fd, p->path, &err), LM_OK);
	assert_int_equal(local_copy_place(p->fd, p->path, LM_STR("one\n"), &err), LM_OK);
	assert_int_equal(local_copy_check(p->fd, p->path, &err), LM_OK);
}

static void a_directory_in_the_way_is_found_early(void **state)
{
	struct place *p = *state;
	static const char *const names[] = {LOCAL_COPY_NAME, "." LOCAL_COPY_NAME ".tmp"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		struct lm_err err = {LM_OK};
		assert_int_equal(mkdirat(p->fd, names[i], 0700), 0);
		assert_int_equal(local_copy_check(p->fd, p->path, &err), LM_E_CONFLICT);
		lm_auto_free char *message = lm_xasprintf(
			"'%s/%s' is a directory, where the local copy of the compose file belongs: "
			"move it away",
			p->path, names[i]);
		assert_string_equal(err.msg, message);
		assert_int_not_equal(local_copy_place(p->fd, p->path, LM_STR("x"), &err), LM_OK);
		assert_int_equal(unlinkat(p->fd, names[i], AT_REMOVEDIR), 0);
	}
}

static void what_only_its_owner_can_remove_is_found_early(void **state)
{
	struct place *p = *state;
	needs_root();
	static const struct {
		mode_t mode;
		uid_t owner, files_owner;
		lm_rc rc;
	} table[] = {
		{01777, 0, ANYBODY, LM_E_CONFLICT},
		{0777, 0, ANYBODY, LM_OK},
		{01777, 0, SOMEBODY, LM_OK},
		{01777, SOMEBODY, ANYBODY, LM_OK},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct lm_err err = {LM_OK};
		put(p, LOCAL_COPY_NAME, table[i].files_owner, 0644);
		assert_int_equal(fchown(p->fd, table[i].owner, table[i].owner), 0);
		assert_int_equal(fchmod(p->fd, table[i].mode), 0);
		assert_int_equal(seteuid(SOMEBODY), 0);
		lm_rc checked = local_copy_check(p->fd, p->path, &err);
		lm_rc placed = local_copy_place(p->fd, p->path, LM_STR("x"), &err);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(checked, table[i].rc);
		assert_int_equal(placed == LM_OK, table[i].rc == LM_OK);
	}
}

static void a_copy_over_the_ceiling_is_refused(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	lm_auto_buf struct lm_buf text = LM_BUF(3);
	assert_int_equal(local_copy_place(p->fd, p->path, LM_STR("1234"), &err), LM_OK);
	assert_int_equal(local_copy_read(p->fd, p->path, &text, &err), LM_E_TOO_LARGE);
}

static void a_failure_to_place_names_the_directory(void **state)
{
	struct place *p = *state;
	struct lm_err err = {LM_OK};
	assert_int_equal(rmdir(p->path), 0);
	assert_int_not_equal(local_copy_place(p->fd, p->path, LM_STR("x"), &err), LM_OK);
	assert_non_null(strstr(err.msg, p->path));
}

#define TEXT "services: {web: {image: a}}\n"

struct fixture {
	char dir[64];
	char *old, *new;
	int new_fd;
	struct previous previous;
};

static int set_up_previous(void **state)
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

static int tear_down_previous(void **state)
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
			reads_what_was_placed_and_only_its_owner_can, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_missing_copy_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_link_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_regular_file_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_our_own_or_roots_file_is_trusted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_name_that_can_be_replaced_passes_the_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_directory_in_the_way_is_found_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_only_its_owner_can_remove_is_found_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_copy_over_the_ceiling_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_failure_to_place_names_the_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_copy_in_a_directory_that_was_left_goes,
			set_up_previous, tear_down_previous),
		cmocka_unit_test_setup_teardown(the_same_directory_has_not_moved_whatever_its_path,
			set_up_previous, tear_down_previous),
		cmocka_unit_test_setup_teardown(what_is_not_the_file_that_was_put_there_stays,
			set_up_previous, tear_down_previous),
		cmocka_unit_test_setup_teardown(
			a_directory_that_is_gone_is_told, set_up_previous, tear_down_previous),
		cmocka_unit_test_setup_teardown(
			somebody_elses_directory_is_not_used, set_up_previous, tear_down_previous),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
