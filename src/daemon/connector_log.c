// SPDX-License-Identifier: Apache-2.0
#include "daemon/connector_log.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define FILE_NAME "DockerApplicationDeployment.log"

enum {
	PARTS = 3,
	NAME_SIZE = 64,
	KEEP_MAX = 256 << 10, ///< Copied of a file that is too large; copying holds up the loop.
};

/// The set of files: NAME, which is written to, and its older parts NAME.1 (younger) to NAME.3
/// (older). A part may be missing. Only renaming and removing make one file out of another, so a
/// kill between two calls leaves a gap in the numbers, and never a line twice; the next rotation
/// fills it.
struct connector_log {
	char *path;
	const char *name; ///< Behind the last '/' of `path`.
	uint64_t space;   ///< Bytes.
	int dir_fd;       ///< -1: as `fd`.
	int fd;           ///< -1: could not be opened; the next line tries again.
	dev_t dev;        ///< Of the file that is open.
	ino_t ino;
	uint64_t size;  ///< Of the file that is written to.
	uint64_t older; ///< Of the parts together, as last looked.
	uint64_t lost;  ///< Lines since the last one that could be written.
	int lost_errno; ///< Why the first of them was.
};

/// Opens the file that is written to, in `dir_fd`, and takes its size.
static lm_rc connector_log_open_file(struct connector_log *log, struct lm_err *err)
{
	struct stat st;
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = openat(log->dir_fd, log->name,
		O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return lm_fail(err, LM_E_INVALID, errno, "'%s' is not a regular file: remove it",
			log->path);
	if (fd < 0)
		return lm_fail(err, errno == EACCES || errno == EPERM ? LM_E_DENIED : LM_E_SYS,
			errno, "open the log '%s': %m", log->path);
	if (fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine the log '%s': %m", log->path);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, EINVAL, "'%s' is not a regular file: remove it",
			log->path);
	lm_cleanup_close(&log->fd);
	log->fd = lm_take_fd(fd);
	log->dev = st.st_dev;
	log->ino = st.st_ino;
	log->size = (uint64_t)st.st_size;
	return LM_OK;
}

/// How large the file that is written to becomes before it is rotated.
static uint64_t full_size(const struct connector_log *log)
{
	return log->space / (PARTS + 1);
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

static void connector_log_look(struct connector_log *log)
{
	log->older = 0;
	for (int i = 1; i <= PARTS; i++) {
		uint64_t size = 0;

		if (part_size(log, i, &size))
			log->older += size;
	}
}

/// False if it stays, with errno, or if there is none, with errno 0.
static bool remove_oldest(struct connector_log *log)
{
	for (int i = PARTS; i > 0; i--) {
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
	connector_log_look(log); // another program may have removed some
	while (is_over(log, n)) {
		if (!remove_oldest(log))
			return false;
		connector_log_look(log);
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

	while (free < PARTS && part_size(log, free, &size))
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
	connector_log_look(log);
	if (connector_log_open_file(log, &err) == LM_OK)
		return true;
	errno = err.sys;
	return false;
}

/// Rotates if the file is full, and removes the oldest parts until `n` more bytes are under the
/// bound. False, with errno, if they cannot be.
static bool connector_log_make_room(struct connector_log *log, size_t n)
{
	int sys = 0;

	if (log->size > 0 && log->size + n > full_size(log)) {
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

/// Enforces the bound at once on what an earlier run or another program left, or after it was
/// lowered. A file that is too large by itself keeps its newest lines.
static void fit_space(struct connector_log *log)
{
	uint64_t most = full_size(log) * PARTS;
	// Where lines are small, a file over `most` was written by another program, and would
	// be removed whole soon after its rotation.
	bool strange = log->size > most && full_size(log) >= LIMIT_LOG_LINE;

	if (log->fd >= 0 && (strange || log->size > log->space))
		keep_newest(log, most);
	connector_log_look(log);
	(void)make_bound(log, 0);
}

/// Removes what a killed write or a power cut left of a line. If it is longer than a line can be,
/// another program wrote it.
static void connector_log_remove_torn_line(struct connector_log *log)
{
	char end[LIMIT_LOG_LINE];
	size_t n = log->size < sizeof(end) ? (size_t)log->size : sizeof(end);
	ssize_t got = pread(log->fd, end, n, (off_t)(log->size - n));

	if (got <= 0 || (size_t)got != n || end[n - 1] == '\n')
		return;
	size_t keep = n;
	while (keep > 0 && end[keep - 1] != '\n')
		keep--;
	uint64_t size = log->size - (n - keep);
	if ((keep > 0 || size == 0) && ftruncate(log->fd, (off_t)size) == 0)
		log->size = size;
	else if (write(log->fd, "\n", 1) == 1)
		log->size++;
}

/// From the directories on: they may have been removed or moved away.
static lm_rc open_all(struct connector_log *log, struct lm_err *err)
{
	lm_auto_free char *dir = lm_xmemdup0(log->path, (size_t)(log->name - log->path));
	lm_rc rc = lm_dir_make(dir, 0700, err);

	if (rc != LM_OK)
		return lm_wrap(err, "make the folder of the log");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open the folder of the log '%s': %m", dir);
	lm_cleanup_close(&log->dir_fd);
	log->dir_fd = fd;
	rc = connector_log_open_file(log, err);
	if (rc != LM_OK)
		return rc;
	(void)unlinkat(fd, "." FILE_NAME ".tmp", 0); // of a copy that was killed
	connector_log_remove_torn_line(log);
	fit_space(log);
	return LM_OK;
}

lm_rc connector_log_open(const char *root, const char *region, unsigned space_kb,
	struct connector_log **ret, struct lm_err *err)
{
	if (!*region || *region == '.' || strchr(region, '/'))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a valid region", region);
	lm_auto(connector_log_close_p) struct connector_log *log = lm_xcalloc(1, sizeof(*log));
	log->fd = -1;
	log->dir_fd = -1;
	log->path = lm_xasprintf("%s/ggc/var/log/user/%s/aws/" FILE_NAME, root, region);
	log->name = lm_path_base(log->path);
	log->space = (uint64_t)(space_kb ? space_kb : 1) << 10;
	lm_rc rc = open_all(log, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(log);
	return LM_OK;
}

void connector_log_close(struct connector_log *log)
{
	if (!log)
		return;
	lm_cleanup_close(&log->fd);
	lm_cleanup_close(&log->dir_fd);
	free(log->path);
	free(log);
}

void connector_log_set_space(struct connector_log *log, unsigned space_kb)
{
	log->space = (uint64_t)(space_kb ? space_kb : 1) << 10;
	fit_space(log);
}

/// Whether the path still leads to the file that is open; takes its size, which another program
/// may have changed.
static bool is_in_place(struct connector_log *log)
{
	struct stat st;

	if (log->fd < 0 || lstat(log->path, &st) < 0 || st.st_dev != log->dev ||
		st.st_ino != log->ino)
		return false;
	log->size = (uint64_t)st.st_size;
	return true;
}

static bool connector_log_is_one_line(struct lm_str lines)
{
	return lm_str_find(lines, '\n') + 1 >= lines.n;
}

/// A line larger than the bound is cut to it, between characters; `cut` then holds it.
static struct lm_str fit_line(struct lm_str line, uint64_t space, struct lm_buf *cut)
{
	static const struct lm_str mark = {"...\n", 4};
	size_t most = space < LIMIT_LOG_LINE ? (size_t)space : LIMIT_LOG_LINE;

	if (line.n <= most)
		return line;
	size_t keep = most - mark.n;
	while (keep > 0 && ((unsigned char)line.p[keep] & 0xc0) == 0x80)
		keep--;
	(void)lm_buf_add(cut, line.p, keep);
	(void)lm_buf_add_str(cut, mark);
	return lm_buf_str(cut);
}

/// Of a line, or lines. False, with errno; nothing of it is then in the file.
static bool connector_log_append(struct connector_log *log, struct lm_str line)
{
	lm_auto_buf struct lm_buf cut = LM_BUF(LIMIT_LOG_LINE);
	struct lm_err err;
	ssize_t n;

	if (!is_in_place(log) && open_all(log, &err) != LM_OK) {
		errno = err.sys;
		return false;
	}
	if (connector_log_is_one_line(line)) // several fit into a file together
		line = fit_line(line, log->space, &cut);
	if (!connector_log_make_room(log, line.n))
		return false;
	do
		n = write(log->fd, line.p, line.n);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)line.n) {
		log->size += line.n;
		return true;
	}
	if (n < 0)
		return false;
	// A full disk takes what it can. If that cannot be taken back, opening anew tries again.
	if (ftruncate(log->fd, (off_t)log->size) < 0) {
		lm_cleanup_close(&log->fd);
		log->fd = -1;
	}
	errno = ENOSPC;
	return false;
}

static void count_lost(struct connector_log *log)
{
	if (log->lost++ == 0)
		log->lost_errno = errno;
}

static bool connector_log_report_lost(struct connector_log *log)
{
	lm_auto_buf struct lm_buf line = LM_BUF(512);
	char time[LM_TIME_SIZE];
	int sys = log->lost_errno;

	(void)lm_buf_printf(&line, "[%s][WARN]-%" PRIu64 " line%s of this log %s lost: %s\n",
		lm_time_format_log(lm_clock_wall_ms(), time), log->lost, log->lost == 1 ? "" : "s",
		log->lost == 1 ? "was" : "were",
		sys == ENOSPC || sys == EDQUOT ? "disk full" : strerror(sys));
	if (!connector_log_append(log, lm_buf_str(&line)))
		return false;
	log->lost = 0;
	return true;
}

static void connector_log_write_line(struct connector_log *log, struct lm_str line)
{
	if (log->lost > 0 && !connector_log_report_lost(log)) {
		log->lost++;
		return;
	}
	if (!connector_log_append(log, line))
		count_lost(log);
}

/// The lines that still fit into the file that is written to, as a rotation is between two lines;
/// at least the first.
static struct lm_str cut_piece(const struct connector_log *log, struct lm_str *rest)
{
	uint64_t full = full_size(log);
	uint64_t room = full > log->size ? full - log->size : 0;
	size_t n = rest->n < room ? rest->n : (size_t)room;

	while (n > 0 && rest->p[n - 1] != '\n')
		n--;
	if (n == 0)
		n = lm_str_find(*rest, '\n') + 1;
	if (n > rest->n)
		n = rest->n;
	struct lm_str piece = {rest->p, n};
	*rest = (struct lm_str){rest->p + n, rest->n - n};
	return piece;
}

void connector_log_write(struct connector_log *log, struct lm_str lines)
{
	while (lines.n > 0) {
		struct lm_str piece = cut_piece(log, &lines);

		if (log->lost == 0 && !connector_log_is_one_line(piece) &&
			connector_log_append(log, piece))
			continue;
		// A full disk may still take some of them.
		while (piece.n > 0) {
			struct lm_str rest = piece;

			(void)lm_str_cut(&rest, '\n');
			connector_log_write_line(log, (struct lm_str){piece.p, piece.n - rest.n});
			piece = rest;
		}
	}
}

/// Reads the last `n` bytes of a file, or all of it if it has fewer.
static lm_rc read_end(int fd, size_t n, struct lm_buf *out, struct lm_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "read the log: %m");
	off_t at = (uint64_t)st.st_size > n ? st.st_size - (off_t)n : 0;
	while (at < st.st_size) {
		char piece[16 << 10];
		size_t wanted = (size_t)(st.st_size - at);
		ssize_t got = pread(fd, piece, wanted < sizeof(piece) ? wanted : sizeof(piece), at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return lm_fail(err, LM_E_SYS, errno, "read the log: %m");
		if (got == 0)
			break; // it was emptied meanwhile
		(void)lm_buf_add(out, piece, (size_t)got);
		at += got;
	}
	return LM_OK;
}

/// Puts the end of one of the files in front of what was read of younger ones.
static lm_rc add_part(
	const struct connector_log *log, int part, struct lm_buf *text, struct lm_err *err)
{
	char name[NAME_SIZE];
	lm_auto_buf struct lm_buf both = LM_BUF(LIMIT_LOG_TAIL);
	lm_auto_close int fd = openat(log->dir_fd, part_name(log, part, name),
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? LM_OK : lm_fail(err, LM_E_SYS, errno, "read the log: %m");
	lm_rc rc = read_end(fd, LIMIT_LOG_TAIL - text->len, &both, err);
	if (rc)
		return rc;
	(void)lm_buf_add_str(&both, lm_buf_str(text));
	lm_buf_finish(text);
	*text = both;
	both = LM_BUF(LIMIT_LOG_TAIL);
	return LM_OK;
}

/// Where the last `lines` lines begin. What stands before the first line end of a text that was cut
/// is no whole line.
static size_t find_begin(struct lm_str text, unsigned lines, bool is_cut)
{
	size_t at = text.n;

	for (; at > 0; at--) {
		bool begins = at < text.n && text.p[at - 1] == '\n';
		if (begins && lines-- == 1)
			return at;
	}
	size_t first = lm_str_find(text, '\n');
	return is_cut ? (first < text.n ? first + 1 : text.n) : 0;
}

static size_t connector_log_count_lines(struct lm_str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

lm_rc connector_log_tail(
	const struct connector_log *log, unsigned lines, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_TAIL);

	for (int part = 0; part <= PARTS; part++) {
		if (connector_log_count_lines(lm_buf_str(&text)) > lines || text.len == text.max)
			break;
		lm_rc rc = add_part(log, part, &text, err);
		if (rc)
			return rc;
	}
	size_t begin =
		lines ? find_begin(lm_buf_str(&text), lines, text.len == text.max) : text.len;
	if (!lm_buf_add(out, text.data + begin, text.len - begin))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the end of the log is too long");
	return LM_OK;
}
