// SPDX-License-Identifier: Apache-2.0
#include "worker/local_copy.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY "." LOCAL_COPY_NAME ".tmp" ///< That of lm_file_replace.

static lm_rc local_copy_fail_open(int sys, const char *path, struct lm_err *err)
{
	switch (sys) {
	case ENOENT:
		return lm_fail(err, LM_E_NOT_FOUND, sys, "there is no local copy '%s'", path);
	case ELOOP:
		return lm_fail(err, LM_E_INVALID, sys,
			"'%s' is a symbolic link, which is not followed", path);
	case EACCES:
		return lm_fail(err, LM_E_DENIED, sys, "open '%s': %m", path);
	case ENXIO: // a socket
		return lm_fail(err, LM_E_INVALID, sys, "'%s' is not a regular file", path);
	default:
		return lm_fail(err, LM_E_SYS, sys, "open '%s': %m", path);
	}
}

/// Whoever can write to the file controls this device's containers.
static lm_rc check_trust(const struct stat *st, const char *path, struct lm_err *err)
{
	if (!S_ISREG(st->st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' belongs to user %u and is not trusted: it must belong to root or to "
			"user %u, who runs the application",
			path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_mode & S_IWOTH)
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' is world-writable, so it is not trusted: run chmod 0600 on it", path);
	return LM_OK;
}

lm_rc local_copy_read(
	int directory_fd, const char *directory, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(directory, LOCAL_COPY_NAME);
	// O_NONBLOCK: a FIFO of that name must not block us.
	lm_auto_close int fd = openat(
		directory_fd, LOCAL_COPY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return local_copy_fail_open(errno, path, err);
	if (fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine '%s': %m", path);
	lm_rc rc = check_trust(&st, path, err);
	return rc ? rc : lm_fd_read_all(fd, path, out, err);
}

/// Whether only the file's owner, who we are not, may remove it from there (unlink(2), EPERM).
static bool is_held(const struct stat *directory, const struct stat *file)
{
	uid_t own = geteuid();

	return (directory->st_mode & S_ISVTX) && own != 0 && directory->st_uid != own &&
	       file->st_uid != own;
}

lm_rc local_copy_check(int directory_fd, const char *directory, struct lm_err *err)
{
	static const char *const names[] = {LOCAL_COPY_NAME, TEMPORARY};
	struct stat of_directory, st;

	if (fstat(directory_fd, &of_directory) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine '%s': %m", directory);
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (fstatat(directory_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; // an error shows when it is created
		if (S_ISDIR(st.st_mode))
			return lm_fail(err, LM_E_CONFLICT, EISDIR,
				"'%s/%s' is a directory, where the local copy of the compose file "
				"belongs: move it away",
				directory, names[i]);
		if (is_held(&of_directory, &st))
			return lm_fail(err, LM_E_CONFLICT, EPERM,
				"'%s/%s' belongs to user %u, and in this directory (sticky bit) "
				"nobody else may replace it: remove it, or clear the bit (chmod "
				"-t)",
				directory, names[i], (unsigned)st.st_uid);
	}
	return LM_OK;
}

lm_rc local_copy_place(
	int directory_fd, const char *directory, struct lm_str text, struct lm_err *err)
{
	if (lm_file_replace(directory_fd, LOCAL_COPY_NAME, text, 0600, err))
		return lm_wrap(err, "in the directory '%s'", directory);
	return LM_OK;
}

/// Whether both are the same directory.
static bool is_same(const struct stat *a, int b_fd)
{
	struct stat b;

	return b_fd >= 0 && fstat(b_fd, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

lm_rc previous_open(
	struct previous *p, const char *directory, int destination_fd, struct lm_err *err)
{
	lm_auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	p->directory = directory;
	p->moved = true;
	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", directory);
	if (is_same(&st, destination_fd)) {
		p->moved = false;
		return LM_OK;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return lm_fail(err, LM_E_INVALID, 0, "'%s' belongs to user %u", directory,
			(unsigned)st.st_uid);
	if (faccessat(fd, ".", R_OK | X_OK, AT_EACCESS) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "read '%s': %m", directory);
	p->directory_fd = lm_take_fd(fd);
	return LM_OK;
}

/// A copy that root put there for offline mode is not ours to remove.
static bool is_own_file(int directory_fd)
{
	struct stat st;

	return fstatat(directory_fd, LOCAL_COPY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

lm_rc previous_remove_copy(const struct previous *p, bool *ret_removed, struct lm_err *err)
{
	lm_auto_buf struct lm_buf copy = LM_BUF(LIMIT_COMPOSE_FILE);

	*ret_removed = false;
	if (!p->moved || p->directory_fd < 0 || !is_own_file(p->directory_fd))
		return LM_OK;
	lm_rc rc = local_copy_read(p->directory_fd, p->directory, &copy, err);
	if (rc)
		return rc;
	if (!lm_str_eq(lm_buf_str(&copy), lm_buf_str(&p->text)))
		return LM_OK;
	if (unlinkat(p->directory_fd, LOCAL_COPY_NAME, 0) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "remove '%s/%s': %m",
			p->directory, LOCAL_COPY_NAME);
	*ret_removed = true;
	return LM_OK;
}

void previous_finish(struct previous *p)
{
	lm_cleanup_close(&p->directory_fd);
	lm_buf_finish(&p->text);
	*p = (struct previous){.directory_fd = -1};
}
