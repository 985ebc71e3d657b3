// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/wait.h"

#include <stdlib.h>

enum { ADDRESS_MAX = 8192 };

/// A request under way; it ends inside of credentials_fetch.
struct exchange {
	const struct credentials_request *request;
	lm_rc rc;
	struct lm_err err;
	struct https_answer answer;
};

static lm_rc prepare(void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	const struct exchange *x = ctx;

	(void)attempt;
	(void)err;
	for (size_t i = 0; i < x->request->headers_n; i++)
		header_list_add(headers, x->request->headers[i].name, x->request->headers[i].value);
	return LM_OK;
}

static void on_answer(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct exchange *x = ctx;

	x->rc = rc;
	x->err = *err;
	x->answer = *answer;
	*answer = (struct https_answer){0};
}

lm_rc credentials_fetch(const struct credentials_context *c, const struct credentials_request *r,
	struct https_answer *ret, struct lm_err *err)
{
	const struct credentials_settings *s = c->settings;
	struct https_request request = r->request;
	struct exchange x = {.request = r, .rc = LM_E_SYS};

	request.body_max = LIMIT_CREDENTIALS_ANSWER;
	request.prepare = prepare;
	request.done = on_answer;
	request.ctx = &x;
	if (s->timeout_ms)
		request.connect_timeout_ms = request.timeout_ms = s->timeout_ms;
	if (s->attempts)
		request.attempts = s->attempts;
	if (s->backoff_max_ms)
		request.backoff_max_ms = s->backoff_max_ms;
	https_start(c->https, &request);
	(void)https_run(c->https, c->limit, NULL); // its failure is the exchange's
	if (x.rc != LM_OK) {
		https_answer_finish(&x.answer);
		if (err)
			*err = x.err;
		return x.rc;
	}
	*ret = x.answer;
	return LM_OK;
}

static bool decode(struct lm_str text, struct lm_buf *out)
{
	return lm_percent_decode(out, text) && lm_buf_putc(out, '\0');
}

/// Fills the query's pairs. The texts are put one behind the other, each ended by NUL.
static bool parse_query(struct lm_str query, struct credentials_address *a)
{
	lm_auto_buf struct lm_buf text = LM_BUF(ADDRESS_MAX);
	const char *p;

	while (query.n) {
		struct lm_str value = lm_str_cut(&query, '&');
		struct lm_str name = lm_str_cut(&value, '=');

		if (a->query_n++ == CREDENTIALS_QUERY_MAX || !decode(name, &text) ||
			!decode(value, &text))
			return false;
	}
	p = a->query_text = lm_buf_take(&text);
	for (size_t i = 0; i < a->query_n; i++) {
		a->query[i].name = lm_str(p);
		p += a->query[i].name.n + 1;
		a->query[i].value = lm_str(p);
		p += a->query[i].value.n + 1;
	}
	return true;
}

static bool parse_path(struct lm_str rest, struct credentials_address *a)
{
	lm_auto_buf struct lm_buf path = LM_BUF(ADDRESS_MAX);
	struct lm_str encoded = lm_str_cut(&rest, '?');

	if (!lm_percent_decode(&path, encoded))
		return false;
	a->path = path.len ? lm_buf_take(&path) : lm_xstrdup("/");
	return parse_query(rest, a);
}

/// The host of "host", "host:port", "[::1]" or "[::1]:port"; empty if it is none of them.
static struct lm_str host_of(struct lm_str authority)
{
	struct lm_str rest = authority;

	if (authority.n && authority.p[0] == '[') {
		size_t end = lm_str_find(authority, ']');

		return end == authority.n ? (struct lm_str){0}
					  : (struct lm_str){authority.p + 1, end - 1};
	}
	return lm_str_cut(&rest, ':');
}

static bool parse(struct lm_str url, struct credentials_address *a)
{
	struct lm_str scheme = LM_STR("https://");

	a->plain_http = lm_str_starts(url, LM_STR("http://"));
	if (a->plain_http)
		scheme = LM_STR("http://");
	if (!lm_str_starts(url, scheme))
		return false;
	size_t end = scheme.n;
	while (end < url.n && url.p[end] != '/' && url.p[end] != '?') {
		unsigned char c = (unsigned char)url.p[end++];

		if (c <= ' ' || c > '~' || c == '@' || c == '#' || c == '\\' || c == '%')
			return false;
	}
	a->origin = lm_xmemdup0(url.p, end);
	a->host = host_of((struct lm_str){a->origin + scheme.n, end - scheme.n});
	return a->host.n && lm_str_find(url, '#') == url.n &&
	       parse_path((struct lm_str){url.p + end, url.n - end}, a);
}

lm_rc credentials_parse_address(const char *variable, struct lm_str url,
	struct credentials_address *ret, struct lm_err *err)
{
	lm_auto_address struct credentials_address a = {0};

	if (url.n > ADDRESS_MAX || !parse(url, &a))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s holds no address that can be asked; give it as http://host/path or "
			"https://host/path",
			variable);
	*ret = a;
	a = (struct credentials_address){0};
	return LM_OK;
}

void credentials_address_finish(struct credentials_address *a)
{
	free(a->origin);
	free(a->path);
	free(a->query_text);
	*a = (struct credentials_address){0};
}
