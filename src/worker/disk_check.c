// SPDX-License-Identifier: Apache-2.0
#include "worker/disk_check.h"

#include "base/log.h"
#include "worker/images.h"
#include "worker/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

enum { MIB = 1 << 20, SPARE = 64 << 10 }; ///< In bytes.

/// Bytes that a user can still write there; 0 as well if no file can be made any more.
static uint64_t disk_check_free_bytes(const struct statvfs *fs)
{
	if (fs->f_files > 0 && fs->f_favail == 0)
		return 0;
	return (uint64_t)fs->f_bavail * fs->f_frsize;
}

static lm_rc check_reserve(
	const struct statvfs *fs, const char *path, unsigned reserve_mb, struct lm_err *err)
{
	uint64_t have_mb = disk_check_free_bytes(fs) / MIB;

	if (have_mb >= reserve_mb)
		return LM_OK;
	return lm_fail(err, LM_E_SYS, ENOSPC,
		"'%s' has %" PRIu64
		" MB left, less than Policy.MinFreeDiskMB (%u): free disk space there",
		path, have_mb, reserve_mb);
}

lm_rc disk_check_engine(const struct context *cx, char **ret_directory, struct statvfs *ret,
	bool *ret_seen, struct lm_err *err)
{
	lm_rc rc = engine_root_directory(&cx->engine, &cx->limit, ret_directory, err);

	if (!rc)
		*ret_seen = statvfs(*ret_directory, ret) == 0;
	return rc;
}

/// Where pulled images go.
static lm_rc check_engine_reserve(const struct context *cx, unsigned reserve_mb, struct lm_err *err)
{
	lm_auto_free char *directory = NULL;
	struct statvfs fs;
	bool seen = false;
	lm_rc rc = disk_check_engine(cx, &directory, &fs, &seen, err);

	if (rc)
		return rc;
	if (seen)
		return check_reserve(&fs, directory, reserve_mb, err);
	lm_warn("cannot determine the Docker daemon's free disk space in '%s' (%m), ignoring",
		directory);
	return LM_OK;
}

lm_rc disk_check_deployment(struct context *cx, enum deploy_pull mode, struct lm_err *err)
{
	const char *path = context_definition(cx)->destination;
	unsigned reserve_mb = context_definition(cx)->policy.min_free_disk_mb;
	struct statvfs fs;

	if (fstatvfs(cx->destination_fd, &fs) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine the file system of '%s': %m", path);
	if (disk_check_free_bytes(&fs) < cx->text.len + SPARE)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"the file system of '%s' is full: free disk space there", path);
	const struct deploy_options options = context_deploy_options(cx);
	lm_rc rc = images_check(cx, mode, err);
	// After `down` it would be too late to find out.
	if (!rc && mode != DEPLOY_PULL_LOCAL && deploy_pulls_after_down(&options))
		rc = pull_check_available(cx, mode, err);
	if (!rc && reserve_mb == 0)
		return LM_OK;
	if (!rc)
		rc = check_reserve(&fs, path, reserve_mb, err);
	if (!rc && mode != DEPLOY_PULL_LOCAL)
		rc = check_engine_reserve(cx, reserve_mb, err);
	return rc;
}
