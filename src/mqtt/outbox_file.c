// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox_file_priv.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SEQ_DIGITS = 20 };

static const char *const CLASS_NAMES[] = {"status", "event", "progress"};

char *outbox_file_name(uint64_t seq, enum outbox_class class, char out[OUTBOX_NAME_SIZE])
{
	(void)snprintf(
		out, OUTBOX_NAME_SIZE, "%0*" PRIu64 ".%s", SEQ_DIGITS, seq, CLASS_NAMES[class]);
	return out;
}

bool outbox_file_parse_name(const char *name, uint64_t *ret_seq, enum outbox_class *ret_class)
{
	uint64_t seq = 0;

	if (strlen(name) <= SEQ_DIGITS || name[SEQ_DIGITS] != '.')
		return false;
	for (int i = 0; i < SEQ_DIGITS; i++) {
		unsigned digit = (unsigned)(unsigned char)name[i] - '0';

		if (digit > 9 || seq > (UINT64_MAX - 1 - digit) / 10)
			return false;
		seq = seq * 10 + digit;
	}
	for (enum outbox_class c = OUTBOX_STATUS; c <= OUTBOX_EVENT; c++) {
		if (strcmp(name + SEQ_DIGITS + 1, CLASS_NAMES[c]) == 0) {
			*ret_seq = seq;
			*ret_class = c;
			return true;
		}
	}
	return false;
}

/// FNV-1a, 64 bits: against torn and damaged files, not against people.
static uint64_t checksum(struct lm_str bytes)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < bytes.n; i++)
		sum = (sum ^ (unsigned char)bytes.p[i]) * 0x100000001b3u;
	return sum;
}

void outbox_file_write(struct lm_buf *out, const char *topic, struct lm_str payload)
{
	lm_auto_buf struct lm_buf body = LM_BUF(OUTBOX_FILE_MAX);

	(void)lm_buf_printf(&body, "%s\n", topic);
	(void)lm_buf_add_str(&body, payload);
	(void)lm_buf_printf(
		out, "lighterman-message 1 %016" PRIx64 "\n", checksum(lm_buf_str(&body)));
	(void)lm_buf_add_str(out, lm_buf_str(&body));
}

bool outbox_file_parse(struct lm_str text, struct lm_str *ret_topic, struct lm_str *ret_payload)
{
	char expected[OUTBOX_HEADER_MAX];
	struct lm_str rest = text;
	struct lm_str header = lm_str_cut(&rest, '\n');

	(void)snprintf(
		expected, sizeof(expected), "lighterman-message 1 %016" PRIx64, checksum(rest));
	if (!lm_str_eq(header, lm_str(expected)) || lm_str_find(rest, '\n') == rest.n)
		return false;
	*ret_topic = lm_str_cut(&rest, '\n');
	*ret_payload = rest;
	return true;
}

/// True also if that cannot be seen.
static bool may_be_regular(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? errno != ENOENT
								    : S_ISREG(st.st_mode);
}

static enum outbox_file_state explain(int dir_fd, const char *name)
{
	return may_be_regular(dir_fd, name) ? OUTBOX_FILE_UNREADABLE : OUTBOX_FILE_BAD;
}

enum outbox_file_state outbox_file_read(int dir_fd, const char *name, struct lm_buf *text,
	struct lm_str *ret_topic, struct lm_str *ret_payload)
{
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return explain(dir_fd, name);
	lm_rc rc = lm_fd_read_all(fd, name, text, NULL);
	if (rc == LM_E_TOO_LARGE)
		return OUTBOX_FILE_BAD;
	if (rc != LM_OK)
		return explain(dir_fd, name);
	return outbox_file_parse(lm_buf_str(text), ret_topic, ret_payload) ? OUTBOX_FILE_WHOLE
									   : OUTBOX_FILE_BAD;
}

size_t outbox_file_size(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (size_t)st.st_size : 0;
}

void outbox_file_set_aside(int dir_fd, const char *name)
{
	char bad[NAME_MAX + 8];

	(void)snprintf(bad, sizeof(bad), "%s.bad", name);
	(void)renameat(dir_fd, name, dir_fd, bad);
}

bool outbox_file_is_bad(const char *name, uint64_t *ret_seq)
{
	enum outbox_class ignored;
	struct lm_str all = lm_str(name);

	*ret_seq = 0;
	if (!lm_str_ends(all, LM_STR(".bad")))
		return false;
	lm_auto_free char *message = lm_xmemdup0(name, all.n - strlen(".bad"));
	(void)outbox_file_parse_name(message, ret_seq, &ignored);
	return true;
}

struct bad {
	uint64_t seq;
	char name[NAME_MAX + 1];
};

/// Puts `next` in the place of the oldest of those that stay, if it is newer than that one, which
/// it then is.
static void keep_newer(struct bad kept[LIMIT_OUTBOX_BAD], struct bad *next)
{
	size_t oldest = 0;

	for (size_t i = 1; i < LIMIT_OUTBOX_BAD; i++) {
		if (kept[i].seq < kept[oldest].seq)
			oldest = i;
	}
	if (next->seq <= kept[oldest].seq)
		return;
	struct bad was = kept[oldest];
	kept[oldest] = *next;
	*next = was;
}

size_t outbox_file_limit_bad(int dir_fd)
{
	// A descriptor of its own: closedir closes it.
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct bad kept[LIMIT_OUTBOX_BAD];
	size_t n = 0, removed = 0;

	if (!dir)
		return 0;
	for (const struct dirent *d; (d = readdir(dir));) {
		struct bad next;

		if (!outbox_file_is_bad(d->d_name, &next.seq))
			continue;
		(void)snprintf(next.name, sizeof(next.name), "%s", d->d_name);
		if (n < LIMIT_OUTBOX_BAD) {
			kept[n++] = next;
			continue;
		}
		keep_newer(kept, &next);
		removed += lm_tree_remove(dir_fd, next.name, NULL) == LM_OK;
	}
	return removed;
}
