// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "worker/work_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

enum { MIB = 1 << 20, SPARE = 64 << 10 }; ///< In bytes.

/// Bytes that a user may still write there; 0 as well if no file can be made any more.
static uint64_t free_bytes(const struct statvfs *fs)
{
	if (fs->f_files > 0 && fs->f_favail == 0)
		return 0;
	return (uint64_t)fs->f_bavail * fs->f_frsize;
}

static lm_rc check_reserve(
	const struct statvfs *fs, const char *path, unsigned reserve_mb, struct lm_err *err)
{
	uint64_t have_mb = free_bytes(fs) / MIB;

	if (have_mb >= reserve_mb)
		return LM_OK;
	return lm_fail(err, LM_E_SYS, ENOSPC,
		"'%s' has %" PRIu64 " MB left, less than Policy.MinFreeDiskMB (%u): make room "
		"there",
		path, have_mb, reserve_mb);
}

static lm_rc admit_engine(const struct work *w, unsigned reserve_mb, struct lm_err *err)
{
	lm_auto_free char *directory = NULL;
	struct statvfs fs;
	lm_rc rc = engine_root_directory(&w->engine, &w->limit, &directory, err);

	if (rc)
		return rc;
	if (statvfs(directory, &fs) == 0)
		return check_reserve(&fs, directory, reserve_mb, err);
	// An engine in a container, or a directory in one that we may not enter.
	lm_warn("cannot tell how much room the Docker daemon has in '%s' (%m), ignoring",
		directory);
	return LM_OK;
}

lm_rc admit_deployment(struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	const char *path = work_definition(w)->destination;
	unsigned reserve_mb = work_definition(w)->policy.min_free_disk_mb;
	struct statvfs fs;

	if (fstatvfs(w->destination_fd, &fs) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine the file system of '%s': %m", path);
	if (free_bytes(&fs) < w->text.len + SPARE)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"the file system of '%s' is full: make room there", path);
	const struct deploy_options options = deploy_job_options(work_definition(w));
	lm_rc rc = images_check(w, mode, err);
	// Where the pull comes after `down`, it would be too late to find out.
	if (!rc && mode != DEPLOY_PULL_LOCAL && deploy_pulls_after_down(&options))
		rc = availability_check(w, mode, err);
	if (!rc && reserve_mb == 0)
		return LM_OK;
	if (!rc)
		rc = check_reserve(&fs, path, reserve_mb, err);
	// What is pulled goes into the engine's own directory.
	if (!rc && mode != DEPLOY_PULL_LOCAL)
		rc = admit_engine(w, reserve_mb, err);
	return rc;
}
