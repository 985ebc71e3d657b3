// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MODES = 07777, MIB = 1 << 20 };

/// "from" and "to", in a folder of its own.
struct fixture {
	char folder[64];
	int from, to;
	struct lm_buf warnings;
	struct file_copier copier;
};

static struct fixture fixture;

static void warn(void *ctx, const char *text)
{
	(void)lm_buf_printf(ctx, "%s;", text);
}

static int setup(void **state)
{
	struct fixture *f = &fixture;

	*f = (struct fixture){.folder = "/var/tmp/tree_test.XXXXXX", .warnings = LM_BUF(1 << 20)};
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chdir(f->folder), 0);
	(void)umask(0);
	assert_int_equal(mkdir("from", 0755) | mkdir("to", 0700), 0);
	f->from = open("from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->to = open("to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->copier = (struct file_copier){
		.limit = WAIT_FOREVER, .bytes_max = 100 * MIB, .warn = warn, .ctx = &f->warnings};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (tree_empty(top, f->folder, &WAIT_FOREVER, &err))
		fail_msg("%s", err.msg);
	(void)close(top);
	(void)close(f->from);
	(void)close(f->to);
	lm_buf_finish(&f->warnings);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(f->folder), 0);
	return 0;
}

static void put(int dir_fd, const char *name, const char *text, mode_t mode)
{
	lm_auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
}

static const char *get(int dir_fd, const char *name)
{
	static char text[256];
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? NULL : text;
}

static struct stat look(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", name, strerror(errno));
	return st;
}

static lm_rc copy(struct fixture *f, struct lm_err *err)
{
	return tree_copy(&f->copier, f->from, f->to, "data", err);
}

static void copy_well(struct fixture *f)
{
	struct lm_err err = {LM_OK};

	if (copy(f, &err))
		fail_msg("%s", err.msg);
}

static void assert_same(const struct fixture *f, const char *name)
{
	struct stat a = look(f->from, name);
	struct stat b = look(f->to, name);

	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_gid, b.st_gid);
	assert_int_equal(a.st_size, S_ISDIR(a.st_mode) ? a.st_size : b.st_size);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	assert_int_equal(a.st_rdev, b.st_rdev);
}

static void make_socket(int dir_fd, const char *name)
{
	assert_int_equal(mknodat(dir_fd, name, S_IFSOCK | 0640, 0), 0);
}

static void a_copy_has_every_kind_of_file_with_all_that_it_has(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {
		".", "plain", "empty", "suid", "folder", "folder/inner", "fifo", "socket", "link"};
	const struct timespec old[] = {{1000000001, 5}, {1000000002, 7}};
	bool is_root = geteuid() == 0;

	put(f->from, "plain", "some bytes", 0604);
	put(f->from, "empty", "", 0000);
	put(f->from, "suid", "program", 04755);
	assert_int_equal(mkdirat(f->from, "folder", 0755), 0);
	put(f->from, "folder/inner", "deeper", 0400);
	assert_int_equal(fchmodat(f->from, "folder", 02570, 0), 0); // not to be written to
	assert_int_equal(mkfifoat(f->from, "fifo", 0622), 0);
	make_socket(f->from, "socket");
	assert_int_equal(symlinkat("/etc/passwd", f->from, "link"), 0);
	if (is_root)
		for (size_t i = 1; i < LM_ARRAY_SIZE(names); i++)
			assert_int_equal(
				fchownat(f->from, names[i], 1234, 4321, AT_SYMLINK_NOFOLLOW), 0);
	if (is_root) // which a new owner has cleared
		assert_int_equal(
			fchmodat(f->from, "suid", 04755, 0) | fchmodat(f->from, "folder", 02570, 0),
			0);
	for (size_t i = LM_ARRAY_SIZE(names); i-- > 0;)
		assert_int_equal(utimensat(f->from, names[i], old, AT_SYMLINK_NOFOLLOW), 0);
	copy_well(f);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		assert_same(f, names[i]);
	assert_string_equal(get(f->to, "plain"), "some bytes");
	assert_string_equal(get(f->to, "folder/inner"), "deeper");
	char target[64] = {0};
	assert_int_equal(readlinkat(f->to, "link", target, sizeof(target)), 11);
	assert_string_equal(target, "/etc/passwd");
	assert_string_equal(lm_buf_cstr(&f->warnings), "");
}

/// As setxattr takes it: user::OWNER, user:1234:NAMED, group::GROUP, mask::NAMED, other::---
#define ACL(owner, named, group)                                                                   \
	{                                                                                          \
		2, 0, 0, 0, 1, 0, owner, 0, 255, 255, 255, 255, 2, 0, named, 0, 0xd2, 4, 0, 0, 4,  \
			0, group, 0, 255, 255, 255, 255, 16, 0, named, 0, 255, 255, 255, 255, 32,  \
			0, 0, 0, 255, 255, 255, 255                                                \
	}

static void attributes_and_acls_are_kept(void **state)
{
	struct fixture *f = *state;
	static const unsigned char acl[] = ACL(6, 4, 4);
	char value[64];

	put(f->from, "file", "x", 0640);
	if (setxattr("from/file", "user.note", "kept", 4, 0) < 0 && errno == ENOTSUP)
		skip(); // that file system has none
	assert_int_equal(setxattr("from", "user.top", "too", 3, 0), 0);
	assert_int_equal(setxattr("from/file", "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	copy_well(f);
	assert_int_equal(getxattr("to/file", "user.note", value, sizeof(value)), 4);
	assert_memory_equal(value, "kept", 4);
	assert_int_equal(getxattr("to", "user.top", value, sizeof(value)), 3);
	assert_int_equal(
		getxattr("to/file", "system.posix_acl_access", value, sizeof(value)), sizeof(acl));
	assert_memory_equal(value, acl, sizeof(acl));
	assert_same(f, "file");
}

/// Of the folder in which snapshots are kept.
static void an_acl_of_the_place_is_not_that_of_the_copy(void **state)
{
	struct fixture *f = *state;
	static const unsigned char acl[] = ACL(7, 7, 5);
	char value[64];

	put(f->from, "file", "x", 0640);
	assert_int_equal(mkdirat(f->from, "folder", 0750), 0);
	put(f->from, "folder/inner", "x", 0640);
	if (setxattr("to", "system.posix_acl_default", acl, sizeof(acl), 0) < 0 && errno == ENOTSUP)
		skip();
	assert_int_equal(setxattr("to", "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	copy_well(f);
	static const char *const paths[] = {"to", "to/file", "to/folder", "to/folder/inner"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(paths); i++)
		assert_int_equal(listxattr(paths[i], value, sizeof(value)), 0);
	assert_same(f, "file");
	assert_same(f, "folder/inner");
}

static void a_hole_stays_one(void **state)
{
	struct fixture *f = *state;
	lm_auto_close int fd = openat(f->from, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char bytes[4] = {0};

	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "end", 3, 50 * MIB), 3);
	assert_int_equal(ftruncate(fd, 90 * MIB), 0);
	f->copier.bytes_max = 3 * MIB;
	copy_well(f);
	assert_int_equal(look(f->to, "sparse").st_size, 90 * MIB);
	assert_true(look(f->to, "sparse").st_blocks * 512 < 3 * MIB);
	lm_auto_close int copied = openat(f->to, "sparse", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(copied, bytes, 3, 50 * MIB), 3);
	assert_string_equal(bytes, "end");
}

static void a_file_with_several_names_is_one_in_the_copy(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdirat(f->from, "a", 0755) | mkdirat(f->from, "b", 0755), 0);
	put(f->from, "a/one", "the same", 0644);
	assert_int_equal(linkat(f->from, "a/one", f->from, "b/two", 0), 0);
	assert_int_equal(linkat(f->from, "a/one", f->from, "three", 0), 0);
	for (int i = 0; i < 200; i++) { // the table grows
		lm_auto_free char *name = lm_xasprintf("x%d", i);
		lm_auto_free char *other = lm_xasprintf("a/x%d", i);

		put(f->from, name, name, 0600);
		assert_int_equal(linkat(f->from, name, f->from, other, 0), 0);
	}
	copy_well(f);
	ino_t ino = look(f->to, "a/one").st_ino;
	assert_int_equal(look(f->to, "b/two").st_ino, ino);
	assert_int_equal(look(f->to, "three").st_ino, ino);
	assert_int_equal(look(f->to, "three").st_nlink, 3);
	assert_int_equal(look(f->to, "x77").st_ino, look(f->to, "a/x77").st_ino);
	assert_string_equal(get(f->to, "a/x77"), "x77");
	// Counted once, and once with the names.
	struct tree_size size = {0};
	assert_int_equal(tree_measure(f->to, "to", -1, &WAIT_FOREVER, &size, NULL), LM_OK);
	assert_int_equal(size.entries, 2 + 3 + 400);
	assert_int_equal(size.shared, 0);
	assert_true(size.content >= 201 * 512U && size.content < 300 * 4096U);
}

/// Names that are no path, no option, no text; and links that lead out.
static void names_that_are_hostile_do_no_harm(void **state)
{
	struct fixture *f = *state;
	char longest[256];
	const char *const names[] = {"-rf *", "new\nline", "\xff\xfe", "...", "a'b\"c", "%s%n",
		".lighterman-deep-0", longest};

	memset(longest, 'n', 255);
	longest[255] = '\0';
	put(AT_FDCWD, "outside", "untouched", 0600);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		put(f->from, names[i], "x", 0600);
	assert_int_equal(symlinkat("../outside", f->from, "to-a-file"), 0);
	assert_int_equal(symlinkat("..", f->from, "to-a-folder"), 0);
	copy_well(f);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		assert_string_equal(get(f->to, names[i]), "x");
	assert_true(S_ISLNK(look(f->to, "to-a-file").st_mode));
	assert_int_equal(tree_empty(f->to, "to", &WAIT_FOREVER, NULL), LM_OK);
	assert_int_equal(tree_empty(f->from, "from", &WAIT_FOREVER, NULL), LM_OK);
	assert_string_equal(get(AT_FDCWD, "outside"), "untouched");
}

static void make_deep(int dir_fd, unsigned depth)
{
	int fd = dup(dir_fd);

	for (unsigned i = 0; i < depth; i++) {
		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = next;
	}
	put(fd, "bottom", "here", 0600);
	(void)close(fd);
}

static void what_is_nested_too_deep_is_refused_but_can_be_removed(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	struct tree_size size = {0};

	make_deep(f->from, TREE_DEPTH_MAX - 1);
	copy_well(f);
	assert_int_equal(tree_empty(f->to, "to", &WAIT_FOREVER, NULL), LM_OK);
	assert_int_equal(tree_empty(f->from, "from", &WAIT_FOREVER, NULL), LM_OK);
	make_deep(f->from, 1000);
	assert_int_equal(copy(f, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "nested more than 200 deep"));
	assert_int_equal(
		tree_measure(f->from, "data", -1, &WAIT_FOREVER, &size, &err), LM_E_TOO_LARGE);
	put(f->from, ".lighterman-deep-0", "in the way", 0600);
	assert_int_equal(tree_empty(f->from, "from", &WAIT_FOREVER, &err), LM_OK);
	assert_int_equal(tree_remove(AT_FDCWD, "from", &WAIT_FOREVER, &err), LM_OK);
	assert_int_equal(access("from", F_OK), -1);
	assert_int_equal(tree_remove(AT_FDCWD, "from", &WAIT_FOREVER, &err), LM_OK);
}

static enum file_sharing shares(int from_fd, const char *name, int to_fd)
{
	struct stat st = look(from_fd, name);
	lm_auto_close int fd = file_sharing_begin(to_fd);

	assert_true(fd >= 0);
	return file_try_sharing(from_fd, name, &st, fd);
}

static void more_than_is_allowed_is_not_copied(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	lm_auto_free char *text = lm_xcalloc(1, 2 * MIB + 1);

	memset(text, 'x', 2 * MIB);
	put(f->from, "large", text, 0600);
	if (shares(f->from, "large", f->to) == FILE_SHARES)
		skip(); // nothing is copied
	f->copier.bytes_max = MIB;
	assert_int_equal(copy(f, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "more than 1 MB"));
}

static void a_copy_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	(void)close(ends[1]);
	f->copier.limit.cancel_fd = ends[0];
	put(f->from, "file", "x", 0600);
	assert_int_equal(copy(f, &err), LM_E_CANCELLED);
	(void)close(ends[0]);
}

/// /dev/shm is a file system of its own; where it is not, there is nothing to see.
static void another_file_system_gets_copies_only(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	char folder[] = "/dev/shm/tree_test.XXXXXX";

	if (!mkdtemp(folder))
		skip();
	lm_auto_close int to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat here = look(f->from, "."), there = look(to, ".");
	if (here.st_dev != there.st_dev) {
		put(f->from, "file", "bytes", 0604);
		assert_int_equal(shares(f->from, "file", to), FILE_SHARES_NEVER);
		assert_int_equal(tree_copy(&f->copier, f->from, to, "data", &err), LM_OK);
		assert_string_equal(get(to, "file"), "bytes");
		assert_int_equal(f->copier.bytes, 5);
	}
	assert_int_equal(tree_empty(to, folder, &WAIT_FOREVER, NULL), LM_OK);
	assert_int_equal(rmdir(folder), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_copy_has_every_kind_of_file_with_all_that_it_has),
		TEST(attributes_and_acls_are_kept),
		TEST(an_acl_of_the_place_is_not_that_of_the_copy),
		TEST(a_hole_stays_one),
		TEST(a_file_with_several_names_is_one_in_the_copy),
		TEST(names_that_are_hostile_do_no_harm),
		TEST(what_is_nested_too_deep_is_refused_but_can_be_removed),
		TEST(more_than_is_allowed_is_not_copied),
		TEST(a_copy_can_be_cancelled),
		TEST(another_file_system_gets_copies_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
