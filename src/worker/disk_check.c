// SPDX-License-Identifier: Apache-2.0
#include "worker/disk_check.h"

#include "base/log.h"
#include "base/memory.h"
#include "worker/images.h"
#include "worker/released_images.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	MIB = 1 << 20,
	SPARE = 64 << 10, ///< In bytes.
	/// A registry that does not answer delays the pull, which will show, by no more.
	ASK_MS = 10 * 1000,
	/// Unless the application is stopped before the pull: then it is worth more.
	ASK_LONG_MS = 30 * 1000,
	ASK_LONG_ATTEMPTS = 2,
};

/// Bytes that a user can still write there; 0 as well if no file can be made any more.
static uint64_t disk_check_free_bytes(const struct statvfs *fs)
{
	if (fs->f_files > 0 && fs->f_favail == 0)
		return 0;
	return (uint64_t)fs->f_bavail * fs->f_frsize;
}

lm_rc disk_space_find(const struct context *cx, struct disk_space *ret, struct lm_err *err)
{
	lm_auto(disk_space_finish) struct disk_space space = {0};
	struct statvfs fs;
	lm_rc rc = engine_root_directory(&cx->engine, &cx->limit, &space.directory, err);

	if (rc)
		return rc;
	space.seen = statvfs(space.directory, &fs) == 0;
	if (space.seen)
		space.free_bytes = disk_check_free_bytes(&fs);
	else
		space.sys = errno;
	*ret = space;
	space.directory = NULL;
	return LM_OK;
}

void disk_space_finish(struct disk_space *space)
{
	free(space->directory);
	*space = (struct disk_space){0};
}

static uint64_t disk_check_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

struct disk_need disk_need_of(const struct context *cx, const struct image_needs *needs)
{
	return (struct disk_need){.least = needs->bytes,
		.most = needs->bytes_disk,
		.reserve = (uint64_t)context_definition(cx)->policy.min_free_disk_mb * MIB};
}

/// With less free it is refused. A reserve is kept even by a wrong estimate.
static uint64_t find_threshold(const struct disk_need *need)
{
	return disk_check_add(need->reserve > 0 ? need->most : need->least, need->reserve);
}

enum disk_verdict disk_need_judge(const struct disk_need *need, uint64_t free_bytes)
{
	if (free_bytes >= disk_check_add(need->most, need->reserve))
		return DISK_FITS;
	return free_bytes >= find_threshold(need) ? DISK_MAY_FIT : DISK_SHORT;
}

static double to_mb(uint64_t bytes)
{
	return (double)bytes / MIB;
}

/// Notes what has to be free, and where, for the deployment to be worth another try.
static lm_rc fail_reserve(struct context *cx, const char *path, uint64_t free_bytes,
	const struct disk_need *need, struct lm_err *err)
{
	free(cx->space_directory);
	cx->space_directory = lm_xstrdup(path);
	cx->space_bytes = find_threshold(need);
	if (need->least == 0)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"'%s' has %" PRIu64 " MB left, less than Policy.MinFreeDiskMB (%" PRIu64
			"): free disk space there",
			path, free_bytes / MIB, need->reserve / MIB);
	return lm_fail(err, LM_E_SYS, ENOSPC,
		"'%s' has %.1f MB left; the images to be pulled need %s %.1f MB there, and "
		"Policy.MinFreeDiskMB reserves %" PRIu64 " MB: free disk space there",
		path, to_mb(free_bytes), need->reserve > 0 ? "about" : "at least",
		to_mb(need->reserve > 0 ? need->most : need->least), need->reserve / MIB);
}

/// The end of a removal of images.
struct removal {
	const struct context *cx;
	const struct disk_need *need;
	struct disk_space *space;
};

static bool is_still_short(void *ctx)
{
	struct removal *r = ctx;
	struct statvfs fs;

	if (statvfs(r->space->directory, &fs) == 0)
		r->space->free_bytes = disk_check_free_bytes(&fs);
	return disk_need_judge(r->need, r->space->free_bytes) != DISK_FITS;
}

/// Removes images that no generation needs, until there is space or none is left.
static lm_rc make_space(const struct context *cx, const struct disk_need *need,
	struct disk_space *space, struct lm_err *err)
{
	lm_auto(released_images_finish) struct released_images released = {0};
	struct removal removal = {cx, need, space};
	uint64_t before = space->free_bytes;
	lm_rc rc = released_images_find(cx, &released, err);

	if (!rc && released.n > 0)
		rc = released_images_remove(cx, &released, is_still_short, &removal, err);
	if (rc || released.n == 0)
		return rc;
	(void)is_still_short(&removal); // after the last one
	if (space->free_bytes > before)
		lm_info("freed %.1f MB in '%s' by removing images",
			to_mb(space->free_bytes - before), space->directory);
	return LM_OK;
}

/// A snapshot of volumes that is to be made in the same file system, or in one that cannot be seen,
/// needs its room as well.
static void add_snapshot(
	const struct context *cx, const struct disk_space *space, struct disk_need *need)
{
	struct stat images, state;
	bool is_elsewhere = stat(space->directory, &images) == 0 &&
			    stat(cx->task->host.state_directory, &state) == 0 &&
			    images.st_dev != state.st_dev;

	if (is_elsewhere || need->most == 0)
		return;
	need->least = disk_check_add(need->least, cx->protocol->need);
	need->most = disk_check_add(need->most, cx->protocol->need);
}

/// Where pulled images go.
static lm_rc check_engine_space(
	struct context *cx, const struct image_needs *needs, struct lm_err *err)
{
	lm_auto(disk_space_finish) struct disk_space space = {0};
	struct disk_need need = disk_need_of(cx, needs);
	lm_rc rc = need.most > 0 || need.reserve > 0 ? disk_space_find(cx, &space, err) : LM_OK;

	if (rc || !space.directory)
		return rc;
	if (!space.seen) {
		errno = space.sys;
		lm_warn("cannot determine the Docker daemon's free disk space in '%s' (%m), "
			"ignoring",
			space.directory);
		return LM_OK;
	}
	add_snapshot(cx, &space, &need);
	if (disk_need_judge(&need, space.free_bytes) != DISK_FITS)
		rc = make_space(cx, &need, &space, err);
	if (rc)
		return rc;
	enum disk_verdict verdict = disk_need_judge(&need, space.free_bytes);
	if (verdict == DISK_SHORT)
		return fail_reserve(cx, space.directory, space.free_bytes, &need, err);
	if (verdict == DISK_MAY_FIT)
		lm_warn("'%s' has %.1f MB left, and the images to be pulled may need up to %.1f MB "
			"there; the pull will show",
			space.directory, to_mb(space.free_bytes), to_mb(need.most));
	return LM_OK;
}

static lm_rc find_needs(
	struct context *cx, enum deploy_pull mode, struct image_needs *ret, struct lm_err *err)
{
	const struct deploy_options deploy = context_deploy_options(cx);
	bool is_late = deploy_pulls_after_down(&deploy);
	const struct image_needs_options options = {.mode = mode,
		.skips_mirrored = true,
		.is_brief = true,
		.attempts = is_late ? ASK_LONG_ATTEMPTS : 1,
		.timeout_ms = is_late ? ASK_LONG_MS : ASK_MS};
	lm_rc rc = image_needs_find(cx, &options, ret, err);

	// After `down` it would be too late to find out.
	if (rc || !is_late || ret->missing == 0)
		return rc;
	*err = ret->missing_err;
	return ret->missing == 1
		       ? err->rc
		       : lm_wrap(err, "%zu images cannot be pulled (all are in the log); the first",
				 ret->missing);
}

static lm_rc check_destination_space(struct context *cx, struct lm_err *err)
{
	const char *path = context_definition(cx)->destination;
	const struct image_needs nothing = {0};
	const struct disk_need need = disk_need_of(cx, &nothing);
	struct statvfs fs;

	if (fstatvfs(cx->destination_fd, &fs) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine the file system of '%s': %m", path);
	uint64_t free_bytes = disk_check_free_bytes(&fs);
	if (free_bytes < cx->text.len + SPARE)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"the file system of '%s' is full: free disk space there", path);
	if (disk_need_judge(&need, free_bytes) == DISK_SHORT)
		return fail_reserve(cx, path, free_bytes, &need, err);
	return LM_OK;
}

lm_rc disk_check_deployment(struct context *cx, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto(image_needs_finish) struct image_needs needs = {0};
	lm_rc rc = check_destination_space(cx, err);

	if (!rc)
		rc = images_check(cx, mode, err);
	if (!rc && mode != DEPLOY_PULL_LOCAL)
		rc = find_needs(cx, mode, &needs, err);
	if (!rc && mode != DEPLOY_PULL_LOCAL)
		rc = check_engine_space(cx, &needs, err);
	return rc;
}
