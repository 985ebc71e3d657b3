// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_output.h"

#include "base/cleanup.h"

enum { REASON_MAX = 700 };

/// How many bytes an escape sequence takes that begins at `s` (ECMA-48: CSI and OSC; else two).
static size_t escape_length(struct lm_str s)
{
	if (s.n < 2)
		return s.n;
	if (s.p[1] == ']') {
		for (size_t i = 2; i < s.n; i++)
			if (s.p[i] == '\a')
				return i + 1;
		return s.n;
	}
	if (s.p[1] != '[')
		return 2;
	size_t i = 2;
	while (i < s.n && (unsigned char)s.p[i] >= 0x20 && (unsigned char)s.p[i] < 0x40)
		i++;
	return i < s.n ? i + 1 : s.n;
}

void compose_line_clean(struct lm_str line, struct lm_buf *out)
{
	lm_buf_clear(out);
	for (size_t i = 0; i < line.n;) {
		unsigned char c = (unsigned char)line.p[i];
		if (c == 0x1b) {
			i += escape_length((struct lm_str){line.p + i, line.n - i});
			continue;
		}
		if (c == '\t')
			(void)lm_buf_putc(out, ' ');
		else if (c >= 0x20 && c != 0x7f)
			(void)lm_buf_putc(out, (char)c);
		i++;
	}
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

static bool contains(struct lm_str s, const char *word)
{
	return s.n > 0 && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static bool begins(struct lm_str s, const char *word)
{
	return lm_str_starts(s, lm_str(word));
}

enum lm_level compose_line_level(struct lm_str clean)
{
	struct lm_str s = lm_str_trim(clean);
	if (begins(s, "ERROR") || begins(s, "Error") || begins(s, "error") ||
		begins(s, "failed to ") || begins(s, "invalid ") ||
		begins(s, "Traceback (most recent") || contains(s, "Error response from daemon") ||
		contains(s, "level=error") || contains(s, "level=fatal"))
		return LM_ERROR;
	if (begins(s, "WARNING") || begins(s, "WARN[") || contains(s, "level=warning") ||
		contains(s, "variable is not set. Defaulting"))
		return LM_WARN;
	return LM_INFO;
}

/// Lines in which compose tells what it does, not why it failed.
static bool is_progress(struct lm_str s)
{
	static const char *const ends[] = {" ... ", " ...", " ... done", " ... error"};
	static const char *const things[] = {" Container ", " Network ", " Volume ", " Image "};
	for (size_t i = 0; i < LM_ARRAY_SIZE(ends); i++)
		if (lm_str_ends(s, lm_str(ends[i])))
			return true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(things); i++)
		if (begins(s, things[i]))
			return true;
	return false;
}

/// Without the prefixes in which both generations say again that it is an error, and for whom:
/// "ERROR: for web  Cannot start …" stands twice in v1's output, once for each name of a container.
static struct lm_str strip_prefix(struct lm_str s)
{
	static const char *const words[] = {"ERROR: ", "Error: ", "error: "};
	for (size_t i = 0; i < LM_ARRAY_SIZE(words); i++)
		if (begins(s, words[i]))
			s = (struct lm_str){s.p + strlen(words[i]), s.n - strlen(words[i])};
	if (begins(s, "for ")) {
		const char *gap = memmem(s.p, s.n, "  ", 2);
		if (gap)
			s = (struct lm_str){gap, s.n - (size_t)(gap - s.p)};
	}
	return lm_str_trim(s);
}

void compose_reason_init(struct compose_reason *r)
{
	*r = (struct compose_reason){.text = LM_BUF(REASON_MAX), .last = LM_BUF(REASON_MAX)};
}

void compose_reason_finish(struct compose_reason *r)
{
	lm_buf_finish(&r->text);
	lm_buf_finish(&r->last);
}

/// Appends as much as fits, unless it is there already.
static void add_reason(struct lm_buf *b, struct lm_str s)
{
	if (s.n == 0 || (b->len > 0 && memmem(b->data, b->len, s.p, s.n)))
		return;
	if (b->len > 0 && b->len + 1 < b->max)
		(void)lm_buf_putc(b, ' ');
	size_t room = b->max - b->len;
	(void)lm_buf_add(b, s.p, s.n < room ? s.n : room);
}

void compose_reason_add(struct compose_reason *r, struct lm_str clean)
{
	struct lm_str trimmed = lm_str_trim(clean);
	if (trimmed.n == 0)
		return;
	if (begins(trimmed, "Traceback (most recent")) {
		r->traceback = true;
		lm_buf_clear(&r->text);
		return;
	}
	if (r->traceback) {
		// Of Python's traces the last line that is not indented names the exception.
		if (clean.p[0] == ' ')
			return;
		lm_buf_clear(&r->text);
		add_reason(&r->text, trimmed);
		return;
	}
	enum lm_level level = compose_line_level(clean);
	bool progress = is_progress(clean);
	if (level == LM_WARN || progress) {
		r->in_error = false;
		if (!(progress && level == LM_ERROR))
			return;
	}
	if (begins(trimmed, "Encountered errors while"))
		return;
	if (level == LM_ERROR)
		r->in_error = true;
	if (r->in_error)
		add_reason(&r->text, strip_prefix(trimmed));
	lm_buf_clear(&r->last);
	add_reason(&r->last, trimmed);
}

const char *compose_reason_text(const struct compose_reason *r)
{
	return r->text.len > 0 ? lm_buf_cstr(&r->text) : lm_buf_cstr(&r->last);
}

lm_rc compose_reason_class(const char *text)
{
	static const char *const conflicts[] = {
		"is already in use by container",
		"already exists",
		"exists but was not created by",
		"has active endpoints",
		"port is already allocated",
		"address already in use",
		"Pool overlaps with other one",
		"needs to be recreated",
		"was found but has incorrect label",
		"is marked for removal",
		"is already in progress",
	};
	static const char *const network[] = {
		"Cannot connect to the Docker daemon",
		"Couldn't connect to Docker daemon",
		"Error while fetching server API version",
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(conflicts); i++)
		if (strstr(text, conflicts[i]))
			return LM_E_CONFLICT;
	for (size_t i = 0; i < LM_ARRAY_SIZE(network); i++)
		if (strstr(text, network[i]))
			return LM_E_NETWORK;
	return LM_E_REFUSED;
}
