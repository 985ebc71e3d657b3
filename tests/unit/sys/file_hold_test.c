// SPDX-License-Identifier: Apache-2.0
#include "sys/file_hold.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	char *path;
	int fd; ///< The application's.
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/file_hold_test.XXXXXX"};
	if (!mkdtemp(f.folder))
		return -1;
	f.path = lm_path_join(f.folder, "hold");
	f.fd = open(f.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	*state = &f;
	return f.fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)close(f->fd);
	free(f->path);
	return lm_tree_remove(AT_FDCWD, f->folder, NULL) == LM_OK ? 0 : -1;
}

static lm_rc take(const char *path)
{
	lm_auto_close int fd = -1;
	struct lm_err err = {LM_OK};
	lm_rc rc = file_hold_take(path, &fd, &err);

	assert_int_equal(rc, err.rc);
	assert_true((rc == LM_OK) == (fd >= 0));
	return rc;
}

static int set_lock(int fd, int command, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1};

	return fcntl(fd, command, &lock);
}

static void takes_what_nobody_has_locked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f->path), LM_OK);
	assert_int_equal(take(f->path), LM_OK); // the first lock is gone
}

static void a_missing_file_is_not_locked(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *other = lm_path_join(f->folder, "other");
	lm_auto_free char *below = lm_path_join(f->path, "file");

	assert_int_equal(take(other), LM_E_NOT_FOUND);
	assert_int_equal(take(below), LM_E_NOT_FOUND); // a file is no folder
	assert_int_equal(take("/nonexistent/folder/file"), LM_E_NOT_FOUND);
}

static void sees_every_kind_of_lock(void **state)
{
	struct fixture *f = *state;
	static const int kinds[] = {LOCK_EX, LOCK_SH};
	static const short types[] = {F_WRLCK, F_RDLCK};

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(flock(f->fd, kinds[i]), 0);
		assert_int_equal(take(f->path), LM_E_CONFLICT);
		assert_int_equal(flock(f->fd, LOCK_UN), 0);
		assert_int_equal(set_lock(f->fd, F_OFD_SETLK, types[i]), 0);
		assert_int_equal(take(f->path), LM_E_CONFLICT);
		assert_int_equal(set_lock(f->fd, F_OFD_SETLK, F_UNLCK), 0);
		assert_int_equal(take(f->path), LM_OK);
	}
}

/// Of another process: its own locks never stop a process.
static void sees_a_posix_lock(void **state)
{
	struct fixture *f = *state;
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int fd = open(f->path, O_RDWR | O_CLOEXEC);
		_exit(fd < 0 || set_lock(fd, F_SETLK, F_WRLCK) < 0 ||
			write(ready[1], "x", 1) != 1 || pause());
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(take(f->path), LM_E_CONFLICT);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(take(f->path), LM_OK);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void keeps_everybody_from_locking(void **state)
{
	struct fixture *f = *state;
	int fd = -1;

	assert_int_equal(file_hold_take(f->path, &fd, NULL), LM_OK);
	assert_int_equal(flock(f->fd, LOCK_SH | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_int_equal(set_lock(f->fd, F_SETLK, F_WRLCK), -1);
	assert_true(errno == EAGAIN || errno == EACCES);
	assert_int_equal(take(f->path), LM_E_CONFLICT);
	(void)close(fd);
	assert_int_equal(flock(f->fd, LOCK_EX | LOCK_NB), 0);
}

static void refuses_what_is_no_file_of_its_own(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *link_path = lm_path_join(f->folder, "link");
	lm_auto_free char *fifo = lm_path_join(f->folder, "fifo");
	lm_auto_free char *folder_link = lm_path_join(f->folder, "folder");
	lm_auto_free char *through = lm_path_join(folder_link, "hold");
	lm_auto_free char *second = lm_path_join(f->folder, "second");
	struct lm_err err = {LM_OK};
	int fd = -1;

	assert_int_equal(symlink(f->path, link_path), 0);
	assert_int_equal(take(link_path), LM_E_INVALID);
	assert_int_equal(symlink(f->folder, folder_link), 0);
	assert_int_equal(file_hold_take(through, &fd, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "symbolic link 'folder'"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(take(fifo), LM_E_INVALID); // and does not wait for a writer
	assert_int_equal(take(f->folder), LM_E_INVALID);
	assert_int_equal(take("/"), LM_E_INVALID);
	assert_int_equal(take("/dev/null"), LM_E_INVALID);
	assert_int_equal(link(f->path, second), 0);
	assert_int_equal(take(f->path), LM_E_INVALID);
}

/// What was written, and when, is as before.
static void changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	assert_int_equal(write(f->fd, "text", 4), 4);
	assert_int_equal(fstat(f->fd, &before), 0);
	assert_int_equal(take(f->path), LM_OK);
	assert_int_equal(fstat(f->fd, &after), 0);
	assert_int_equal(after.st_size, 4);
	assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(before.st_mtim));
	assert_memory_equal(&after.st_atim, &before.st_atim, sizeof(before.st_atim));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(takes_what_nobody_has_locked),
		TEST(a_missing_file_is_not_locked),
		TEST(sees_every_kind_of_lock),
		TEST(sees_a_posix_lock),
		TEST(keeps_everybody_from_locking),
		TEST(refuses_what_is_no_file_of_its_own),
		TEST(changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
