// SPDX-License-Identifier: Apache-2.0
#include "cli/new_file.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEW_FILE_MODE = 0644 };

lm_rc new_file_check(int dir_fd, const char *dir, const char *name, struct lm_err *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"'%s/%s' exists already: replace it with --force, or name another place "
			"with --output",
			dir, name);
	return errno == ENOENT ? LM_OK
			       : lm_fail(err, lm_rc_of_errno(errno), errno,
					 "cannot look at '%s/%s': %m", dir, name);
}

lm_rc new_file_write(int dir_fd, const char *dir, const char *name, struct lm_str text, bool force,
	struct lm_err *err)
{
	lm_auto_free char *beside = lm_xasprintf(".%s.new", name);
	lm_rc rc = lm_file_replace(dir_fd, force ? name : beside, text, NEW_FILE_MODE, err);

	if (rc)
		return lm_wrap(err, "'%s'", dir);
	if (force)
		return LM_OK;
	// Somebody may have made one since it was looked for.
	if (renameat2(dir_fd, beside, dir_fd, name, RENAME_NOREPLACE) == 0)
		return lm_dir_sync(dir_fd, dir, err);
	rc = lm_fail(err, errno == EEXIST ? LM_E_CONFLICT : lm_rc_of_errno(errno), errno,
		"cannot write '%s/%s': %m", dir, name);
	(void)unlinkat(dir_fd, beside, 0);
	return rc;
}

lm_rc new_file_keep_old(int dir_fd, const char *dir, const char *name, struct lm_err *err)
{
	lm_auto_free char *old = lm_xasprintf("%s.old", name);
	lm_auto_free char *beside = lm_xasprintf(".%s.old", name);

	// A second name, so that the first is never missing; a killed `lighterman` may have left
	// it.
	(void)unlinkat(dir_fd, beside, 0);
	if (linkat(dir_fd, name, dir_fd, beside, 0) < 0)
		return errno == ENOENT ? LM_OK
				       : lm_fail(err, lm_rc_of_errno(errno), errno,
						 "cannot keep '%s/%s' as '%s': %m", dir, name, old);
	if (renameat(dir_fd, beside, dir_fd, old) == 0) {
		// Of two names for the same file, rename() leaves both.
		(void)unlinkat(dir_fd, beside, 0);
		return lm_dir_sync(dir_fd, dir, err);
	}
	lm_rc rc = lm_fail(err, lm_rc_of_errno(errno), errno, "cannot keep '%s/%s' as '%s': %m",
		dir, name, old);
	(void)unlinkat(dir_fd, beside, 0);
	return rc;
}
