// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox_file_priv.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

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

lm_rc outbox_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open the message '%s': %m", name);
	return lm_fd_read_all(fd, name, out, err);
}

void outbox_file_set_aside(int dir_fd, const char *name)
{
	char bad[NAME_MAX + 8];

	(void)snprintf(bad, sizeof(bad), "%s.bad", name);
	(void)renameat(dir_fd, name, dir_fd, bad);
}
