// SPDX-License-Identifier: Apache-2.0
#include "aws/xml.h"

#include "base/cleanup.h"

#include <fnmatch.h>
#include <openssl/asn1.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 256, ENTITY_MAX = 10, CHARACTER_MAX = 4 };

static void skip(struct lm_str *s, size_t n)
{
	*s = (struct lm_str){s->p + n, s->n - n};
}

static bool skip_past(struct lm_str *rest, const char *mark)
{
	const char *p = memmem(rest->p, rest->n, mark, strlen(mark));

	if (p)
		skip(rest, (size_t)(p - rest->p) + strlen(mark));
	return p != NULL;
}

/// Skips a comment, a processing instruction or a declaration. False: it has no end.
static bool skip_markup(struct lm_str *rest)
{
	if (lm_str_starts(*rest, LM_STR("<!--")))
		return skip_past(rest, "-->");
	if (lm_str_starts(*rest, LM_STR("<?")))
		return skip_past(rest, "?>");
	return skip_past(rest, ">");
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

struct tag {
	struct lm_str name;
	bool closes, is_empty;
};

static bool take_tag(struct lm_str *rest, struct tag *ret)
{
	struct lm_str tag = {rest->p + 1, rest->n - 1};
	size_t n = tag_length(tag);

	if (n == tag.n)
		return false;
	skip(rest, n + 2);
	tag.n = n;
	ret->closes = n && tag.p[0] == '/';
	ret->is_empty = n && !ret->closes && tag.p[n - 1] == '/';
	if (ret->closes)
		skip(&tag, 1);
	for (n = 0; n < tag.n && !strchr(" \t\n\r/", tag.p[n]); n++)
		;
	ret->name = (struct lm_str){tag.p, n};
	return n > 0 && (n == tag.n || tag.p[n]); // no NUL in a path
}

/// An entity's character as UTF-8; 0 bytes if it is none.
static size_t decode_entity(struct lm_str e, unsigned char out[CHARACTER_MAX])
{
	static const struct {
		const char *name;
		char c;
	} known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
	char text[ENTITY_MAX + 1] = "";

	for (size_t i = 0; i < LM_ARRAY_SIZE(known); i++) {
		if (lm_str_eq(e, lm_str(known[i].name))) {
			out[0] = (unsigned char)known[i].c;
			return 1;
		}
	}
	if (e.n < 2 || e.p[0] != '#')
		return 0;
	memcpy(text, e.p + 1, e.n - 1);
	bool hex = text[0] == 'x' || text[0] == 'X';
	const char *digits = text + hex;
	size_t n = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long value = strtoul(digits, NULL, hex ? 16 : 10);

	if (!n || n + hex != e.n - 1 || !value)
		return 0;
	int size = UTF8_putc(out, CHARACTER_MAX, value); // negative: no character
	return size > 0 ? (size_t)size : 0;
}

static void decode_text(struct lm_str text, char *out, size_t size)
{
	size_t len = 0;

	text = lm_str_trim(text);
	while (text.n) {
		unsigned char c[CHARACTER_MAX] = {(unsigned char)text.p[0]};
		struct lm_str near = {text.p, text.n < ENTITY_MAX + 2 ? text.n : ENTITY_MAX + 2};
		size_t end = c[0] == '&' ? lm_str_find(near, ';') : near.n;
		size_t n =
			end < near.n ? decode_entity((struct lm_str){text.p + 1, end - 1}, c) : 0;

		if (len + (n ? n : 1) >= size)
			break;
		memcpy(out + len, c, n ? n : 1);
		len += n ? n : 1;
		skip(&text, n ? end + 1 : 1);
	}
	out[len] = '\0';
	if (lm_str_is_utf8((struct lm_str){out, len}))
		return;
	// Cut within a character, or not UTF-8 at all: only ASCII is certain.
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)out[i] >= 0x80)
			out[i] = '?';
	}
}

/// The names of the elements that are open, as a path; a name that does not fit ends it.
struct path {
	char text[PATH_SIZE];
	size_t n;
	unsigned depth;
	unsigned kept; ///< How many of them the text has.
};

static void open_element(struct path *p, struct lm_str name)
{
	bool fits = p->depth == p->kept && p->n + 1 + name.n < sizeof(p->text);

	p->depth++;
	if (!fits)
		return;
	p->kept++;
	p->text[p->n] = '/';
	memcpy(p->text + p->n + 1, name.p, name.n);
	p->n += 1 + name.n;
	p->text[p->n] = '\0';
}

static void close_element(struct path *p)
{
	if (p->depth-- != p->kept)
		return;
	p->kept--;
	p->n = (size_t)(strrchr(p->text, '/') - p->text);
	p->text[p->n] = '\0';
}

/// Whether `name` is that of the innermost element.
static bool is_innermost(const struct path *p, struct lm_str name)
{
	return p->depth && p->depth == p->kept &&
	       lm_str_eq(lm_str(strrchr(p->text, '/') + 1), name);
}

static void store(const char *path, struct lm_str text, const struct xml_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!fields[i].out[0] && fnmatch(fields[i].path, path, FNM_PATHNAME) == 0)
			decode_text(text, fields[i].out, fields[i].size);
	}
}

void xml_read_fields(struct lm_str xml, const struct xml_field *fields, size_t n)
{
	struct path path = {.n = 0};
	struct lm_str rest = xml, text = {0};
	bool leaf = false; // nothing but text since the innermost element began

	for (size_t i = 0; i < n; i++)
		fields[i].out[0] = '\0';
	if (lm_str_starts(rest, LM_STR("\xEF\xBB\xBF")))
		skip(&rest, 3);
	for (;;) {
		size_t text_n = lm_str_find(rest, '<');
		struct tag tag = {0};

		if (text_n)
			text = (struct lm_str){rest.p, text_n};
		skip(&rest, text_n);
		if (path.depth == 0 && lm_str_trim(text).n)
			return;
		if (lm_str_starts(rest, LM_STR("<!")) || lm_str_starts(rest, LM_STR("<?"))) {
			if (!skip_markup(&rest))
				return;
			continue;
		}
		if (!rest.n || !take_tag(&rest, &tag))
			return;
		if (tag.closes) {
			if (leaf && text.n && is_innermost(&path, tag.name))
				store(path.text, text, fields, n);
			if (path.depth)
				close_element(&path);
		} else if (!tag.is_empty) {
			open_element(&path, tag.name);
		}
		leaf = !tag.closes && !tag.is_empty;
		text = (struct lm_str){0};
		if (path.depth == 0)
			return;
	}
}
