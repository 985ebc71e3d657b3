// SPDX-License-Identifier: Apache-2.0
#include "worker/local_copy.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

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
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", path);
	return lm_fd_read_all(fd, path, out, err);
}

lm_rc local_copy_place(
	int directory_fd, const char *directory, struct lm_str text, struct lm_err *err)
{
	if (lm_file_replace(directory_fd, LOCAL_COPY_NAME, text, 0600, err))
		return lm_wrap(err, "in the directory '%s'", directory);
	return LM_OK;
}
