// SPDX-License-Identifier: Apache-2.0
#include "worker/previous.h"

#include "base/cleanup.h"
#include "worker/local_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/// Whether both are open on one directory, whatever their paths.
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

/// One that root put there for starts offline is not ours to remove.
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
