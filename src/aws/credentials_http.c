// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/web_address.h"
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

static bool parse(struct lm_str url, struct credentials_address *a)
{
	struct web_address w = {0};
	const char *ignored;

	if (!web_address_parse(url, &w, &ignored))
		return false;
	a->origin = w.origin;
	a->host = w.host;
	a->plain_http = w.plain_http;
	return lm_str_find(url, '#') == url.n && parse_path(w.rest, a);
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
