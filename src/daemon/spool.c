// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/spool_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define CURSOR "cursor"

enum {
	FILE_MAX = 256 << 10, ///< What is pushed out at a time is read, to count its lines.
	FILES = 4,            ///< Into so many the space is divided where it is small.
	CURSOR_MAX = 64,
};

uint64_t spool_end(const struct spool *s)
{
	return s->n ? s->files[s->n - 1].place + s->files[s->n - 1].size : s->cursor;
}

/// "12345 0": the cursor, and how many lines were lost.
static bool parse_cursor(struct lm_str text, uint64_t *ret_cursor, uint64_t *ret_lost)
{
	struct lm_str rest = lm_str_trim(text);
	struct lm_str first = lm_str_cut(&rest, ' ');

	return lm_str_to_u64(first, SPOOL_PLACE_MAX, ret_cursor) &&
	       lm_str_to_u64(rest, SPOOL_PLACE_MAX, ret_lost);
}

/// One that is missing or was spoilt is 0: rather a line twice than never.
static void read_cursor(struct spool *s)
{
	lm_auto_close int fd = openat(s->dir_fd, CURSOR, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	lm_auto_buf struct lm_buf text = LM_BUF(CURSOR_MAX);
	uint64_t cursor = 0, lost = 0;

	if (fd < 0 || lm_fd_read_all(fd, CURSOR, &text, NULL) != LM_OK ||
		!parse_cursor(lm_buf_str(&text), &cursor, &lost))
		return;
	s->cursor = cursor;
	s->lost = lost;
}

lm_rc spool_save(const struct spool *s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(CURSOR_MAX);

	(void)lm_buf_printf(&text, "%" PRIu64 " %" PRIu64 "\n", s->cursor, s->lost);
	return lm_file_replace(s->dir_fd, CURSOR, lm_buf_str(&text), 0600, err);
}

static void set_bound(struct spool *s, unsigned space_kb)
{
	uint64_t space = (uint64_t)space_kb << 10;

	if (space < LIMIT_LOG_LINE)
		space = LIMIT_LOG_LINE;
	s->space = space < LIMIT_SPOOL ? space : LIMIT_SPOOL;
	s->file_max = s->space / FILES < FILE_MAX ? s->space / FILES : FILE_MAX;
}

lm_rc spool_open(const char *directory, unsigned space_kb, struct spool **ret, struct lm_err *err)
{
	lm_auto(spool_close_p) struct spool *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct spool){.dir_fd = -1, .fd = -1, .taken_fd = -1, .reader_fd = -1};
	s->directory = lm_xstrdup(directory);
	set_bound(s, space_kb);
	lm_rc rc = lm_dir_make(directory, 0700, err);
	if (rc != LM_OK)
		return rc;
	s->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open the folder '%s': %m", directory);
	read_cursor(s);
	rc = spool_files_open(s, err);
	if (rc != LM_OK)
		return rc;
	spool_files_remove_shipped(s);
	spool_files_make_room(s, 0);
	*ret = lm_take(s);
	return LM_OK;
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	lm_cleanup_close(&s->taken_fd);
	lm_cleanup_close(&s->reader_fd);
	lm_cleanup_close(&s->fd);
	lm_cleanup_close(&s->dir_fd);
	free(s->files);
	free(s->directory);
	free(s);
}

void spool_set_space(struct spool *s, unsigned space_kb)
{
	set_bound(s, space_kb);
	spool_files_make_room(s, 0);
}

unsigned spool_space_kb(const struct spool *s)
{
	return (unsigned)(s->space >> 10);
}

void spool_add(struct spool *s, struct lm_str line)
{
	if (line.n == 0)
		return;
	if (line.n > LIMIT_LOG_LINE) { // it could be as large as the whole
		s->lost++;
		return;
	}
	spool_files_make_room(s, line.n);
	if (!spool_files_append(s, line))
		s->lost++;
}

bool spool_waits(const struct spool *s)
{
	return spool_end(s) > s->cursor;
}

static lm_rc copy_piece(
	struct spool *s, int to, uint64_t place, size_t max, size_t *ret_n, struct lm_err *err)
{
	lm_auto_close int from = -1;
	off_t offset = 0;
	size_t n = 0, done = 0;
	lm_rc rc = spool_files_open_at(s, place, &from, &offset, &n, err);

	if (rc != LM_OK)
		return rc;
	n = n < max ? n : max;
	while (done < n) {
		ssize_t sent = sendfile(to, from, &offset, n - done);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return lm_fail(err, LM_E_SYS, errno, "read '%s': %m", s->directory);
		if (sent == 0) {
			spool_files_cut(s, place + done);
			break;
		}
		done += (size_t)sent;
	}
	*ret_n = done;
	return LM_OK;
}

/// What was cut at the ceiling ends with the last line that is whole.
static size_t whole_lines(int fd, size_t n)
{
	char end[LIMIT_LOG_LINE];
	size_t tail = n < sizeof(end) ? n : sizeof(end);
	ssize_t got = pread(fd, end, tail, (off_t)(n - tail));
	const char *last = got == (ssize_t)tail ? memrchr(end, '\n', tail) : NULL;

	return last ? n - tail + (size_t)(last + 1 - end) : n;
}

static lm_rc fail_file(struct lm_err *err)
{
	return lm_fail(err, LM_E_SYS, errno, "make a file in memory: %m");
}

/// Whoever ships the lines may be another user, who cannot open the file for more than reading.
static lm_rc make_file(struct spool *s, struct lm_err *err)
{
	char path[64];
	lm_auto_close int fd = memfd_create("log", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return fail_file(err);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	s->reader_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->reader_fd < 0)
		return fail_file(err);
	s->taken_fd = lm_take_fd(fd);
	return LM_OK;
}

static lm_rc copy_lines(struct spool *s, size_t *ret_n, struct lm_err *err)
{
	size_t n = 0, piece = 1;

	spool_files_skip_gap(s);
	while (spool_files_have(s, s->cursor + n) && n < LIMIT_LOG_CHUNK && piece > 0) {
		lm_rc rc =
			copy_piece(s, s->taken_fd, s->cursor + n, LIMIT_LOG_CHUNK - n, &piece, err);

		if (rc != LM_OK)
			return rc;
		n += piece;
	}
	n = whole_lines(s->taken_fd, n);
	if (n == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no line in '%s'", s->directory);
	if (ftruncate(s->taken_fd, (off_t)n) < 0 || lseek(s->reader_fd, 0, SEEK_SET) < 0)
		return fail_file(err);
	*ret_n = n;
	return LM_OK;
}

lm_rc spool_take(struct spool *s, int *ret_fd, size_t *ret_n, struct lm_err *err)
{
	size_t n = 0;
	lm_rc rc = s->taken_fd < 0 ? make_file(s, err) : LM_OK;

	if (rc == LM_OK)
		rc = copy_lines(s, &n, err);
	if (rc != LM_OK) {
		spool_put_back(s);
		return rc;
	}
	s->taken = s->done = s->dropped = s->cursor;
	s->taken_end = s->taken + n;
	*ret_fd = s->reader_fd;
	*ret_n = n;
	return LM_OK;
}

lm_rc spool_shipped(struct spool *s, uint64_t n, struct lm_err *err)
{
	uint64_t done = s->taken + n;

	if (s->taken_fd < 0 || n > s->taken_end - s->taken || done < s->done)
		return lm_fail(err, LM_E_INVALID, 0, "more was shipped than there was");
	// What was pushed out before we knew is not lost after all.
	if (s->done < s->dropped) {
		uint64_t until = done < s->dropped ? done : s->dropped;

		uint64_t lines = spool_count_lines(
			s->taken_fd, (off_t)(s->done - s->taken), until - s->done);

		s->lost -= lines < s->lost ? lines : s->lost;
	}
	s->done = done;
	if (done > s->cursor)
		s->cursor = done;
	spool_files_remove_shipped(s);
	return spool_save(s, err);
}

void spool_put_back(struct spool *s)
{
	lm_cleanup_close(&s->taken_fd);
	lm_cleanup_close(&s->reader_fd);
	s->taken_fd = s->reader_fd = -1;
}

void spool_empty(struct spool *s)
{
	if (s->taken_fd < 0)
		return;
	s->taken = s->taken_end = s->done = s->dropped = s->cursor;
	if (ftruncate(s->taken_fd, 0) < 0 || lseek(s->taken_fd, 0, SEEK_SET) < 0)
		spool_put_back(s);
}

uint64_t spool_lost(const struct spool *s)
{
	return s->lost;
}

void spool_clear_lost(struct spool *s)
{
	struct lm_err ignored; // it would be told twice

	s->lost = 0;
	(void)!spool_save(s, &ignored);
}
