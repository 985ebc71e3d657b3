// SPDX-License-Identifier: Apache-2.0
#include "worker/local_copy.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define TEMPORARY "." LOCAL_COPY_NAME ".tmp" ///< That of lm_file_replace.

static lm_rc fail_open(int sys, const char *path, struct lm_err *err)
{
	switch (sys) {
	case ENOENT:
		return lm_fail(err, LM_E_NOT_FOUND, sys, "there is no local copy '%s'", path);
	case ELOOP:
		return lm_fail(
			err, LM_E_INVALID, sys, "'%s' is a link, which is not followed", path);
	case EACCES:
		return lm_fail(err, LM_E_DENIED, sys, "open '%s': %m", path);
	case ENXIO: // a socket
		return lm_fail(err, LM_E_INVALID, sys, "'%s' is not a regular file", path);
	default:
		return lm_fail(err, LM_E_SYS, sys, "open '%s': %m", path);
	}
}

/// Whoever can write to the file decides what runs here.
static lm_rc check_trust(const struct stat *st, const char *path, struct lm_err *err)
{
	if (!S_ISREG(st->st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' belongs to user %u and is not trusted: it must belong to user %u, as "
			"whom "
			"the application runs, or to root",
			path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_mode & S_IWOTH)
		return lm_fail(err, LM_E_INVALID, 0,
			"every user can write to '%s', so it is not trusted: chmod 0600 makes it "
			"its "
			"owner's alone",
			path);
	return LM_OK;
}

lm_rc local_copy_read(
	int directory_fd, const char *directory, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(directory, LOCAL_COPY_NAME);
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = openat(
		directory_fd, LOCAL_COPY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return fail_open(errno, path, err);
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
			continue; // what is wrong with it is found out when it is made
		if (S_ISDIR(st.st_mode))
			return lm_fail(err, LM_E_CONFLICT, EISDIR,
				"'%s/%s' is a directory, where the local copy of the compose file "
				"belongs: move it away",
				directory, names[i]);
		if (is_held(&of_directory, &st))
			return lm_fail(err, LM_E_CONFLICT, EPERM,
				"'%s/%s' belongs to user %u, and in this directory (sticky bit) "
				"nobody "
				"else may replace it: remove it, or clear the bit (chmod -t)",
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
