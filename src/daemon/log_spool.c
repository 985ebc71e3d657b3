// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_spool.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define CURSOR "cursor"

enum {
	NAME_SIZE = 32,
	PLACE_DIGITS = 20,
	FILE_MAX = 256 << 10, ///< What is pushed out at a time is read, to count its lines.
	FILES = 4,            ///< Into so many the space is divided where it is small.
	CURSOR_MAX = 64,
};

#define PLACE_MAX ((uint64_t)INT64_MAX / 2) ///< In names and in the cursor: no sum overflows.

struct log_spool_file {
	uint64_t place; ///< Of its first byte.
	uint64_t size;
};

struct log_spool {
	char *directory;
	int dir_fd;
	int fd; ///< Of the last file, for writing; -1: not open.
	uint64_t space, file_max;
	struct log_spool_file *files; ///< In the order of their places.
	size_t n;
	uint64_t cursor; ///< What is before this place is shipped, or lost.
	uint64_t lost;   ///< Lines.

	int taken_fd;  ///< -1: nothing is taken out.
	int reader_fd; ///< The same file, for the worker that ships it.
	uint64_t taken, taken_end;
	uint64_t done;    ///< Up to here what was taken is shipped.
	uint64_t dropped; ///< Up to here it was pushed out meanwhile, and counted as lost.
};

/// The place behind the last line.
static uint64_t end_place(const struct log_spool *s)
{
	return s->n ? s->files[s->n - 1].place + s->files[s->n - 1].size : s->cursor;
}

/// "12345 0": the cursor, and how many lines were lost.
static bool parse_cursor(struct lm_str text, uint64_t *ret_cursor, uint64_t *ret_lost)
{
	struct lm_str rest = lm_str_trim(text);
	struct lm_str first = lm_str_cut(&rest, ' ');
	uint64_t cursor, lost;

	if (!lm_str_to_u64(first, PLACE_MAX, &cursor) || !lm_str_to_u64(rest, PLACE_MAX, &lost))
		return false;
	*ret_cursor = cursor;
	*ret_lost = lost;
	return true;
}

static lm_rc load_cursor(struct log_spool *s, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(CURSOR_MAX + RECORD_HEADER_MAX);
	lm_rc rc = lm_file_open_at(s->dir_fd, CURSOR, &fd, err);

	if (rc == LM_OK)
		rc = lm_fd_read_all(fd, CURSOR, &text, err);
	if (rc)
		return rc;
	struct lm_str document = lm_buf_str(&text);
	// A release before this one wrote the two numbers alone.
	if (parse_cursor(document, &s->cursor, &s->lost))
		return LM_OK;
	rc = record_parse(CURSOR, document, &document, err);
	if (rc == LM_OK && !parse_cursor(document, &s->cursor, &s->lost))
		rc = lm_fail(err, LM_E_INVALID, 0, "'" CURSOR "' is not as it was written");
	return rc;
}

/// One that is missing or damaged is 0: rather a line twice than never.
static void read_cursor(struct log_spool *s, struct damage *damage)
{
	static const char meaning[] = "lines of the log that wait may be shipped twice";
	struct lm_err err = {LM_OK};
	lm_rc rc = load_cursor(s, &err);

	if (rc == LM_OK || rc == LM_E_NOT_FOUND)
		return;
	if (damage_is(&err))
		(void)damage_report(damage, s->dir_fd, CURSOR, err.msg, meaning);
	else
		damage_note(damage, "%s: %s", err.msg, meaning);
}

/// Writes cursor and count, and syncs them.
static lm_rc save_cursor(const struct log_spool *s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(CURSOR_MAX);

	(void)lm_buf_printf(&text, "%" PRIu64 " %" PRIu64 "\n", s->cursor, s->lost);
	return record_replace(s->dir_fd, CURSOR, lm_buf_str(&text), err);
}

static const char *name_of(uint64_t place, char out[NAME_SIZE])
{
	(void)snprintf(out, NAME_SIZE, "%020" PRIu64 ".log", place);
	return out;
}

static bool parse_name(const char *name, uint64_t *ret)
{
	struct lm_str digits = {name, PLACE_DIGITS};

	if (strlen(name) != PLACE_DIGITS + 4 || strcmp(name + PLACE_DIGITS, ".log") != 0)
		return false;
	while (digits.n > 1 && *digits.p == '0')
		digits = (struct lm_str){digits.p + 1, digits.n - 1};
	return lm_str_to_u64(digits, PLACE_MAX, ret);
}

static int log_spool_open_file(const struct log_spool *s, uint64_t place, int flags)
{
	char name[NAME_SIZE];

	return openat(
		s->dir_fd, name_of(place, name), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
}

static void add_file(struct log_spool *s, uint64_t place, uint64_t size)
{
	s->files = lm_xrealloc(s->files, (s->n + 1) * sizeof(*s->files));
	s->files[s->n++] = (struct log_spool_file){place, size};
}

static void log_spool_remove_file(struct log_spool *s, size_t i)
{
	char name[NAME_SIZE];

	if (i == s->n - 1) {
		lm_cleanup_close(&s->fd);
		s->fd = -1;
	}
	// One that cannot be removed counts no more; the next start tries again.
	(void)unlinkat(s->dir_fd, name_of(s->files[i].place, name), 0);
	s->n--;
	memmove(&s->files[i], &s->files[i + 1], (s->n - i) * sizeof(*s->files));
}

static int by_place(const void *a, const void *b)
{
	const struct log_spool_file *x = a, *y = b;

	return x->place < y->place ? -1 : x->place > y->place;
}

static lm_rc find_files(struct log_spool *s, struct lm_err *err)
{
	lm_auto_closedir DIR *dir = NULL;
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	struct stat st;
	uint64_t place = 0;

	if (fd < 0 || !(dir = fdopendir(fd))) {
		lm_cleanup_close(&fd);
		return lm_fail(err, LM_E_SYS, errno, "read the folder '%s': %m", s->directory);
	}
	while ((entry = readdir(dir))) {
		if (parse_name(entry->d_name, &place) &&
			fstatat(s->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode))
			add_file(s, place, (uint64_t)st.st_size);
	}
	if (s->n)
		qsort(s->files, s->n, sizeof(*s->files), by_place);
	return LM_OK;
}

/// What a kill or a power cut left of the last line.
static void log_spool_remove_torn_line(struct log_spool *s)
{
	char end[LIMIT_LOG_LINE];
	struct log_spool_file *last = &s->files[s->n - 1];
	size_t n = last->size < sizeof(end) ? (size_t)last->size : sizeof(end);
	lm_auto_close int fd = log_spool_open_file(s, last->place, O_RDWR);
	ssize_t got = fd < 0 ? -1 : pread(fd, end, n, (off_t)(last->size - n));

	if (got != (ssize_t)n || n == 0 || end[n - 1] == '\n')
		return;
	const char *line_end = memrchr(end, '\n', n);
	uint64_t size = last->size - n + (line_end ? (size_t)(line_end + 1 - end) : 0);
	if (ftruncate(fd, (off_t)size) == 0)
		last->size = size;
}

/// Finds the files, and brings them into order: the cursor is already there.
static lm_rc open_files(struct log_spool *s, struct lm_err *err)
{
	lm_rc rc = find_files(s, err);

	if (rc != LM_OK)
		return rc;
	// Each ends where the next begins, whatever another program did to it.
	for (size_t i = 0; i + 1 < s->n; i++) {
		uint64_t room = s->files[i + 1].place - s->files[i].place;

		if (s->files[i].size > room)
			s->files[i].size = room;
	}
	if (s->n)
		log_spool_remove_torn_line(s);
	// A power cut took lines that were shipped already: their places must not come again.
	if (s->n && end_place(s) < s->cursor) {
		while (s->n)
			log_spool_remove_file(s, s->n - 1);
	}
	if (s->n && s->cursor < s->files[0].place)
		s->cursor = s->files[0].place;
	return LM_OK;
}

static uint64_t total_size(const struct log_spool *s)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->n; i++)
		bytes += s->files[i].size;
	return bytes;
}

/// How many lines end within that part of a file.
static uint64_t log_spool_count_lines(int fd, off_t offset, uint64_t n)
{
	char piece[LIMIT_LOG_LINE];
	uint64_t lines = 0;

	while (n > 0) {
		size_t most = n < sizeof(piece) ? (size_t)n : sizeof(piece);
		ssize_t got = pread(fd, piece, most, offset);

		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got; i++)
			lines += piece[i] == '\n';
		offset += got;
		n -= (uint64_t)got;
	}
	return lines;
}

/// The oldest file goes; what of it is not shipped is counted.
static void push_out(struct log_spool *s)
{
	const struct log_spool_file *oldest = &s->files[0];
	uint64_t end = oldest->place + oldest->size;
	struct lm_err ignored; // at worst these lines are not counted after a crash

	if (end > s->cursor) {
		uint64_t from = s->cursor > oldest->place ? s->cursor : oldest->place;
		lm_auto_close int fd = log_spool_open_file(s, oldest->place, O_RDONLY);

		if (fd >= 0)
			s->lost += log_spool_count_lines(
				fd, (off_t)(from - oldest->place), end - from);
		s->cursor = end;
		if (s->taken_fd >= 0)
			s->dropped = end < s->taken_end ? end : s->taken_end;
		(void)!save_cursor(s, &ignored); // before the file goes: its places are known
	}
	log_spool_remove_file(s, 0);
}

/// Pushes out the oldest files until `n` bytes more are under the bound.
static void log_spool_make_room(struct log_spool *s, size_t n)
{
	while (s->n && total_size(s) + n > s->space)
		push_out(s);
}

/// Removes files of which everything is shipped, but for the last.
static void remove_shipped(struct log_spool *s)
{
	while (s->n > 1 && s->files[1].place <= s->cursor)
		log_spool_remove_file(s, 0);
}

/// Goes on in the last file, or in a new one.
static bool open_last(struct log_spool *s, size_t n)
{
	struct log_spool_file *last = s->n ? &s->files[s->n - 1] : NULL;

	if (last && last->size > 0 && last->size + n > s->file_max) {
		lm_cleanup_close(&s->fd);
		s->fd = -1;
		last = NULL;
	}
	if (last && s->fd >= 0)
		return true;
	uint64_t place = last ? last->place : end_place(s);
	s->fd = log_spool_open_file(s, place, O_WRONLY | O_APPEND | O_CREAT);
	if (s->fd < 0)
		return false;
	if (!last)
		add_file(s, place, 0);
	return true;
}

/// Appends; false if the disk refuses it, and then nothing of it is there.
static bool log_spool_append(struct log_spool *s, struct lm_str line)
{
	ssize_t n;

	if (!open_last(s, line.n))
		return false;
	struct log_spool_file *last = &s->files[s->n - 1];
	do
		n = write(s->fd, line.p, line.n);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)line.n) {
		last->size += line.n;
		return true;
	}
	// A full disk takes what it can. If that cannot be taken back, the file ends before it.
	if (n > 0 && ftruncate(s->fd, (off_t)last->size) < 0) {
		lm_cleanup_close(&s->fd);
		s->fd = -1;
	}
	return false;
}

/// The file that has the place, or NULL.
static struct log_spool_file *log_spool_find(const struct log_spool *s, uint64_t place)
{
	for (size_t i = 0; i < s->n; i++) {
		if (place >= s->files[i].place && place - s->files[i].place < s->files[i].size)
			return &s->files[i];
	}
	return NULL;
}

static bool log_spool_has_line(const struct log_spool *s, uint64_t place)
{
	return log_spool_find(s, place) != NULL;
}

/// A power cut may have taken the end of a file that has a successor: moves the cursor across.
static void skip_gap(struct log_spool *s)
{
	for (size_t i = 0; i < s->n && !log_spool_find(s, s->cursor); i++) {
		if (s->files[i].place > s->cursor)
			s->cursor = s->files[i].place;
	}
}

/// The file with that place has turned out to end there.
static void cut_file(struct log_spool *s, uint64_t place)
{
	struct log_spool_file *file = log_spool_find(s, place);

	if (file)
		file->size = place - file->place;
}

/// Opens the file of that place for reading; `*ret_offset` is where the place is in it, `*ret_n`
/// how many bytes are behind it.
static lm_rc open_at(const struct log_spool *s, uint64_t place, int *ret_fd, off_t *ret_offset,
	size_t *ret_n, struct lm_err *err)
{
	const struct log_spool_file *file = log_spool_find(s, place);
	int fd = file ? log_spool_open_file(s, file->place, O_RDONLY) : -1;

	if (!file)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "'%s' has no line at %" PRIu64, s->directory,
			place);
	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open a file of '%s': %m", s->directory);
	*ret_fd = fd;
	*ret_offset = (off_t)(place - file->place);
	*ret_n = (size_t)(file->size - (place - file->place));
	return LM_OK;
}

static void set_bound(struct log_spool *s, unsigned space_kb)
{
	uint64_t space = (uint64_t)space_kb << 10;

	if (space < LIMIT_LOG_LINE)
		space = LIMIT_LOG_LINE;
	s->space = space < LIMIT_SPOOL ? space : LIMIT_SPOOL;
	s->file_max = s->space / FILES < FILE_MAX ? s->space / FILES : FILE_MAX;
}

lm_rc log_spool_open(const char *directory, unsigned space_kb, struct damage *damage,
	struct log_spool **ret, struct lm_err *err)
{
	lm_auto(log_spool_close_p) struct log_spool *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct log_spool){.dir_fd = -1, .fd = -1, .taken_fd = -1, .reader_fd = -1};
	s->directory = lm_xstrdup(directory);
	set_bound(s, space_kb);
	lm_rc rc = lm_dir_make(directory, 0700, err);
	if (rc != LM_OK)
		return rc;
	s->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open the folder '%s': %m", directory);
	read_cursor(s, damage);
	rc = open_files(s, err);
	if (rc != LM_OK)
		return rc;
	remove_shipped(s);
	log_spool_make_room(s, 0);
	*ret = lm_take(s);
	return LM_OK;
}

void log_spool_close(struct log_spool *s)
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

void log_spool_set_space(struct log_spool *s, unsigned space_kb)
{
	set_bound(s, space_kb);
	log_spool_make_room(s, 0);
}

unsigned log_spool_space_kb(const struct log_spool *s)
{
	return (unsigned)(s->space >> 10);
}

void log_spool_add(struct log_spool *s, struct lm_str line)
{
	if (line.n == 0)
		return;
	if (line.n > LIMIT_LOG_LINE) { // it could be as large as the whole
		s->lost++;
		return;
	}
	log_spool_make_room(s, line.n);
	if (!log_spool_append(s, line))
		s->lost++;
}

bool log_spool_waits(const struct log_spool *s)
{
	return end_place(s) > s->cursor;
}

static lm_rc copy_piece(
	struct log_spool *s, int to, uint64_t place, size_t max, size_t *ret_n, struct lm_err *err)
{
	lm_auto_close int from = -1;
	off_t offset = 0;
	size_t n = 0, done = 0;
	lm_rc rc = open_at(s, place, &from, &offset, &n, err);

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
			cut_file(s, place + done);
			break;
		}
		done += (size_t)sent;
	}
	*ret_n = done;
	return LM_OK;
}

/// What was cut at the ceiling ends with the last line that is whole.
static size_t log_spool_whole_lines(int fd, size_t n)
{
	char end[LIMIT_LOG_LINE];
	size_t tail = n < sizeof(end) ? n : sizeof(end);
	ssize_t got = pread(fd, end, tail, (off_t)(n - tail));
	const char *last = got == (ssize_t)tail ? memrchr(end, '\n', tail) : NULL;

	return last ? n - tail + (size_t)(last + 1 - end) : n;
}

static lm_rc log_spool_fail_file(struct lm_err *err)
{
	return lm_fail(err, LM_E_SYS, errno, "make a file in memory: %m");
}

/// Whoever ships the lines may be another user, who cannot open the file for more than reading.
static lm_rc make_file(struct log_spool *s, struct lm_err *err)
{
	char path[64];
	lm_auto_close int fd = memfd_create("log", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return log_spool_fail_file(err);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	s->reader_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->reader_fd < 0)
		return log_spool_fail_file(err);
	s->taken_fd = lm_take_fd(fd);
	return LM_OK;
}

static lm_rc copy_lines(struct log_spool *s, size_t *ret_n, struct lm_err *err)
{
	size_t n = 0, piece = 1;

	skip_gap(s);
	while (log_spool_has_line(s, s->cursor + n) && n < LIMIT_LOG_CHUNK && piece > 0) {
		lm_rc rc =
			copy_piece(s, s->taken_fd, s->cursor + n, LIMIT_LOG_CHUNK - n, &piece, err);

		if (rc != LM_OK)
			return rc;
		n += piece;
	}
	n = log_spool_whole_lines(s->taken_fd, n);
	if (n == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no line in '%s'", s->directory);
	if (ftruncate(s->taken_fd, (off_t)n) < 0 || lseek(s->reader_fd, 0, SEEK_SET) < 0)
		return log_spool_fail_file(err);
	*ret_n = n;
	return LM_OK;
}

lm_rc log_spool_take(struct log_spool *s, int *ret_fd, size_t *ret_n, struct lm_err *err)
{
	size_t n = 0;
	lm_rc rc = s->taken_fd < 0 ? make_file(s, err) : LM_OK;

	if (rc == LM_OK)
		rc = copy_lines(s, &n, err);
	if (rc != LM_OK) {
		log_spool_put_back(s);
		return rc;
	}
	s->taken = s->done = s->dropped = s->cursor;
	s->taken_end = s->taken + n;
	*ret_fd = s->reader_fd;
	*ret_n = n;
	return LM_OK;
}

lm_rc log_spool_shipped(struct log_spool *s, uint64_t n, struct lm_err *err)
{
	uint64_t done = s->taken + n;

	if (s->taken_fd < 0 || n > s->taken_end - s->taken || done < s->done)
		return lm_fail(err, LM_E_INVALID, 0, "more was shipped than was there");
	// What was pushed out before we knew is not lost after all.
	if (s->done < s->dropped) {
		uint64_t until = done < s->dropped ? done : s->dropped;

		uint64_t lines = log_spool_count_lines(
			s->taken_fd, (off_t)(s->done - s->taken), until - s->done);

		s->lost -= lines < s->lost ? lines : s->lost;
	}
	s->done = done;
	if (done > s->cursor)
		s->cursor = done;
	remove_shipped(s);
	return save_cursor(s, err);
}

void log_spool_put_back(struct log_spool *s)
{
	lm_cleanup_close(&s->taken_fd);
	lm_cleanup_close(&s->reader_fd);
	s->taken_fd = s->reader_fd = -1;
}

void log_spool_empty(struct log_spool *s)
{
	if (s->taken_fd < 0)
		return;
	s->taken = s->taken_end = s->done = s->dropped = s->cursor;
	if (ftruncate(s->taken_fd, 0) < 0 || lseek(s->taken_fd, 0, SEEK_SET) < 0)
		log_spool_put_back(s);
}

uint64_t log_spool_lost(const struct log_spool *s)
{
	return s->lost;
}

void log_spool_clear_lost(struct log_spool *s)
{
	struct lm_err ignored; // it would be reported twice

	s->lost = 0;
	(void)!save_cursor(s, &ignored);
}
