// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/spool_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { NAME_SIZE = 32, PLACE_DIGITS = 20 };

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
	return lm_str_to_u64(digits, SPOOL_PLACE_MAX, ret);
}

static int open_file(const struct spool *s, uint64_t place, int flags)
{
	char name[NAME_SIZE];

	return openat(
		s->dir_fd, name_of(place, name), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
}

static void add_file(struct spool *s, uint64_t place, uint64_t size)
{
	s->files = lm_xrealloc(s->files, (s->n + 1) * sizeof(*s->files));
	s->files[s->n++] = (struct spool_file){place, size};
}

static void remove_file(struct spool *s, size_t i)
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
	const struct spool_file *x = a, *y = b;

	return x->place < y->place ? -1 : x->place > y->place;
}

static lm_rc find_files(struct spool *s, struct lm_err *err)
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
static void remove_torn_line(struct spool *s)
{
	char end[LIMIT_LOG_LINE];
	struct spool_file *last = &s->files[s->n - 1];
	size_t n = last->size < sizeof(end) ? (size_t)last->size : sizeof(end);
	lm_auto_close int fd = open_file(s, last->place, O_RDWR);
	ssize_t got = fd < 0 ? -1 : pread(fd, end, n, (off_t)(last->size - n));

	if (got != (ssize_t)n || n == 0 || end[n - 1] == '\n')
		return;
	const char *line_end = memrchr(end, '\n', n);
	uint64_t size = last->size - n + (line_end ? (size_t)(line_end + 1 - end) : 0);
	if (ftruncate(fd, (off_t)size) == 0)
		last->size = size;
}

lm_rc spool_files_open(struct spool *s, struct lm_err *err)
{
	lm_rc rc = find_files(s, err);

	if (rc != LM_OK)
		return rc;
	// Each ends where the next begins, whatever somebody has done to it.
	for (size_t i = 0; i + 1 < s->n; i++) {
		uint64_t room = s->files[i + 1].place - s->files[i].place;

		if (s->files[i].size > room)
			s->files[i].size = room;
	}
	if (s->n)
		remove_torn_line(s);
	// A power cut took lines that were shipped already: their places must not come again.
	if (s->n && spool_end(s) < s->cursor) {
		while (s->n)
			remove_file(s, s->n - 1);
	}
	if (s->n && s->cursor < s->files[0].place)
		s->cursor = s->files[0].place;
	return LM_OK;
}

static uint64_t total(const struct spool *s)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->n; i++)
		bytes += s->files[i].size;
	return bytes;
}

uint64_t spool_count_lines(int fd, off_t offset, uint64_t n)
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
static void push_out(struct spool *s)
{
	const struct spool_file *oldest = &s->files[0];
	uint64_t end = oldest->place + oldest->size;
	struct lm_err ignored; // at worst these lines are not counted after a crash

	if (end > s->cursor) {
		uint64_t from = s->cursor > oldest->place ? s->cursor : oldest->place;
		lm_auto_close int fd = open_file(s, oldest->place, O_RDONLY);

		if (fd >= 0)
			s->lost += spool_count_lines(fd, (off_t)(from - oldest->place), end - from);
		s->cursor = end;
		if (s->taken_fd >= 0)
			s->dropped = end < s->taken_end ? end : s->taken_end;
		(void)!spool_save(s, &ignored); // before the file goes: its places are known
	}
	remove_file(s, 0);
}

void spool_files_make_room(struct spool *s, size_t n)
{
	while (s->n && total(s) + n > s->space)
		push_out(s);
}

void spool_files_remove_shipped(struct spool *s)
{
	while (s->n > 1 && s->files[1].place <= s->cursor)
		remove_file(s, 0);
}

/// Goes on in the last file, or in a new one.
static bool open_last(struct spool *s, size_t n)
{
	struct spool_file *last = s->n ? &s->files[s->n - 1] : NULL;

	if (last && last->size > 0 && last->size + n > s->file_max) {
		lm_cleanup_close(&s->fd);
		s->fd = -1;
		last = NULL;
	}
	if (last && s->fd >= 0)
		return true;
	uint64_t place = last ? last->place : spool_end(s);
	s->fd = open_file(s, place, O_WRONLY | O_APPEND | O_CREAT);
	if (s->fd < 0)
		return false;
	if (!last)
		add_file(s, place, 0);
	return true;
}

bool spool_files_append(struct spool *s, struct lm_str line)
{
	ssize_t n;

	if (!open_last(s, line.n))
		return false;
	struct spool_file *last = &s->files[s->n - 1];
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
static struct spool_file *find(const struct spool *s, uint64_t place)
{
	for (size_t i = 0; i < s->n; i++) {
		if (place >= s->files[i].place && place - s->files[i].place < s->files[i].size)
			return &s->files[i];
	}
	return NULL;
}

bool spool_files_have(const struct spool *s, uint64_t place)
{
	return find(s, place) != NULL;
}

void spool_files_skip_gap(struct spool *s)
{
	for (size_t i = 0; i < s->n && !find(s, s->cursor); i++) {
		if (s->files[i].place > s->cursor)
			s->cursor = s->files[i].place;
	}
}

void spool_files_cut(struct spool *s, uint64_t place)
{
	struct spool_file *file = find(s, place);

	if (file)
		file->size = place - file->place;
}

lm_rc spool_files_open_at(const struct spool *s, uint64_t place, int *ret_fd, off_t *ret_offset,
	size_t *ret_n, struct lm_err *err)
{
	const struct spool_file *file = find(s, place);
	int fd = file ? open_file(s, file->place, O_RDONLY) : -1;

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
