// SPDX-License-Identifier: Apache-2.0
#include "registry/challenge.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/url.h"
#include "sys/json.h"

enum {
	BASIC_MAX = LIMIT_HTTP_HEADERS / 2,
	PAIRS_MAX = 64,
};

void challenge_finish(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){0};
}

static void skip_blanks(struct lm_str *s, const char *blanks)
{
	while (s->n > 0 && s->p[0] != '\0' && strchr(blanks, s->p[0]))
		*s = (struct lm_str){s->p + 1, s->n - 1};
}

/// Takes a token (RFC 9110 5.6.2, as far as matters here) off the front.
static struct lm_str challenge_take_token(struct lm_str *s)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != '\0' && !strchr(" \t,=\"", s->p[n]))
		n++;
	struct lm_str word = {s->p, n};
	*s = (struct lm_str){s->p + n, s->n - n};
	return word;
}

/// Takes a quoted text off the front, which starts with its quote. The caller frees.
static char *take_quoted_text(struct lm_str *s)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HTTP_HEADERS);
	size_t i = 1;

	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		(void)lm_buf_putc(&text, s->p[i]);
	}
	i = i < s->n ? i + 1 : s->n;
	*s = (struct lm_str){s->p + i, s->n - i};
	return lm_xstrdup(lm_buf_cstr(&text)); // up to a NUL, which no parameter has
}

static char *take_parameter(struct lm_str *s)
{
	if (s->n > 0 && s->p[0] == '"')
		return take_quoted_text(s);
	struct lm_str word = challenge_take_token(s);
	return lm_xmemdup0(word.p, word.n);
}

static void set_parameter(struct challenge *c, struct lm_str name, char *value)
{
	char **member = lm_str_eq_nocase(name, LM_STR("realm"))     ? &c->realm
			: lm_str_eq_nocase(name, LM_STR("service")) ? &c->service
			: lm_str_eq_nocase(name, LM_STR("scope"))   ? &c->scope
								    : NULL;

	if (!member || *member) {
		free(value);
		return;
	}
	*member = value;
}

static enum challenge_scheme scheme_of(struct lm_str word)
{
	if (lm_str_eq_nocase(word, LM_STR("basic")))
		return CHALLENGE_BASIC;
	return lm_str_eq_nocase(word, LM_STR("bearer")) ? CHALLENGE_BEARER : CHALLENGE_NONE;
}

/// Takes the parameters of one challenge; what is behind the last of them is left in `*s`.
static void take_parameters(struct lm_str *s, struct challenge *c)
{
	for (;;) {
		struct lm_str rest = *s;

		skip_blanks(&rest, " \t,");
		struct lm_str name = challenge_take_token(&rest);
		skip_blanks(&rest, " \t");
		if (name.n == 0 || rest.n == 0 || rest.p[0] != '=')
			return; // the next challenge, or garbage
		rest = (struct lm_str){rest.p + 1, rest.n - 1};
		skip_blanks(&rest, " \t");
		set_parameter(c, name, take_parameter(&rest));
		*s = rest;
	}
}

static void fill_absent(char **text)
{
	if (!*text)
		*text = lm_xstrdup("");
}

void challenge_parse(struct lm_str header, struct challenge *ret)
{
	struct lm_str rest = header;

	*ret = (struct challenge){0};
	while (rest.n > 0) {
		lm_auto(challenge_finish) struct challenge c = {0};

		skip_blanks(&rest, " \t,");
		struct lm_str word = challenge_take_token(&rest);
		if (word.n == 0)
			return; // a '=' or a quote where a scheme should be
		take_parameters(&rest, &c);
		c.scheme = scheme_of(word);
		bool usable = c.scheme == CHALLENGE_BASIC ||
			      (c.scheme == CHALLENGE_BEARER && c.realm && *c.realm);
		if (!usable)
			continue;
		*ret = c;
		c = (struct challenge){0};
		fill_absent(&ret->realm);
		fill_absent(&ret->service);
		fill_absent(&ret->scope);
		return;
	}
}

/// Whether it may stand in a header: a line end would start another one.
static bool is_printable(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

lm_rc challenge_token_parse(struct lm_str body, struct lm_secret *ret, struct lm_err *err)
{
	lm_auto_json json_t *answer = NULL;

	// jansson's message may quote the text.
	if (json_parse(body, &answer, NULL))
		return lm_fail(err, LM_E_PROTOCOL, 0, "its answer is not JSON");
	const char *token = json_get_text(answer, "token");
	if (!token)
		token = json_get_text(answer, "access_token");
	if (!token || !is_printable(lm_str(token)))
		return lm_fail(err, LM_E_PROTOCOL, 0, "its answer has no token in it");
	lm_secret_set(ret, lm_str(token));
	return LM_OK;
}

bool challenge_basic(struct lm_str username, struct lm_str password, struct lm_secret *ret)
{
	lm_auto_buf struct lm_buf pair = LM_BUF_SECRET(BASIC_MAX);
	lm_auto_buf struct lm_buf value = LM_BUF_SECRET(BASIC_MAX);

	(void)lm_buf_add_str(&pair, username);
	(void)lm_buf_putc(&pair, ':');
	(void)lm_buf_add_str(&pair, password);
	(void)lm_buf_puts(&value, "Basic ");
	if (!lm_base64_encode(&value, lm_buf_str(&pair), LM_BASE64_STANDARD) || pair.overflow)
		return false;
	lm_secret_set(ret, lm_buf_str(&value));
	return true;
}

void challenge_bearer(const struct lm_secret *token, struct lm_secret *ret)
{
	lm_auto_buf struct lm_buf value = LM_BUF_SECRET(token->len + 16);

	(void)lm_buf_puts(&value, "Bearer ");
	(void)lm_buf_add_str(&value, lm_secret_str(token));
	lm_secret_set(ret, lm_buf_str(&value));
}

void registry_url_finish(struct registry_url *a)
{
	for (size_t i = 0; i < a->query_n; i++) {
		free(a->query[i].name);
		free(a->query[i].value);
	}
	free(a->query);
	free(a->origin);
	free(a->path);
	*a = (struct registry_url){0};
}

/// The text decoded, or NULL. In a query a '+' stands for a blank. The caller frees.
static char *decode(struct lm_str s, bool in_query)
{
	lm_auto_buf struct lm_buf plain = LM_BUF(LIMIT_HTTP_HEADERS);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HTTP_HEADERS);

	for (size_t i = 0; i < s.n; i++)
		(void)lm_buf_putc(&plain, in_query && s.p[i] == '+' ? ' ' : s.p[i]);
	if (!lm_percent_decode(&text, lm_buf_str(&plain)) || plain.overflow ||
		memchr(lm_buf_cstr(&text), '\0', text.len))
		return NULL;
	return lm_buf_take(&text);
}

static bool read_query(struct lm_str query, struct registry_url *a)
{
	a->query = lm_xcalloc(PAIRS_MAX, sizeof(*a->query));
	while (query.n > 0) {
		struct lm_str value = lm_str_cut(&query, '&');
		struct lm_str name = lm_str_cut(&value, '=');

		if (a->query_n == PAIRS_MAX)
			return false;
		struct registry_url_parameter *pair = &a->query[a->query_n++];
		pair->name = decode(name, true);
		pair->value = decode(value, true);
		if (!pair->name || !pair->value)
			return false;
	}
	return true;
}

/// Takes scheme and host off the front of `*rest`, or the base in their place.
static bool take_origin(struct lm_str *rest, const char *base, struct registry_url *url)
{
	struct url a;
	const char *why;

	if (base && lm_str_starts(*rest, LM_STR("/")) && !lm_str_starts(*rest, LM_STR("//"))) {
		url->https = strncmp(base, "https://", 8) == 0;
		url->origin = lm_xstrdup(base);
		return true;
	}
	if (!url_parse(*rest, &a, &why))
		return false;
	url->https = !a.plain_http;
	url->origin = a.origin;
	*rest = a.rest;
	return true;
}

lm_rc registry_url_parse(
	struct lm_str text, const char *base, struct registry_url *ret, struct lm_err *err)
{
	lm_auto(registry_url_finish) struct registry_url a = {0};
	struct lm_str query = lm_str_trim(text);
	struct lm_str without_fragment = lm_str_cut(&query, '#');
	char shown[4 * 200 + 32];

	query = without_fragment;
	bool good = take_origin(&query, base, &a);
	struct lm_str path = good ? lm_str_cut(&query, '?') : (struct lm_str){"", 0};
	if (good) {
		a.path = path.n > 0 ? decode(path, false) : lm_xstrdup("/");
		good = a.path && read_query(query, &a);
	}
	if (!good) { // a query may hold a signature, and is not shown
		struct lm_str head = {without_fragment.p, lm_str_find(without_fragment, '?')};
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a valid http:// or https:// URL",
			lm_str_shorten(head, 200, shown, sizeof(shown)));
	}
	*ret = a;
	a = (struct registry_url){0};
	return LM_OK;
}
