// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/secret.h"

#include <stdlib.h>

struct profile_reader {
	enum profile_file_kind kind;
	struct profile_file *file;
	unsigned line; ///< From 1.
	bool in_section;
	enum profile_section section;
	struct lm_str name; ///< Of the section.
	struct lm_str key;  ///< The last one; empty: the section had none yet.
	bool key_has_value;
	size_t indent; ///< How deep that key stood.
};

static lm_rc refuse_line(const struct profile_reader *r, const char *why, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0, "line %u %s", r->line, why);
}

static struct lm_str without_comment(struct lm_str value)
{
	for (size_t i = 1; i < value.n; i++) {
		bool space = value.p[i - 1] == ' ' || value.p[i - 1] == '\t';

		if (space && (value.p[i] == '#' || value.p[i] == ';'))
			return lm_str_trim((struct lm_str){value.p, i});
	}
	return value;
}

static void add_entry(
	struct profile_reader *r, struct lm_str key, struct lm_str nested, struct lm_str whole)
{
	struct profile_file *f = r->file;

	if ((f->n & (f->n + 1)) == 0) // grows at 0, 1, 3, 7, …
		f->entries = lm_xrealloc(f->entries, (2 * f->n + 1) * sizeof(*f->entries));
	f->entries[f->n++] = (struct profile_entry){
		r->section, r->name, key, nested, without_comment(whole), whole};
}

static struct lm_str without_quotes(struct lm_str s)
{
	bool quoted = s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0];

	return quoted ? (struct lm_str){s.p + 1, s.n - 2} : s;
}

/// What a section is for, by the text between its brackets.
static void take_section(struct profile_reader *r, struct lm_str text)
{
	struct lm_str word = text;
	size_t n = 0;

	r->section = PROFILE_SECTION_PROFILE;
	if (r->kind == PROFILE_FILE_CREDENTIALS || lm_str_eq(text, LM_STR("default"))) {
		r->name = without_quotes(text);
		return;
	}
	while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
		n++;
	word.n = n;
	r->name = without_quotes(lm_str_trim((struct lm_str){text.p + n, text.n - n}));
	if (lm_str_eq(word, LM_STR("services")))
		r->section = PROFILE_SECTION_SERVICES;
	else if (!lm_str_eq(word, LM_STR("profile")))
		r->section = PROFILE_SECTION_OTHER;
}

static lm_rc read_section(struct profile_reader *r, struct lm_str line, struct lm_err *err)
{
	struct lm_str section = {line.p + 1, line.n - 1};
	size_t end = lm_str_find(section, ']');

	if (end == section.n)
		return refuse_line(r, "begins a section with '[' but has no ']'", err);
	take_section(r, lm_str_trim((struct lm_str){section.p, end}));
	r->in_section = true;
	r->key = (struct lm_str){0};
	add_entry(r, LM_STR(""), LM_STR(""), LM_STR(""));
	return LM_OK;
}

/// A line below a key with a value goes on with it. One behind a comment does not: it would be a
/// part of it.
static void continue_value(struct lm_str *whole, struct lm_str line)
{
	const char *end = whole->p + whole->n;

	if (lm_str_trim((struct lm_str){end, (size_t)(line.p - end)}).n == 0)
		whole->n = (size_t)(line.p + line.n - whole->p);
}

/// A line below a key, indented deeper.
static void read_nested(struct profile_reader *r, struct lm_str line)
{
	struct lm_str value = line;
	struct lm_str nested = lm_str_trim(lm_str_cut(&value, '='));

	if (r->key_has_value)
		continue_value(&r->file->entries[r->file->n - 1].whole, line);
	else if (nested.n && nested.n < line.n)
		add_entry(r, r->key, nested, lm_str_trim(value));
}

static lm_rc read_line(struct profile_reader *r, struct lm_str line, struct lm_err *err)
{
	struct lm_str trimmed = lm_str_trim(line);
	size_t indent = (size_t)(trimmed.p - line.p);

	if (!trimmed.n || trimmed.p[0] == '#' || trimmed.p[0] == ';')
		return LM_OK;
	if (r->key.n && indent > r->indent) {
		read_nested(r, trimmed);
		return LM_OK;
	}
	if (trimmed.p[0] == '[')
		return read_section(r, trimmed, err);
	size_t mark = lm_str_find(trimmed, '='), colon = lm_str_find(trimmed, ':');
	mark = colon < mark ? colon : mark;
	if (mark == trimmed.n || mark == 0)
		return refuse_line(r, "is neither [section] nor key = value nor a comment", err);
	if (!r->in_section)
		return refuse_line(r, "is before the first [section]", err);

	struct lm_str value =
		lm_str_trim((struct lm_str){trimmed.p + mark + 1, trimmed.n - mark - 1});
	r->key = lm_str_trim((struct lm_str){trimmed.p, mark});
	r->key_has_value = without_comment(value).n > 0;
	r->indent = indent;
	add_entry(r, r->key, LM_STR(""), value);
	return LM_OK;
}

lm_rc profile_file_parse(struct lm_str text, enum profile_file_kind kind, struct profile_file *ret,
	struct lm_err *err)
{
	lm_auto_profile_file struct profile_file file = {0};
	struct profile_reader r = {.kind = kind, .file = &file};

	while (text.n) {
		struct lm_str line = lm_str_cut(&text, '\n');

		r.line++;
		lm_rc rc = read_line(&r, line, err);
		if (rc != LM_OK)
			return rc;
	}
	*ret = file;
	file = (struct profile_file){0};
	return LM_OK;
}

void profile_file_finish(struct profile_file *f)
{
	free(f->entries);
	*f = (struct profile_file){0};
}

bool profile_file_has(
	const struct profile_file *f, enum profile_section section, struct lm_str name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->entries[i].section == section && lm_str_eq(f->entries[i].name, name))
			return true;
	}
	return false;
}

/// The last of several counts.
static const struct profile_entry *find_entry(const struct profile_file *f,
	enum profile_section section, struct lm_str name, const char *key, const char *nested)
{
	for (size_t i = f->n; i-- > 0;) {
		const struct profile_entry *e = &f->entries[i];

		if (e->section == section && e->key.n && lm_str_eq_nocase(e->key, lm_str(key)) &&
			lm_str_eq_nocase(e->nested, lm_str(nested)) && lm_str_eq(e->name, name))
			return e;
	}
	return NULL;
}

struct lm_str profile_file_get_nested(const struct profile_file *f, enum profile_section section,
	struct lm_str name, const char *key, const char *nested)
{
	const struct profile_entry *e = find_entry(f, section, name, key, nested);

	return e ? e->value : LM_STR("");
}

struct lm_str profile_file_get_whole(
	const struct profile_file *f, struct lm_str profile, const char *key)
{
	const struct profile_entry *e = find_entry(f, PROFILE_SECTION_PROFILE, profile, key, "");

	return e ? e->whole : LM_STR("");
}

struct lm_str profile_file_get(const struct profile_file *f, struct lm_str profile, const char *key)
{
	return profile_file_get_nested(f, PROFILE_SECTION_PROFILE, profile, key, "");
}

enum quoting { QUOTING_NONE, QUOTING_SINGLE, QUOTING_DOUBLE };

struct splitter {
	struct profile_command words;
	struct lm_buf word;
	bool in_word; ///< Quotes make an empty one a word, too.
	enum quoting quoting;
	bool escaped; ///< The last character was a backslash that counts.
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool end_word(struct splitter *s)
{
	if (!s->in_word)
		return true;
	if (s->words.n == PROFILE_COMMAND_WORDS_MAX)
		return false;
	s->words.items[s->words.n++] = lm_xmemdup0(lm_buf_cstr(&s->word), s->word.len);
	lm_buf_clear(&s->word);
	s->in_word = false;
	return true;
}

static void add_char(struct splitter *s, char c)
{
	(void)lm_buf_putc(&s->word, c);
	s->in_word = true;
}

static void take_escaped(struct splitter *s, char c)
{
	// Within double quotes a backslash stands for itself, but before these two.
	if (s->quoting == QUOTING_DOUBLE && c != '"' && c != '\\')
		add_char(s, '\\');
	add_char(s, c);
	s->escaped = false;
}

static bool take_quoted_char(struct splitter *s, char c)
{
	char end = s->quoting == QUOTING_SINGLE ? '\'' : '"';

	if (c == end)
		s->quoting = QUOTING_NONE;
	else if (c == '\\' && s->quoting == QUOTING_DOUBLE)
		s->escaped = true;
	else
		add_char(s, c);
	return true;
}

static bool take_char(struct splitter *s, char c)
{
	if (s->escaped) {
		take_escaped(s, c);
		return true;
	}
	if (s->quoting != QUOTING_NONE)
		return take_quoted_char(s, c);
	if (is_space(c))
		return end_word(s);
	if (c == '\'' || c == '"') {
		s->quoting = c == '"' ? QUOTING_DOUBLE : QUOTING_SINGLE;
		s->in_word = true;
	} else if (c == '\\') {
		s->escaped = true;
	} else {
		add_char(s, c);
	}
	return true;
}

static const char *split_words(struct splitter *s, struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!text.p[i])
			return "holds a NUL";
		if (!take_char(s, text.p[i]))
			return "has too many words";
	}
	if (s->escaped)
		return "ends with a backslash";
	if (s->quoting != QUOTING_NONE)
		return "has a quote that is not closed";
	return end_word(s) ? NULL : "has too many words";
}

bool profile_command_split(struct lm_str text, struct profile_command *ret, const char **ret_why)
{
	lm_auto_buf struct lm_buf word = LM_BUF_SECRET(text.n + 2);
	struct splitter s = {.word = word};

	s.words.items = lm_xcalloc(PROFILE_COMMAND_WORDS_MAX + 1, sizeof(*s.words.items));
	*ret_why = split_words(&s, text);
	word = s.word; // for its end
	if (*ret_why) {
		profile_command_finish(&s.words);
		return false;
	}
	*ret = s.words;
	return true;
}

void profile_command_finish(struct profile_command *w)
{
	for (size_t i = 0; i < w->n; i++) {
		lm_wipe(w->items[i], strlen(w->items[i]));
		free(w->items[i]);
	}
	free(w->items);
	*w = (struct profile_command){0};
}
