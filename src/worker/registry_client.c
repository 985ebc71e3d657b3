// SPDX-License-Identifier: Apache-2.0
#include "worker/registry_client.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/url.h"
#include "registry/challenge.h"

#include <string.h>
#include <unistd.h>

enum {
	PATH_MAX_LEN = 2048,
	REDIRECTS_MAX = 3,
	ATTEMPTS = 2,
	ATTEMPT_MS = 20 * 1000,
	CONNECT_MS = 10 * 1000,
	BACKOFF_MS = 500,
};

bool registry_route_is_local(struct lm_str host)
{
	if (lm_str_eq(host, LM_STR("[::1]")) || lm_str_starts(host, LM_STR("[::1]:")))
		return true;
	struct lm_str name = lm_str_cut(&host, ':');
	if (lm_str_eq(name, LM_STR("localhost")))
		return true;
	for (size_t i = 0; i < name.n; i++)
		if (!(name.p[i] >= '0' && name.p[i] <= '9') && name.p[i] != '.')
			return false;
	return lm_str_starts(name, LM_STR("127."));
}

void registry_route_find(const char *registry, const char *certificates, struct registry_route *ret)
{
	lm_auto_free char *ca = lm_xasprintf("%s/%s/ca.crt", certificates, registry);
	bool has_ca = access(ca, R_OK) == 0;
	bool is_hub = strcmp(registry, "docker.io") == 0;
	bool plain = !has_ca && registry_route_is_local(lm_str(registry));
	lm_auto_free char *text = lm_xasprintf(
		"%s://%s", plain ? "http" : "https", is_hub ? "registry-1.docker.io" : registry);
	lm_auto_url struct url url = {0};
	const char *ignored;

	// In the form that addresses in its answers get, to which it is compared.
	(void)url_parse(lm_str(text), &url, &ignored);
	*ret = (struct registry_route){
		.origin = url.origin ? lm_take(url.origin) : lm_take(text),
		.ca = has_ca ? lm_take(ca) : NULL,
		.plain = plain,
	};
}

void registry_route_finish(struct registry_route *route)
{
	free(route->origin);
	free(route->ca);
	*route = (struct registry_route){0};
}

static lm_rc prepare_request(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	const struct registry_client *c = ctx;
	const char *const *accept = c->question.accept;

	(void)attempt;
	(void)err;
	for (size_t i = 0; accept && accept[i]; i++)
		header_list_add(headers, LM_STR("Accept"), lm_str(accept[i]));
	if (c->authorization.len > 0)
		header_list_add(headers, LM_STR("Authorization"), lm_secret_str(&c->authorization));
	return LM_OK;
}

static lm_rc fail_long_password(const struct registry_client *c, struct lm_err *err)
{
	return lm_fail(
		err, LM_E_INVALID, 0, "the password for registry %s is too long", c->ref->registry);
}

/// For the token server: the password goes there.
static lm_rc prepare_token(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	const struct registry_client *c = ctx;
	const struct registry_credentials *login = c->credentials;
	lm_auto_secret struct lm_secret value = {0};

	(void)attempt;
	if (!login)
		return LM_OK;
	if (!challenge_basic(lm_str(login->username), lm_secret_str(&login->password), &value))
		return fail_long_password(c, err);
	header_list_add(headers, LM_STR("Authorization"), lm_secret_str(&value));
	return LM_OK;
}

static void registry_client_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

static void start_request(struct registry_client *c, const struct https_request *asked)
{
	struct https_request request = *asked;

	request.method = c->question.is_head && !c->at_token_server ? "HEAD" : "GET";
	request.direct = registry_route_is_local(https_origin_host(request.origin));
	request.ca = lm_str_eq(request.origin, lm_str(c->route.origin)) ? c->route.ca : NULL;
	request.beside_system = true;
	request.done = registry_client_on_answer;
	request.ctx = c;
	request.attempts = c->attempts ? c->attempts : ATTEMPTS;
	request.timeout_ms = ATTEMPT_MS;
	request.connect_timeout_ms = CONNECT_MS;
	request.backoff_base_ms = BACKOFF_MS;
	https_start(c->https, &request);
}

/// Asks the registry itself.
static void ask_registry(struct registry_client *c)
{
	c->at_token_server = false;
	c->redirects = 0;
	start_request(c, &(struct https_request){.origin = lm_str(c->route.origin),
				 .path = lm_str(c->path),
				 .body_max = c->question.body_max,
				 .plain_http = c->route.plain,
				 .prepare = prepare_request});
}

void registry_client_open(struct registry_client *c, const char *certificates)
{
	registry_route_find(c->ref->registry, certificates, &c->route);
}

lm_rc registry_client_ask(
	struct registry_client *c, const struct registry_question *question, struct lm_err *err)
{
	lm_auto_buf struct lm_buf path = LM_BUF(PATH_MAX_LEN);

	(void)lm_buf_printf(
		&path, "/v2/%s/%s/%s", c->ref->repository, question->kind, question->name);
	if (path.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	free(c->path);
	c->path = lm_buf_take(&path);
	c->question = *question;
	c->question.name = NULL; // it is borrowed for the call
	ask_registry(c);
	return LM_OK;
}

/// Sends a request to an address that the registry named.
static void ask_at(struct registry_client *c, const struct registry_url *a,
	const struct http_pair *more, size_t more_n, struct https_request request)
{
	size_t n = a->query_n + more_n;
	lm_auto_free struct http_pair *query = lm_xcalloc(n + 1, sizeof(*query));

	for (size_t i = 0; i < a->query_n; i++)
		query[i] = (struct http_pair){lm_str(a->query[i].name), lm_str(a->query[i].value)};
	for (size_t i = 0; i < more_n; i++)
		query[a->query_n + i] = more[i];
	request.origin = lm_str(a->origin);
	request.path = lm_str(a->path);
	request.query = query;
	request.query_n = n;
	request.plain_http = c->route.plain;
	start_request(c, &request);
}

/// Another address must be as secure as the registry itself.
static lm_rc check_registry_address(
	const struct registry_client *c, const struct registry_url *a, struct lm_err *err)
{
	if (a->https ||
		(c->route.plain && registry_route_is_local(https_origin_host(lm_str(a->origin)))))
		return LM_OK;
	return lm_fail(err, LM_E_DENIED, 0, "registry %s redirects to %s, which is not secure",
		c->ref->registry, a->origin);
}

static lm_rc ask_for_token(
	struct registry_client *c, const struct challenge *challenge, struct lm_err *err)
{
	lm_auto(registry_url_finish) struct registry_url a = {0};
	lm_auto_free char *scope = *challenge->scope
					   ? lm_xstrdup(challenge->scope)
					   : lm_xasprintf("repository:%s:pull", c->ref->repository);
	lm_rc rc = registry_url_parse(lm_str(challenge->realm), NULL, &a, err);

	if (!rc)
		rc = check_registry_address(c, &a, err);
	if (rc)
		return rc;
	const struct http_pair more[] = {
		{LM_STR("scope"), lm_str(scope)}, {LM_STR("service"), lm_str(challenge->service)}};
	c->at_token_server = true;
	ask_at(c, &a, more, *challenge->service ? 2 : 1,
		(struct https_request){.body_max = LIMIT_REGISTRY_TOKEN, .prepare = prepare_token});
	return LM_OK;
}

static lm_rc fail_registry_refused(struct registry_client *c, struct lm_err *err)
{
	const struct registry_credentials *login = c->credentials;

	c->lacks_login = !login;
	if (!login)
		return lm_fail(err, LM_E_DENIED, 0,
			"registry %s requires a login, and there is none for it", c->ref->registry);
	return lm_fail(err, LM_E_DENIED, 0, "registry %s refuses user %s", c->ref->registry,
		login->username);
}

/// It requires credentials. The second time it has rejected ours.
static lm_rc answer_challenge(
	struct registry_client *c, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto(challenge_finish) struct challenge challenge;
	const struct registry_credentials *login = c->credentials;
	bool again = c->challenged;

	challenge_parse(https_header(answer, "www-authenticate"), &challenge);
	c->challenged = true;
	if (again || challenge.scheme == CHALLENGE_NONE)
		return fail_registry_refused(c, err);
	if (login && strcmp(login->username, REGISTRY_TOKEN_USER) == 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"the login for registry %s is an identity token, which only the Docker "
			"daemon can use",
			c->ref->registry);
	if (challenge.scheme == CHALLENGE_BEARER)
		return ask_for_token(c, &challenge, err);
	if (!login)
		return fail_registry_refused(c, err);
	if (!challenge_basic(
		    lm_str(login->username), lm_secret_str(&login->password), &c->authorization))
		return fail_long_password(c, err);
	ask_registry(c);
	return LM_OK;
}

static lm_rc take_registry_token(
	struct registry_client *c, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto_secret struct lm_secret token = {0};

	if (answer->status == 401 || answer->status == 403)
		return fail_registry_refused(c, err);
	if (answer->status != 200)
		return lm_fail(err, LM_E_REFUSED, 0,
			"the token server of registry %s returned HTTP %d", c->ref->registry,
			answer->status);
	lm_rc rc = challenge_token_parse(lm_buf_str(&answer->body), &token, err);
	if (rc)
		return lm_wrap(err, "the token server of registry %s", c->ref->registry);
	challenge_bearer(&token, &c->authorization);
	ask_registry(c);
	return LM_OK;
}

/// Registries redirect to blob stores, which must not get our credentials.
static lm_rc follow_redirect(
	struct registry_client *c, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto(registry_url_finish) struct registry_url a = {0};
	struct lm_str location = https_header(answer, "location");

	if (c->redirects++ == REDIRECTS_MAX)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "registry %s redirects too often", c->ref->registry);
	lm_rc rc = registry_url_parse(location, c->route.origin, &a, err);
	if (!rc)
		rc = check_registry_address(c, &a, err);
	if (rc)
		return rc;
	ask_at(c, &a, NULL, 0, (struct https_request){.body_max = c->question.body_max});
	return LM_OK;
}

static lm_rc explain_registry_status(struct registry_client *c, int status, struct lm_err *err)
{
	if ((status == 401 || status == 403) && c->redirects > 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"the address that registry %s redirects to refuses access",
			c->ref->registry);
	switch (status) {
	case 403:
		return fail_registry_refused(c, err);
	case 404:
		return lm_fail(
			err, LM_E_NOT_FOUND, 0, "registry %s does not have it", c->ref->registry);
	default:
		return lm_fail(err, status >= 500 ? LM_E_NETWORK : LM_E_REFUSED, 0,
			"registry %s returned HTTP %d", c->ref->registry, status);
	}
}

/// `*ret_over`: it is the answer to the question. Otherwise the next request has been started.
static lm_rc registry_client_take(struct registry_client *c, const struct https_answer *answer,
	bool *ret_over, struct lm_err *err)
{
	int status = answer->status;

	*ret_over = false;
	if (c->at_token_server)
		return take_registry_token(c, answer, err);
	if (status == 401 && c->redirects == 0)
		return answer_challenge(c, answer, err);
	*ret_over = true;
	if (status == 401) // of another address, whose challenge must not get our password
		return explain_registry_status(c, status, err);
	if (c->question.is_head || status == 200)
		return LM_OK;
	if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
		return explain_registry_status(c, status, err);
	*ret_over = false;
	return follow_redirect(c, answer, err);
}

static void registry_client_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct registry_client *c = ctx;
	struct lm_err why = rc ? *err : (struct lm_err){LM_OK};
	bool over = true;

	if (!rc)
		rc = registry_client_take(c, answer, &over, &why);
	if (rc || over)
		c->done(c->ctx, rc, answer, &why);
}

void registry_client_finish(struct registry_client *c)
{
	registry_route_finish(&c->route);
	free(c->path);
	c->path = NULL;
	lm_secret_finish(&c->authorization);
}
