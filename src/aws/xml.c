// SPDX-License-Identifier: Apache-2.0
#include "aws/xml.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum token_kind { TOKEN_OPEN, TOKEN_CLOSE, TOKEN_EMPTY, TOKEN_TEXT, TOKEN_END, TOKEN_BAD };

struct token {
	enum token_kind kind;
	struct lm_str text; ///< The element's name, or the text with its entities.
};

static bool skip_past(struct lm_str *rest, const char *mark)
{
	const char *p = memmem(rest->p, rest->n, mark, strlen(mark));

	if (!p)
		return false;
	p += strlen(mark);
	*rest = (struct lm_str){p, (size_t)(rest->p + rest->n - p)};
	return true;
}

/// The length of a tag behind its '<', up to its '>'; a '>' within quotes does not count.
static size_t tag_length(struct lm_str s)
{
	char quote = '\0';

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (quote)
			quote = c == quote ? '\0' : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '>')
			return i;
	}
	return s.n;
}

static bool is_name_end(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '/' || c == '>';
}

static struct token read_tag(struct lm_str *rest)
{
	struct lm_str tag = {rest->p + 1, rest->n - 1};
	size_t n = tag_length(tag);
	struct token t = {.kind = TOKEN_OPEN};

	if (n == tag.n)
		return (struct token){.kind = TOKEN_BAD};
	*rest = (struct lm_str){tag.p + n + 1, tag.n - n - 1};
	tag.n = n;
	if (tag.n && tag.p[0] == '/') {
		t.kind = TOKEN_CLOSE;
		tag = (struct lm_str){tag.p + 1, tag.n - 1};
	} else if (tag.n && tag.p[tag.n - 1] == '/') {
		t.kind = TOKEN_EMPTY;
	}
	size_t end = 0;
	while (end < tag.n && !is_name_end(tag.p[end]))
		end++;
	t.text = (struct lm_str){tag.p, end};
	if (!end)
		t.kind = TOKEN_BAD;
	return t;
}

/// The next tag or text. Comments, processing instructions and declarations are skipped.
static struct token next_token(struct lm_str *rest)
{
	while (rest->n && rest->p[0] == '<') {
		bool ok = true;

		if (lm_str_starts(*rest, LM_STR("<!--")))
			ok = skip_past(rest, "-->");
		else if (lm_str_starts(*rest, LM_STR("<?")))
			ok = skip_past(rest, "?>");
		else if (lm_str_starts(*rest, LM_STR("<!")))
			ok = skip_past(rest, ">");
		else
			return read_tag(rest);
		if (!ok)
			return (struct token){.kind = TOKEN_BAD};
	}
	if (!rest->n)
		return (struct token){.kind = TOKEN_END};
	struct lm_str text = {rest->p, lm_str_find(*rest, '<')};

	*rest = (struct lm_str){rest->p + text.n, rest->n - text.n};
	return (struct token){.kind = TOKEN_TEXT, .text = text};
}

struct writer {
	char *out;
	size_t size, len;
};

static void put(struct writer *w, const char *bytes, size_t n)
{
	if (w->len + n < w->size) {
		memcpy(w->out + w->len, bytes, n);
		w->len += n;
	} else {
		w->size = w->len; // cut here: nothing that follows may close the gap
	}
}

static void put_code_point(struct writer *w, uint32_t c)
{
	char b[4];

	if (c < 0x80) {
		b[0] = (char)c;
		put(w, b, 1);
	} else if (c < 0x800) {
		b[0] = (char)(0xC0 | c >> 6);
		b[1] = (char)(0x80 | (c & 0x3F));
		put(w, b, 2);
	} else if (c < 0x10000) {
		b[0] = (char)(0xE0 | c >> 12);
		b[1] = (char)(0x80 | (c >> 6 & 0x3F));
		b[2] = (char)(0x80 | (c & 0x3F));
		put(w, b, 3);
	} else {
		b[0] = (char)(0xF0 | c >> 18);
		b[1] = (char)(0x80 | (c >> 12 & 0x3F));
		b[2] = (char)(0x80 | (c >> 6 & 0x3F));
		b[3] = (char)(0x80 | (c & 0x3F));
		put(w, b, 4);
	}
}

/// "#60" or "#x3C" as a code point; 0 if it is none.
static uint32_t numeric_entity(struct lm_str e)
{
	bool hex = e.n > 1 && (e.p[1] == 'x' || e.p[1] == 'X');
	uint32_t value = 0, base = hex ? 16 : 10;

	if (e.n <= (hex ? 2 : 1) || e.n > 9)
		return 0;
	for (size_t i = hex ? 2 : 1; i < e.n; i++) {
		const char *digits = "0123456789abcdef";
		char c = e.p[i];
		const char *d = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);

		if (!c || !d || (uint32_t)(d - digits) >= base)
			return 0;
		value = value * base + (uint32_t)(d - digits);
		if (value > 0x10FFFF)
			return 0;
	}
	return value >= 0xD800 && value <= 0xDFFF ? 0 : value;
}

static uint32_t entity(struct lm_str e)
{
	static const struct {
		const char *name;
		uint32_t c;
	} known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(known); i++) {
		if (lm_str_eq(e, lm_str(known[i].name)))
			return known[i].c;
	}
	return e.n && e.p[0] == '#' ? numeric_entity(e) : 0;
}

void xml_decode(struct lm_str text, char *out, size_t size)
{
	struct writer w = {.out = out, .size = size};

	text = lm_str_trim(text);
	for (size_t i = 0; i < text.n;) {
		struct lm_str rest = {text.p + i + 1, text.n - i - 1};
		size_t n = text.p[i] == '&' ? lm_str_find(rest, ';') : rest.n;
		uint32_t c = n < rest.n ? entity((struct lm_str){rest.p, n}) : 0;

		if (c) {
			put_code_point(&w, c);
			i += n + 2;
		} else {
			put(&w, text.p + i, 1);
			i++;
		}
	}
	out[w.len] = '\0';
	if (lm_str_is_utf8((struct lm_str){out, w.len}))
		return;
	// Cut within a character, or not UTF-8 at all: only ASCII is certain.
	for (size_t i = 0; i < w.len; i++) {
		if ((unsigned char)out[i] >= 0x80)
			out[i] = '?';
	}
}

/// The names of the elements that are open, as a path; a name that does not fit ends it.
struct path {
	char text[XML_PATH_MAX];
	size_t n;
	unsigned depth;
	unsigned kept; ///< How many of them the text has.
};

static void open_element(struct path *p, struct lm_str name)
{
	bool fits = p->depth == p->kept && p->n + name.n + 1 <= sizeof(p->text);

	p->depth++;
	if (!fits)
		return;
	p->kept++;
	if (p->n)
		p->text[p->n++] = '/';
	memcpy(p->text + p->n, name.p, name.n);
	p->n += name.n;
}

static void close_element(struct path *p)
{
	if (p->depth-- != p->kept)
		return;
	p->kept--;
	while (p->n && p->text[p->n - 1] != '/')
		p->n--;
	if (p->n)
		p->n--;
}

/// Whether `name` is that of the innermost element.
static bool is_innermost(const struct path *p, struct lm_str name)
{
	struct lm_str text = {p->text, p->n};

	return p->depth == p->kept && lm_str_ends(text, name) &&
	       (text.n == name.n || p->text[p->n - name.n - 1] == '/');
}

void xml_each_text(struct lm_str xml, xml_text *take, void *ctx)
{
	struct path path = {.n = 0};
	struct lm_str rest = xml, text = {0};
	bool leaf = false; // nothing but text since the innermost element began

	if (lm_str_starts(rest, LM_STR("\xEF\xBB\xBF")))
		rest = (struct lm_str){rest.p + 3, rest.n - 3};
	for (;;) {
		struct token t = next_token(&rest);

		switch (t.kind) {
		case TOKEN_OPEN:
			open_element(&path, t.text);
			leaf = true;
			text = (struct lm_str){0};
			break;
		case TOKEN_TEXT:
			if (path.depth == 0 && lm_str_trim(t.text).n)
				return;
			text = t.text;
			break;
		case TOKEN_CLOSE:
			if (leaf && text.n && is_innermost(&path, t.text))
				take(ctx, (struct lm_str){path.text, path.n}, text);
			leaf = false;
			if (path.depth == 0)
				return;
			close_element(&path);
			if (path.depth == 0)
				return;
			break;
		case TOKEN_EMPTY:
			if (path.depth == 0)
				return;
			leaf = false;
			break;
		case TOKEN_END:
		case TOKEN_BAD:
			return;
		}
	}
}
