// SPDX-License-Identifier: Apache-2.0
#include "events/log_tail.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
	KEPT = 2 * LIMIT_CRASH_LOG, ///< Of the end, before lines are cut and escaped.
	FILE_END = 48 << 10,        ///< Of a file: as much as KEPT takes with JSON around it.
	LINE_MAX = 1024,
	SHOWN_SIZE = 4 * LINE_MAX + 32,
};

void log_tail_init(struct log_tail *t)
{
	*t = (struct log_tail){.text = LM_BUF(KEPT)};
}

void log_tail_finish(struct log_tail *t)
{
	lm_buf_finish(&t->text);
}

static void log_tail_keep(struct log_tail *t, struct lm_str s)
{
	if (s.n > KEPT) {
		s.p += s.n - KEPT;
		s.n = KEPT;
	}
	if (t->text.len + s.n > KEPT)
		lm_buf_consume(&t->text, t->text.len + s.n - KEPT);
	(void)lm_buf_add_str(&t->text, s);
}

/// A head is complete. LM_E_PROTOCOL: it is none, where there must be one.
static lm_rc take_head(struct log_tail *t, struct lm_err *err)
{
	const unsigned char *h = t->head;
	bool is_head = h[0] <= 2 && h[1] == 0 && h[2] == 0 && h[3] == 0;

	t->head_n = 0;
	if (is_head) {
		t->framing = LOG_FRAMES;
		t->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
		return LM_OK;
	}
	if (t->framing == LOG_FRAMES)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's answer has no frame where one must begin");
	t->framing = LOG_RAW;
	log_tail_keep(t, (struct lm_str){(const char *)h, sizeof(t->head)});
	return LM_OK;
}

lm_rc log_tail_feed(struct log_tail *t, struct lm_str piece, struct lm_err *err)
{
	while (piece.n > 0) {
		size_t n = piece.n;

		if (t->framing == LOG_RAW) {
			log_tail_keep(t, piece);
			return LM_OK;
		}
		if (t->left > 0) {
			n = n < t->left ? n : t->left;
			log_tail_keep(t, (struct lm_str){piece.p, n});
			t->left -= (uint32_t)n;
		} else {
			size_t wanted = sizeof(t->head) - t->head_n;

			n = n < wanted ? n : wanted;
			memcpy(t->head + t->head_n, piece.p, n);
			t->head_n += n;
		}
		piece.p += n;
		piece.n -= n;
		if (t->head_n == sizeof(t->head) && take_head(t, err))
			return LM_E_PROTOCOL;
	}
	return LM_OK;
}

/// One without a time is as good as any.
static bool is_in_time(const struct log_tail *t, const char *time)
{
	int64_t ms = 0;

	if (!time || !lm_time_parse(lm_str(time), &ms))
		return true;
	return ms > t->from_ms && (t->until_ms == 0 || ms <= t->until_ms);
}

void log_tail_feed_json(struct log_tail *t, struct lm_str lines)
{
	while (lines.n > 0) {
		struct lm_str line = lm_str_cut(&lines, '\n');
		// Unlike json_parse: programs print NUL.
		lm_auto_json json_t *j = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
		const json_t *text = json_object_get(j, "log");

		if (json_is_string(text) && is_in_time(t, json_get_text(j, "time")))
			log_tail_keep(t, json_text(text));
	}
}

/// Without the line that the beginning of the piece cuts in two.
static struct lm_str log_tail_whole_lines(struct lm_str end, bool is_all)
{
	if (!is_all)
		(void)lm_str_cut(&end, '\n');
	return end;
}

/// An empty file beside the one that it was rotated into: the lines are there.
static bool was_rotated(const char *path)
{
	lm_auto_free char *older = lm_xasprintf("%s.1", path);

	return access(older, F_OK) == 0;
}

static lm_rc log_tail_fail_open(const char *path, struct lm_err *err)
{
	int sys = errno;
	lm_rc rc = sys == ENOENT || sys == ENOTDIR ? LM_E_NOT_FOUND
		   : sys == EACCES || sys == EPERM ? LM_E_DENIED
						   : LM_E_SYS;

	return lm_fail(err, rc, sys, "open '%s': %m", path);
}

lm_rc log_tail_read_file(struct log_tail *t, const char *path, struct lm_err *err)
{
	lm_auto_buf struct lm_buf end = LM_BUF(FILE_END);
	// O_NONBLOCK: whatever has that name must not hold us up.
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return log_tail_fail_open(path, err);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_SYS, EINVAL, "'%s' is not a regular file", path);
	if (st.st_size == 0 && was_rotated(path))
		return lm_fail(err, LM_E_NOT_FOUND, 0, "'%s' was just rotated", path);
	off_t from = st.st_size > FILE_END ? st.st_size - FILE_END : 0;
	ssize_t n = pread(fd, lm_buf_reserve(&end, FILE_END), FILE_END, from);
	if (n < 0)
		return lm_fail(err, LM_E_SYS, errno, "read '%s': %m", path);
	end.len = (size_t)n;
	log_tail_feed_json(t, log_tail_whole_lines(lm_buf_str(&end), from == 0));
	return LM_OK;
}

/// The last line of `*text`, which ends before it afterwards.
static struct lm_str cut_last_line(struct lm_str *text)
{
	size_t from = text->n;

	while (from > 0 && text->p[from - 1] != '\n')
		from--;
	struct lm_str line = {text->p + from, text->n - from};
	text->n = from > 0 ? from - 1 : 0;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

json_t *log_tail_lines(struct log_tail *t)
{
	json_t *lines = json_array();
	char shown[SHOWN_SIZE];
	size_t room = LIMIT_CRASH_LOG;

	// Output that is shorter than a head.
	if (t->framing == LOG_UNDECIDED)
		log_tail_keep(t, (struct lm_str){(const char *)t->head, t->head_n});
	t->head_n = 0;
	struct lm_str text = lm_buf_str(&t->text);
	if (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	while (text.n > 0 && json_array_size(lines) < LIMIT_CRASH_LINES) {
		struct lm_str line = cut_last_line(&text);

		(void)lm_str_shorten(line, LINE_MAX, shown, sizeof(shown));
		size_t n = strlen(shown) + 1;
		if (n > room)
			break;
		room -= n;
		json_array_insert_new(lines, 0, json_string(shown));
	}
	return lines;
}
