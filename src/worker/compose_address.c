// SPDX-License-Identifier: Apache-2.0
#include "worker/compose_address.h"

#include "aws/shared_config.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/https.h"
#include "registry/challenge.h"

enum { REDIRECTS_MAX = 5 };

struct visit {
	const char *address; ///< As the definition has it.
	struct https *https;
	unsigned redirects;
	lm_rc rc;
	struct lm_err err;
	struct stored_object *object;
};

static lm_rc visit_start(struct visit *v, struct lm_str address, const char *base);

static lm_rc visit_fail(struct visit *v, lm_rc rc, const char *what, int status)
{
	return lm_fail(&v->err, rc, 0, "'%s': the server %s (HTTP %d)", v->address, what, status);
}

static lm_rc visit_refused(struct visit *v, int status)
{
	switch (status) {
	case 401:
	case 403:
		return visit_fail(v, LM_E_DENIED,
			"refuses access; an address that needs no login is required", status);
	case 404:
	case 410:
		return visit_fail(v, LM_E_NOT_FOUND, "has no such file", status);
	default:
		if (status == 429 || status >= 500)
			return visit_fail(v, LM_E_NETWORK, "is in trouble", status);
		return visit_fail(v, LM_E_REFUSED, "refuses the request", status);
	}
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// An ETag of the usual length, without its quotes; a weak one names no exact bytes.
static char *version_of(const struct https_answer *answer)
{
	enum { ETAG_MAX = 128 };
	struct lm_str tag = https_header(answer, "etag");

	if (tag.n < 3 || tag.n > ETAG_MAX || tag.p[0] != '"' || tag.p[tag.n - 1] != '"')
		return NULL;
	for (size_t i = 1; i < tag.n - 1; i++)
		if (tag.p[i] <= ' ' || tag.p[i] > '~')
			return NULL;
	return lm_xmemdup0(tag.p + 1, tag.n - 2);
}

static lm_rc visit_take(struct visit *v, struct https_answer *answer)
{
	if (is_redirect(answer->status)) {
		struct lm_str location = https_header(answer, "location");

		if (v->redirects++ == REDIRECTS_MAX || location.n == 0)
			return visit_fail(v, LM_E_PROTOCOL, "redirects too often or to nowhere",
				answer->status);
		return visit_start(v, location, v->address);
	}
	if (answer->status != 200)
		return visit_refused(v, answer->status);
	*v->object = (struct stored_object){answer->body, version_of(answer)};
	answer->body = (struct lm_buf){0};
	return LM_OK;
}

static void compose_address_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct visit *v = ctx;

	if (rc) {
		v->err = *err;
		v->rc = lm_wrap(&v->err, "'%s'", v->address);
	} else {
		v->rc = visit_take(v, answer);
	}
}

/// `base` is where a relative address is relative to; NULL: it must be whole.
static lm_rc visit_start(struct visit *v, struct lm_str address, const char *base)
{
	lm_auto(registry_url_finish) struct registry_url origin = {0}, url = {0};
	struct lm_err ignored;
	lm_rc rc = base ? registry_url_parse(lm_str(base), NULL, &origin, &ignored) : LM_OK;

	if (!rc)
		rc = registry_url_parse(address, origin.origin, &url, &v->err);
	// Without showing the server's text, which may hold a password.
	if (rc && base)
		return lm_fail(&v->err, LM_E_PROTOCOL, 0,
			"'%s': the server redirects to an address that cannot be used", v->address);
	if (rc)
		return rc;
	if (!url.https)
		return lm_fail(&v->err, LM_E_PROTOCOL, 0,
			"'%s': the server redirects to %s, which is not secure", v->address,
			url.origin);
	lm_auto_free struct http_pair *query = lm_xcalloc(url.query_n + 1, sizeof(*query));
	for (size_t i = 0; i < url.query_n; i++)
		query[i] =
			(struct http_pair){lm_str(url.query[i].name), lm_str(url.query[i].value)};
	https_start(v->https, &(struct https_request){.method = "GET",
				      .origin = lm_str(url.origin),
				      .path = lm_str(url.path),
				      .query = query,
				      .query_n = url.query_n,
				      .body_max = LIMIT_COMPOSE_FILE,
				      .beside_system = true,
				      .done = compose_address_on_answer,
				      .ctx = v});
	return LM_OK;
}

lm_rc compose_address_get(const char *address, const struct wait_limit *limit,
	struct stored_object *ret, struct lm_err *err)
{
	lm_auto(https_destroy_p) struct https *https = NULL;
	struct visit v = {.address = address, .object = ret};
	lm_rc rc = shared_config_https(&https, err);

	if (rc)
		return rc;
	v.https = https;
	v.rc = visit_start(&v, lm_str(address), NULL);
	rc = v.rc ? v.rc : https_run(https, limit, err);
	if (!v.rc)
		return rc;
	*err = v.err;
	return v.rc;
}
