// SPDX-License-Identifier: Apache-2.0
#include "aws/shell_words.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/secret.h"

#include <stdlib.h>

enum quoting { QUOTING_NONE, QUOTING_SINGLE, QUOTING_DOUBLE };

struct splitter {
	struct shell_words words;
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
	if (s->words.n == SHELL_WORDS_MAX)
		return false;
	s->words.items[s->words.n++] = lm_xmemdup0(lm_buf_cstr(&s->word), s->word.len);
	lm_buf_clear(&s->word);
	s->in_word = false;
	return true;
}

static void add(struct splitter *s, char c)
{
	(void)lm_buf_putc(&s->word, c);
	s->in_word = true;
}

static void take_escaped(struct splitter *s, char c)
{
	// Within double quotes a backslash stands for itself, but before these two.
	if (s->quoting == QUOTING_DOUBLE && c != '"' && c != '\\')
		add(s, '\\');
	add(s, c);
	s->escaped = false;
}

static bool take_quoted(struct splitter *s, char c)
{
	char end = s->quoting == QUOTING_SINGLE ? '\'' : '"';

	if (c == end)
		s->quoting = QUOTING_NONE;
	else if (c == '\\' && s->quoting == QUOTING_DOUBLE)
		s->escaped = true;
	else
		add(s, c);
	return true;
}

static bool take(struct splitter *s, char c)
{
	if (s->escaped) {
		take_escaped(s, c);
		return true;
	}
	if (s->quoting != QUOTING_NONE)
		return take_quoted(s, c);
	if (is_space(c))
		return end_word(s);
	if (c == '\'' || c == '"') {
		s->quoting = c == '"' ? QUOTING_DOUBLE : QUOTING_SINGLE;
		s->in_word = true;
	} else if (c == '\\') {
		s->escaped = true;
	} else {
		add(s, c);
	}
	return true;
}

static const char *split(struct splitter *s, struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!text.p[i])
			return "holds a NUL";
		if (!take(s, text.p[i]))
			return "has too many words";
	}
	if (s->escaped)
		return "ends with a backslash";
	if (s->quoting != QUOTING_NONE)
		return "has a quote that is not closed";
	return end_word(s) ? NULL : "has too many words";
}

bool shell_words_split(struct lm_str text, struct shell_words *ret, const char **ret_why)
{
	lm_auto_buf struct lm_buf word = LM_BUF_SECRET(text.n + 2);
	struct splitter s = {.word = word};

	s.words.items = lm_xcalloc(SHELL_WORDS_MAX + 1, sizeof(*s.words.items));
	*ret_why = split(&s, text);
	word = s.word; // for its end
	if (*ret_why) {
		shell_words_finish(&s.words);
		return false;
	}
	*ret = s.words;
	return true;
}

void shell_words_finish(struct shell_words *w)
{
	for (size_t i = 0; i < w->n; i++) {
		lm_wipe(w->items[i], strlen(w->items[i]));
		free(w->items[i]);
	}
	free(w->items);
	*w = (struct shell_words){0};
}
