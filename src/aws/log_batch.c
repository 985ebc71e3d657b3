// SPDX-License-Identifier: Apache-2.0
#include "aws/log_batch.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	NAME_MAX_CHARS = 512,
	MESSAGE_MAX = LIMIT_LOG_BATCH - LOG_EVENT_OVERHEAD,
	SPAN_MAX_MS = 24 * 3600 * 1000, ///< Both ends within: the last one is earlier.
};

static const char cut_mark[] = "...";

bool log_group_is_name(struct lm_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
			     c == '/' || c == '#';

		if (!usual)
			return false;
	}
	return name.n > 0 && name.n <= NAME_MAX_CHARS && !lm_str_starts(name, LM_STR("aws/"));
}

bool log_stream_is_name(struct lm_str name)
{
	size_t chars = 0;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == ':' || c == '*' || c < ' ' || c == 0x7F)
			return false;
		chars += (c & 0xC0) != 0x80; // all but continuation bytes
	}
	return chars > 0 && chars <= NAME_MAX_CHARS && lm_str_is_utf8(name);
}

/// The clock of a device that woke up before 1970 is not one that the service takes.
static int64_t time_of(const struct log_event *e)
{
	return e->time_ms > 0 ? e->time_ms : 0;
}

static size_t cost_of(const struct log_event *e)
{
	size_t n = e->message.n < MESSAGE_MAX ? e->message.n : MESSAGE_MAX;

	return n + LOG_EVENT_OVERHEAD;
}

size_t log_batch_fit(const struct log_event *events, size_t n)
{
	int64_t first = INT64_MAX, last = 0;
	size_t bytes = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct log_event *e = &events[i];
		int64_t t = time_of(e);

		if (!e->message.n)
			continue;
		first = t < first ? t : first;
		last = t > last ? t : last;
		bytes += cost_of(e);
		if (++count > LOG_EVENTS_MAX || bytes > LIMIT_LOG_BATCH ||
			last - first >= SPAN_MAX_MS)
			return i;
	}
	return n;
}

/// Bytes of the well-formed character at the front of `s`; 0 if there is none.
static size_t character(struct lm_str s)
{
	unsigned char lead = (unsigned char)s.p[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

	return lead && n <= s.n && lm_str_is_utf8((struct lm_str){s.p, n}) ? n : 0;
}

/// Replaces what CloudWatch Logs does not take. The length stays, so that cost_of() holds.
static void make_utf8(char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t c = character((struct lm_str){p + i, n - i});

		if (!c)
			p[i] = '?';
		i += c ? c : 1;
	}
}

static json_t *message_of(const struct log_event *e)
{
	lm_auto_free char *text = NULL;
	size_t n = e->message.n, mark = sizeof(cut_mark) - 1;

	if (n <= MESSAGE_MAX && lm_str_is_utf8(e->message) && !memchr(e->message.p, '\0', n))
		return json_stringn(e->message.p, n);
	text = lm_xmemdup0(e->message.p, n < MESSAGE_MAX ? n : MESSAGE_MAX);
	if (n > MESSAGE_MAX) {
		n = MESSAGE_MAX - mark;
		while ((text[n] & 0xC0) == 0x80 && n > MESSAGE_MAX - mark - 4)
			n--; // not within a character
		memcpy(text + n, cut_mark, mark);
		n += mark;
	}
	make_utf8(text, n);
	return json_stringn(text, n);
}

struct entry {
	const struct log_event *event;
};

static int by_time(const void *a, const void *b)
{
	const struct log_event *x = ((const struct entry *)a)->event;
	const struct log_event *y = ((const struct entry *)b)->event;

	if (time_of(x) != time_of(y))
		return time_of(x) < time_of(y) ? -1 : 1;
	return x < y ? -1 : x > y; // of one array: their order
}

json_t *log_batch_build(const struct log_event *events, size_t n)
{
	lm_auto_free struct entry *sorted = lm_xcalloc(n + 1, sizeof(*sorted));
	json_t *list = json_array();
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (events[i].message.n)
			sorted[count++].event = &events[i];
	}
	qsort(sorted, count, sizeof(*sorted), by_time);
	for (size_t i = 0; i < count; i++) {
		const struct log_event *e = sorted[i].event;

		(void)json_array_append_new(
			list, json_pack("{sI so}", "timestamp", (json_int_t)time_of(e), "message",
				      message_of(e)));
	}
	return list;
}
