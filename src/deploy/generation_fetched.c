// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_fetched.h"

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "deploy/generation_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

lm_rc generation_fetched_create(int dir, int *ret_fd, struct lm_err *err)
{
	if (unlinkat(dir, GENERATION_COMPOSE_NEW, 0) < 0 && errno != ENOENT)
		return lm_fail(
			err, LM_E_SYS, errno, "remove an old '%s': %m", GENERATION_COMPOSE_NEW);
	int fd = openat(dir, GENERATION_COMPOSE_NEW,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '%s': %m", GENERATION_COMPOSE_NEW);
	*ret_fd = fd;
	return LM_OK;
}

lm_rc generation_fetched_keep(int dir, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct stat st;
	lm_rc rc = lm_file_open_at(dir, GENERATION_COMPOSE_NEW, &fd, err);

	if (rc)
		return rc;
	if (fstat(fd, &st) < 0 || fsync(fd) < 0)
		return lm_fail(err, LM_E_SYS, errno, "sync '%s': %m", GENERATION_COMPOSE_NEW);
	if (st.st_size > LIMIT_COMPOSE_FILE)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file is over %d bytes, the most that is stored",
			LIMIT_COMPOSE_FILE);
	if (renameat(dir, GENERATION_COMPOSE_NEW, dir, GENERATION_COMPOSE_KEPT) < 0)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s': %m", GENERATION_COMPOSE_NEW);
	// The new name lasts when the outcome's file syncs the folder; before that it counts for
	// nothing.
	return LM_OK;
}

/// Opens a compose file, and hashes it.
static lm_rc open_hashed(
	int dir, const char *name, int *ret_fd, char ret[LM_SHA256_HEX + 1], struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_rc rc = lm_file_open_at(dir, name, &fd, err);

	if (rc == LM_OK)
		rc = lm_fd_read_all(fd, name, &text, err);
	if (rc == LM_OK && lseek(fd, 0, SEEK_SET) < 0)
		rc = lm_fail(err, LM_E_SYS, errno, "read '%s' again: %m", name);
	if (rc)
		return rc;
	lm_sha256_hex(lm_buf_str(&text), ret);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc generation_fetched_sha256(int dir, char ret[LM_SHA256_HEX + 1], struct lm_err *err)
{
	lm_auto_close int fd = -1;

	return open_hashed(dir, GENERATION_COMPOSE_KEPT, &fd, ret, err);
}

lm_rc generation_compose_sha256(int dir, char ret[LM_SHA256_HEX + 1], struct lm_err *err)
{
	lm_auto_close int fd = -1;

	return open_hashed(dir, GENERATION_COMPOSE, &fd, ret, err);
}

lm_rc generation_fetched_drop(int dir, struct lm_err *err)
{
	static const char *const names[] = {
		GENERATION_COMPOSE_NEW, GENERATION_COMPOSE_KEPT, GENERATION_IMAGES_NEW};
	bool removed = false;

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (unlinkat(dir, names[i], 0) == 0)
			removed = true;
		else if (errno != ENOENT)
			return lm_fail(err, LM_E_SYS, errno, "remove '%s': %m", names[i]);
	}
	return removed ? lm_dir_sync(dir, "generation", err) : LM_OK;
}

/// Renames a file that waited for its outcome; one that is not there was moved before, or never
/// was.
static lm_rc adopt(int dir, const char *from, const char *to, struct lm_err *err)
{
	if (renameat(dir, from, dir, to) < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s' to '%s': %m", from, to);
	return LM_OK;
}

lm_rc generation_fetched_adopt(int dir, struct lm_err *err)
{
	lm_rc rc = adopt(dir, GENERATION_COMPOSE_KEPT, GENERATION_COMPOSE, err);

	if (rc == LM_OK)
		rc = adopt(dir, GENERATION_IMAGES_NEW, GENERATION_IMAGES, err);
	if (rc == LM_OK)
		rc = lm_dir_sync(dir, "generation", err);
	return rc ? rc : generation_fetched_drop(dir, err);
}

lm_rc generation_compose_open(int dir, const char *sha256, int *ret_fd, struct lm_err *err)
{
	// The second one while what follows an outcome is not done yet: the disk has refused it.
	static const char *const names[] = {GENERATION_COMPOSE, GENERATION_COMPOSE_KEPT};
	char found[LM_SHA256_HEX + 1];
	lm_rc first = LM_OK;

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		lm_auto_close int fd = -1;
		lm_rc rc = open_hashed(dir, names[i], &fd, found, first ? NULL : err);

		if (rc == LM_OK && (strcmp(found, sha256) == 0 || (i == 0 && !*sha256))) {
			*ret_fd = lm_take_fd(fd);
			return LM_OK;
		}
		if (i == 0)
			first = rc ? rc
				   : lm_fail(err, LM_E_INVALID, 0,
					     "'%s' is damaged: it does not match the checksum in "
					     "'%s'",
					     GENERATION_COMPOSE, GENERATION_OUTCOME);
	}
	return first;
}
