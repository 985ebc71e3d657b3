// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/connector_log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_SIZE = 64,
	KEEP_MAX = 256 << 10, ///< Copied of a file that is too large; copying holds up the loop.
};

uint64_t connector_log_full_size(const struct connector_log *log)
{
	return log->space / (CONNECTOR_LOG_PARTS + 1);
}

/// 0 is the file that is written to.
static const char *part_name(const struct connector_log *log, int i, char out[NAME_SIZE])
{
	if (i == 0)
		(void)snprintf(out, NAME_SIZE, "%s", log->name);
	else
		(void)snprintf(out, NAME_SIZE, "%s.%d", log->name, i);
	return out;
}

/// False if it is not there.
static bool part_size(const struct connector_log *log, int i, uint64_t *ret)
{
	char name[NAME_SIZE];
	struct stat st;

	if (fstatat(log->dir_fd, part_name(log, i, name), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return true;
}

static void look(struct connector_log *log)
{
	log->older = 0;
	for (int i = 1; i <= CONNECTOR_LOG_PARTS; i++) {
		uint64_t size = 0;

		if (part_size(log, i, &size))
			log->older += size;
	}
}

/// False if it stays, with errno, or if there is none, with errno 0.
static bool remove_oldest(struct connector_log *log)
{
	for (int i = CONNECTOR_LOG_PARTS; i > 0; i--) {
		char name[NAME_SIZE];
		uint64_t size = 0;

		if (!part_size(log, i, &size))
			continue;
		return unlinkat(log->dir_fd, part_name(log, i, name), 0) == 0;
	}
	errno = 0;
	return false;
}

static bool is_over(const struct connector_log *log, uint64_t n)
{
	return log->size + log->older + n > log->space;
}

/// Removes parts until `n` more bytes are under the bound. False as remove_oldest.
static bool make_bound(struct connector_log *log, uint64_t n)
{
	if (!is_over(log, n))
		return true;
	look(log); // somebody else may have removed some
	while (is_over(log, n)) {
		if (!remove_oldest(log))
			return false;
		look(log);
	}
	return true;
}

/// Moves each file one number up, as far as the first number that is free. If none is, the oldest
/// part is overwritten.
static bool shift(const struct connector_log *log)
{
	char from[NAME_SIZE];
	char to[NAME_SIZE];
	uint64_t size = 0;
	int free = 1;

	while (free < CONNECTOR_LOG_PARTS && part_size(log, free, &size))
		free++;
	for (int i = free; i > 0; i--)
		if (renameat(log->dir_fd, part_name(log, i - 1, from), log->dir_fd,
			    part_name(log, i, to)) < 0)
			return false;
	return true;
}

/// Goes on in a new file, the old one having been renamed. False, with errno.
static bool start_file(struct connector_log *log)
{
	struct lm_err err;

	lm_cleanup_close(&log->fd);
	log->fd = -1;
	log->size = 0;
	look(log);
	if (connector_log_open_file(log, &err) == LM_OK)
		return true;
	errno = err.sys;
	return false;
}

bool connector_log_make_room(struct connector_log *log, size_t n)
{
	int sys = 0;

	if (log->size > 0 && log->size + n > connector_log_full_size(log)) {
		// One that cannot be rotated is written on to, as long as it is under the bound.
		if (!shift(log))
			sys = errno;
		else if (!start_file(log))
			return false;
	}
	if (make_bound(log, n))
		return true;
	errno = errno ? errno : sys;
	return false;
}

/// The last `max` bytes of the file, from the beginning of a line.
static bool read_newest(const struct connector_log *log, uint64_t max, struct lm_buf *out)
{
	size_t n = max < KEEP_MAX ? (size_t)max : KEEP_MAX;
	char *to = lm_buf_reserve(out, n);
	ssize_t got = to ? pread(log->fd, to, n, (off_t)(log->size - n)) : -1;

	if (got < 0 || (size_t)got != n)
		return false;
	out->len = n;
	size_t partial = lm_str_find(lm_buf_str(out), '\n');
	lm_buf_consume(out, partial < n ? partial + 1 : n);
	return true;
}

/// Replaces the file by one of its newest lines.
static void keep_newest(struct connector_log *log, uint64_t max)
{
	lm_auto_buf struct lm_buf newest = LM_BUF(KEEP_MAX);
	struct lm_err err;

	if (!read_newest(log, max, &newest) ||
		lm_file_replace(log->dir_fd, log->name, lm_buf_str(&newest), 0600, &err) != LM_OK) {
		// No room for the copy: then the bound matters more than these lines.
		if (ftruncate(log->fd, 0) == 0)
			log->size = 0;
		return;
	}
	(void)start_file(log); // if not, the next line tries again
}

void connector_log_fit(struct connector_log *log)
{
	uint64_t most = connector_log_full_size(log) * CONNECTOR_LOG_PARTS;
	// Where lines are small, a file over `most` is a stranger's, and would be removed whole
	// soon after its rotation.
	bool strange = log->size > most && connector_log_full_size(log) >= LIMIT_LOG_LINE;

	if (log->fd >= 0 && (strange || log->size > log->space))
		keep_newest(log, most);
	look(log);
	(void)make_bound(log, 0);
}
