// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/cleanup.h"
#include "sys/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20, FILES_MAX = 512 };

/// A file system whose files share content, as btrfs: as far as these tests ask it. (The real one
/// is in e2e/volume_copies_kill_test.py.)
static struct sharing_fs {
	char folder[64];
	int from, to;
	int error;      ///< Of every request to share; 0: none.
	ino_t stubborn; ///< The file that shares with none.
	struct {
		ino_t ino;
		int flags;
	} files[FILES_MAX];
	unsigned requests;
	const char *attribute; ///< NULL: none has one.
	unsigned warnings;
	char warning[128]; ///< The last one.
	int cancels;       ///< Made readable by the first request; -1: none.
	struct file_copier copier;
} fs;

int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_setxattr(const char *path, const char *name, const void *value, size_t n, int how);
ssize_t __wrap_listxattr(const char *path, char *list, size_t n);
ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t n);

static int *flags_of(int fd)
{
	struct stat st;
	size_t i = 0;

	assert_int_equal(fstat(fd, &st), 0);
	while (fs.files[i].ino && fs.files[i].ino != st.st_ino)
		assert_true(++i < FILES_MAX);
	fs.files[i].ino = st.st_ino;
	return &fs.files[i].flags;
}

static ino_t ino_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int refuse(int sys)
{
	errno = sys;
	return -1;
}

static int share(int to, const struct file_clone_range *range)
{
	int from = (int)range->src_fd;

	if (fs.requests++ == 0 && fs.cancels >= 0)
		assert_int_equal(write(fs.cancels, "x", 1), 1);
	if (fs.error)
		return refuse(fs.error);
	if ((*flags_of(from) ^ *flags_of(to)) & FS_NOCOW_FL || ino_of(from) == fs.stubborn)
		return refuse(EINVAL);
	off_t in = (off_t)range->src_offset, out = (off_t)range->dest_offset;
	size_t n = range->src_length ? range->src_length : 1 << 30;
	while (n > 0) {
		ssize_t done = copy_file_range(from, &in, to, &out, n, 0);

		assert_true(done >= 0);
		n = done ? n - (size_t)done : 0;
	}
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	switch (request) {
	case FS_IOC_GETFLAGS:
		*(int *)argument = *flags_of(fd);
		return 0;
	case FS_IOC_SETFLAGS:
		if (S_ISREG(st.st_mode) && st.st_size > 0)
			return refuse(EINVAL);
		*flags_of(fd) = *(int *)argument;
		return 0;
	default:
		assert_int_equal(request, FICLONERANGE);
		return share(fd, argument);
	}
}

/// Each file has one attribute.
ssize_t __wrap_listxattr(const char *path, char *list, size_t n)
{
	(void)path;
	if (!fs.attribute)
		return 0;
	if (n > strlen(fs.attribute))
		memcpy(list, fs.attribute, strlen(fs.attribute) + 1);
	return (ssize_t)strlen(fs.attribute) + 1;
}

ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t n)
{
	(void)path;
	assert_string_equal(name, fs.attribute);
	assert_true(n > 0);
	*(char *)value = 'x';
	return 1;
}

/// None can be set.
int __wrap_setxattr(const char *path, const char *name, const void *value, size_t n, int how)
{
	(void)path;
	(void)value;
	(void)n;
	(void)how;
	return refuse(strcmp(name, "user.full") == 0 ? ENOSPC : EOPNOTSUPP);
}

static void warn(void *ctx, const char *text)
{
	(void)ctx;
	(void)snprintf(fs.warning, sizeof(fs.warning), "%s", text);
	fs.warnings++;
}

static int setup(void **state)
{
	fs = (struct sharing_fs){.folder = "/var/tmp/file_copy_test.XXXXXX", .cancels = -1};
	assert_non_null(mkdtemp(fs.folder));
	assert_int_equal(chdir(fs.folder), 0);
	assert_int_equal(mkdir("from", 0755) | mkdir("to", 0700), 0);
	fs.from = open("from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fs.to = open("to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fs.copier = (struct file_copier){.limit = WAIT_FOREVER, .bytes_max = MIB, .warn = warn};
	*state = &fs;
	return 0;
}

static int teardown(void **state)
{
	lm_auto_close int top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(tree_empty(top, fs.folder, &WAIT_FOREVER, NULL), LM_OK);
	(void)close(fs.from);
	(void)close(fs.to);
	assert_int_equal(chdir("/"), 0);
	return rmdir(fs.folder);
}

static int make(int dir_fd, const char *name, off_t size)
{
	static const char bytes[MIB] = "content";
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_int_equal(
		write(fd, bytes, size < MIB ? (size_t)size : MIB), size < MIB ? size : MIB);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void put(int dir_fd, const char *name, off_t size)
{
	assert_int_equal(close(make(dir_fd, name, size)), 0);
}

static void copy(void)
{
	struct lm_err err = {LM_OK};

	if (tree_copy(&fs.copier, fs.from, fs.to, "data", &err))
		fail_msg("%s", err.msg);
	assert_true(fs.warnings == 0 || fs.attribute);
}

static int flags_in_copy(const char *name)
{
	lm_auto_close int fd = openat(fs.to, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return *flags_of(fd);
}

static struct tree_size measure(void)
{
	struct tree_size size = {0};
	struct lm_err err = {LM_OK};

	if (tree_measure(fs.from, "data", fs.to, &WAIT_FOREVER, &size, &err))
		fail_msg("%s", err.msg);
	return size;
}

/// As a database asks for, by the flag of its folder.
static void what_is_not_copied_on_write_is_shared_and_stays_so(void **state)
{
	lm_auto_close int nocow = make(fs.from, "nocow", 2 * MIB);

	(void)state;
	put(fs.from, "plain", 2 * MIB);
	*flags_of(nocow) = FS_NOCOW_FL;
	*flags_of(fs.from) = FS_NOCOW_FL | FS_IMMUTABLE_FL;
	assert_true(measure().content == 0 && measure().shared >= 2 * MIB);
	copy();
	assert_int_equal(fs.copier.shared, 4 * MIB);
	assert_int_equal(fs.copier.bytes, 0);
	assert_int_equal(flags_in_copy("nocow"), FS_NOCOW_FL);
	assert_int_equal(flags_in_copy("plain"), 0);
	assert_int_equal(*flags_of(fs.to), FS_NOCOW_FL);
}

static void a_file_that_shares_with_none_is_measured_as_copied(void **state)
{
	lm_auto_close int stubborn = make(fs.from, "2", MIB);
	struct stat st;

	(void)state;
	put(fs.from, "1", MIB / 2);
	put(fs.from, "3", MIB / 2);
	put(fs.from, "4", 0);
	assert_int_equal(fstat(stubborn, &st), 0);
	fs.stubborn = st.st_ino;
	assert_int_equal(measure().content, st.st_blocks * 512);
	assert_true(measure().shared >= MIB);
	copy();
	assert_int_equal(fs.copier.bytes, MIB);
	assert_int_equal(fs.copier.shared, MIB);
}

static void a_file_system_that_shares_nothing_is_asked_once(void **state)
{
	(void)state;
	put(fs.from, "1", MIB / 4);
	put(fs.from, "2", MIB / 4);
	fs.error = EOPNOTSUPP;
	assert_true(measure().content >= MIB / 2);
	assert_int_equal(fs.requests, 1);
	copy();
	assert_int_equal(fs.copier.bytes, MIB / 2);
}

/// The kernel writes what is not on the disk yet before it shares it, however long that takes.
static void a_large_file_is_shared_in_pieces(void **state)
{
	struct lm_err err = {LM_OK};
	struct stat st;
	int ends[2];

	(void)state;
	put(fs.from, "large", 150 * MIB);
	copy();
	assert_int_equal(fs.requests, 3);
	assert_int_equal(fstatat(fs.to, "large", &st, 0), 0);
	assert_int_equal(st.st_size, 150 * MIB);
	assert_int_equal(fs.copier.shared, 150 * MIB);
	// And it can be cancelled between two.
	assert_int_equal(unlinkat(fs.to, "large", 0) | pipe(ends), 0);
	fs.requests = 0;
	fs.cancels = ends[1];
	fs.copier.limit.cancel_fd = ends[0];
	assert_int_equal(tree_copy(&fs.copier, fs.from, fs.to, "data", &err), LM_E_CANCELLED);
	assert_int_equal(fs.requests, 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void what_only_the_file_system_has_set_is_left_out_with_a_few_warnings(void **state)
{
	struct lm_err err = {LM_OK};
	char name[16];

	(void)state;
	fs.attribute = "btrfs.compression";
	put(fs.from, "0", 1);
	copy();
	assert_int_equal(fs.warnings, 2); // of the folder, too
	for (int i = 1; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		put(fs.from, name, 1);
	}
	assert_int_equal(tree_empty(fs.to, "to", &WAIT_FOREVER, NULL), LM_OK);
	copy();
	assert_int_equal(fs.copier.warnings, 2 + 101);
	assert_int_equal(fs.warnings, 21);
	assert_string_equal(fs.warning, "more is left out, which is not listed");
	// But not what belongs to the data.
	fs.attribute = "user.full";
	assert_int_equal(tree_empty(fs.to, "to", &WAIT_FOREVER, NULL), LM_OK);
	assert_int_not_equal(tree_copy(&fs.copier, fs.from, fs.to, "data", &err), LM_OK);
	assert_int_equal(err.sys, ENOSPC);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_copied_on_write_is_shared_and_stays_so),
		TEST(a_file_that_shares_with_none_is_measured_as_copied),
		TEST(a_file_system_that_shares_nothing_is_asked_once),
		TEST(a_large_file_is_shared_in_pieces),
		TEST(what_only_the_file_system_has_set_is_left_out_with_a_few_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
