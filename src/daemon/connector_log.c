// SPDX-License-Identifier: Apache-2.0
#include "daemon/connector_log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "daemon/connector_log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "DockerApplicationDeployment.log"

/// What a write that was killed, or a power cut, left of a line. It is none of ours if it is longer
/// than a line can be.
static void remove_torn_line(struct connector_log *log)
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

lm_rc connector_log_open_file(struct connector_log *log, struct lm_err *err)
{
	struct stat st;
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = openat(log->dir_fd, log->name,
		O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return lm_fail(err, LM_E_INVALID, errno,
			"'%s' is a link or something else than a file: remove it", log->path);
	if (fd < 0)
		return lm_fail(err, errno == EACCES || errno == EPERM ? LM_E_DENIED : LM_E_SYS,
			errno, "open the log '%s': %m", log->path);
	if (fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "examine the log '%s': %m", log->path);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, EINVAL,
			"'%s' is something else than a file: remove it", log->path);
	lm_cleanup_close(&log->fd);
	log->fd = lm_take_fd(fd);
	log->dev = st.st_dev;
	log->ino = st.st_ino;
	log->size = (uint64_t)st.st_size;
	return LM_OK;
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
	remove_torn_line(log);
	connector_log_fit(log);
	return LM_OK;
}

lm_rc connector_log_open(const char *root, const char *region, unsigned space_kb,
	struct connector_log **ret, struct lm_err *err)
{
	if (!*region || *region == '.' || strchr(region, '/'))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is no region to log for", region);
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
	connector_log_fit(log);
}

const char *connector_log_path(const struct connector_log *log)
{
	return log->path;
}

/// Whether the path still leads to the file that is open; takes its size, which somebody else may
/// have changed.
static bool is_in_place(struct connector_log *log)
{
	struct stat st;

	if (log->fd < 0 || lstat(log->path, &st) < 0 || st.st_dev != log->dev ||
		st.st_ino != log->ino)
		return false;
	log->size = (uint64_t)st.st_size;
	return true;
}

static bool is_one_line(struct lm_str lines)
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
static bool append(struct connector_log *log, struct lm_str line)
{
	lm_auto_buf struct lm_buf cut = LM_BUF(LIMIT_LOG_LINE);
	struct lm_err err;
	ssize_t n;

	if (!is_in_place(log) && open_all(log, &err) != LM_OK) {
		errno = err.sys;
		return false;
	}
	if (is_one_line(line)) // several fit into a file together
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

static bool tell_lost(struct connector_log *log)
{
	lm_auto_buf struct lm_buf line = LM_BUF(512);
	char time[LM_TIME_SIZE];
	int sys = log->lost_errno;

	(void)lm_buf_printf(&line, "[%s][WARN]-%" PRIu64 " line%s of this log %s lost: %s\n",
		lm_time_format_log(lm_clock_wall_ms(), time), log->lost, log->lost == 1 ? "" : "s",
		log->lost == 1 ? "was" : "were",
		sys == ENOSPC || sys == EDQUOT ? "disk full" : strerror(sys));
	if (!append(log, lm_buf_str(&line)))
		return false;
	log->lost = 0;
	return true;
}

static void write_line(struct connector_log *log, struct lm_str line)
{
	if (log->lost > 0 && !tell_lost(log)) {
		log->lost++;
		return;
	}
	if (!append(log, line))
		count_lost(log);
}

/// The lines that still fit into the file that is written to, as a rotation is between two lines;
/// at least the first.
static struct lm_str cut_piece(const struct connector_log *log, struct lm_str *rest)
{
	uint64_t full = connector_log_full_size(log);
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

		if (log->lost == 0 && !is_one_line(piece) && append(log, piece))
			continue;
		// A full disk may still take some of them.
		while (piece.n > 0) {
			struct lm_str rest = piece;

			(void)lm_str_cut(&rest, '\n');
			write_line(log, (struct lm_str){piece.p, piece.n - rest.n});
			piece = rest;
		}
	}
}
