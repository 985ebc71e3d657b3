// SPDX-License-Identifier: Apache-2.0
#include "sys/numbered_dir.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NUMBER_DIGITS = 20 };

lm_rc numbered_dir_open(
	const char *path, const char *const *suffixes, struct numbered_dir *ret, struct lm_err *err)
{
	lm_rc rc = lm_dir_make(path, 0700, err);

	if (rc)
		return rc;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open '%s': %m", path);
	*ret = (struct numbered_dir){.path = lm_xstrdup(path), .fd = fd, .suffixes = suffixes};
	return LM_OK;
}

void numbered_dir_finish(struct numbered_dir *d)
{
	if (d->path)
		(void)close(d->fd);
	free(d->path);
	*d = (struct numbered_dir){0};
}

static bool is_half_written(const char *name)
{
	return name[0] == '.' && lm_str_ends(lm_str(name), LM_STR(".tmp"));
}

lm_rc numbered_dir_list(struct numbered_dir *d,
	void (*each)(void *ctx, const char *name, const struct numbered_file *file), void *ctx,
	struct lm_err *err)
{
	// A descriptor of its own: closedir closes it.
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "list '%s': %m", d->path);
	for (const struct dirent *e; (e = readdir(dir));) {
		struct numbered_file file;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (is_half_written(e->d_name)) {
			(void)unlinkat(d->fd, e->d_name, 0); // one that stays goes next time
			continue;
		}
		bool is_ours = numbered_file_parse_name(d, e->d_name, &file);
		if (is_ours)
			numbered_dir_reserve(d, file.number);
		each(ctx, e->d_name, is_ours ? &file : NULL);
	}
	return LM_OK;
}

void numbered_dir_reserve(struct numbered_dir *d, uint64_t number)
{
	if (number > d->last)
		d->last = number;
}

char *numbered_file_name(
	const struct numbered_dir *d, struct numbered_file file, char out[NUMBERED_FILE_NAME_SIZE])
{
	(void)snprintf(out, NUMBERED_FILE_NAME_SIZE, "%0*" PRIu64 "%s", NUMBER_DIGITS, file.number,
		d->suffixes[file.suffix]);
	return out;
}

bool numbered_file_parse_name(
	const struct numbered_dir *d, const char *name, struct numbered_file *ret)
{
	struct numbered_file file = {0};

	for (int i = 0; i < NUMBER_DIGITS; i++) {
		unsigned digit = (unsigned)(unsigned char)name[i] - '0';

		if (digit > 9 || file.number > (UINT64_MAX - 1 - digit) / 10)
			return false;
		file.number = file.number * 10 + digit;
	}
	for (; d->suffixes[file.suffix]; file.suffix++) {
		if (strcmp(name + NUMBER_DIGITS, d->suffixes[file.suffix]) != 0)
			continue;
		*ret = file;
		return true;
	}
	return false;
}

lm_rc numbered_dir_put(
	struct numbered_dir *d, struct numbered_file file, struct lm_str text, struct lm_err *err)
{
	char name[NUMBERED_FILE_NAME_SIZE];
	lm_rc rc = lm_file_replace(d->fd, numbered_file_name(d, file, name), text, 0600, err);

	if (rc)
		return lm_wrap(err, "'%s'", d->path);
	numbered_dir_reserve(d, file.number);
	return LM_OK;
}

lm_rc numbered_dir_remove(struct numbered_dir *d, struct numbered_file file, struct lm_err *err)
{
	char name[NUMBERED_FILE_NAME_SIZE];

	if (unlinkat(d->fd, numbered_file_name(d, file, name), 0) != 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "remove '%s/%s': %m", d->path, name);
	return LM_OK;
}
