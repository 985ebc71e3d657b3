// SPDX-License-Identifier: Apache-2.0
#include "sys/file_hold.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/// One step down the path. O_PATH opens no device, wakes no FIFO and needs no right to read.
static lm_rc enter(int dir, struct lm_str name, const char *path, int *ret, struct stat *ret_st,
	struct lm_err *err)
{
	char text[NAME_MAX + 1];

	if (name.n > NAME_MAX)
		return lm_fail(err, LM_E_INVALID, ENAMETOOLONG, "open '%s': %m", path);
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	*ret = openat(dir, text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (*ret < 0 && errno == ENOTDIR)
		return lm_fail(err, LM_E_NOT_FOUND, errno, "open '%s': %m", path);
	if (*ret < 0 || fstat(*ret, ret_st) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", path);
	if (S_ISLNK(ret_st->st_mode))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' leads through the symbolic link '%s'; write the path that 'realpath' "
			"prints",
			path, text);
	return LM_OK;
}

/// The file, as a descriptor that can neither be read nor locked.
static lm_rc find_file(const char *path, int *ret, struct stat *ret_st, struct lm_err *err)
{
	lm_auto_close int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct lm_str rest = lm_str(path);

	*ret_st = (struct stat){.st_mode = S_IFDIR};
	if (dir < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '/': %m");
	while (rest.n > 0) {
		struct lm_str name = lm_str_cut(&rest, '/');
		int next = -1;

		if (name.n == 0)
			continue;
		lm_rc rc = enter(dir, name, path, &next, ret_st, err);
		lm_cleanup_close(&dir);
		dir = next;
		if (rc)
			return rc;
	}
	if (!S_ISREG(ret_st->st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", path);
	// Somebody may have given a file of another user this name to have that one locked.
	if (ret_st->st_nlink > 1)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' has other names (hard links)", path);
	*ret = lm_take_fd(dir);
	return LM_OK;
}

static lm_rc open_found(int found, const char *path, int *ret, struct lm_err *err)
{
	char again[64];

	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", found);
	*ret = open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*ret < 0 && errno == EWOULDBLOCK) // its owner has a lease on it
		return lm_fail(err, LM_E_CONFLICT, errno, "open '%s': %m", path);
	return *ret < 0 ? lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", path) : LM_OK;
}

static lm_rc fail_to_lock(const char *path, int sys, struct lm_err *err)
{
	if (sys == EWOULDBLOCK || sys == EACCES)
		return lm_fail(err, LM_E_CONFLICT, 0, "'%s' is locked", path);
	if (sys == EBADF || sys == EINVAL || sys == ENOLCK || sys == EOPNOTSUPP || sys == ENOSYS)
		return lm_fail(err, LM_E_INVALID, sys,
			"'%s' is on a file system on which it cannot be locked: %m", path);
	return lm_fail(err, LM_E_SYS, sys, "lock '%s': %m", path);
}

/// A lock that allows reading is all that a descriptor for reading can have: it keeps everybody
/// from a lock for writing, and whoever has one for reading is found by asking.
static lm_rc lock_ranges(int fd, const char *path, struct lm_err *err)
{
	struct flock ours = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct flock theirs = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &ours) < 0 || fcntl(fd, F_OFD_GETLK, &theirs) < 0)
		return fail_to_lock(path, errno, err);
	return theirs.l_type == F_UNLCK ? LM_OK : fail_to_lock(path, EWOULDBLOCK, err);
}

lm_rc file_hold_take(const char *path, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int found = -1, fd = -1, again = -1;
	struct stat st, now;
	lm_rc rc = find_file(path, &found, &st, err);

	if (rc == LM_OK)
		rc = open_found(found, path, &fd, err);
	// First those of fcntl, so that a program that has one never meets our flock.
	if (rc == LM_OK)
		rc = lock_ranges(fd, path, err);
	if (rc == LM_OK && flock(fd, LOCK_EX | LOCK_NB) < 0)
		rc = fail_to_lock(path, errno, err);
	// What we have locked may have been replaced meanwhile.
	if (rc == LM_OK)
		rc = find_file(path, &again, &now, err);
	if (rc)
		return rc;
	if (now.st_dev != st.st_dev || now.st_ino != st.st_ino)
		return lm_fail(err, LM_E_CONFLICT, 0, "'%s' was just replaced", path);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}
