// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "daemon/connector_log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
	const struct connector_log *log, unsigned part, struct lm_buf *text, struct lm_err *err)
{
	char name[128];
	lm_auto_buf struct lm_buf both = LM_BUF(LIMIT_LOG_TAIL);

	(void)snprintf(name, sizeof(name), part ? "%s.%u" : "%s", log->name, part);
	lm_auto_close int fd =
		openat(log->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

static size_t count_lines(struct lm_str text)
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

	for (unsigned part = 0; part <= CONNECTOR_LOG_PARTS; part++) {
		if (count_lines(lm_buf_str(&text)) > lines || text.len == text.max)
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
