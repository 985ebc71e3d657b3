// SPDX-License-Identifier: Apache-2.0
#include "worker/manifests.h"

#include "aws/shared_config.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/image_ref.h"
#include "http/https.h"
#include "http/url.h"
#include "registry/challenge.h"

enum {
	AT_ONCE = 32,
	PATH_MAX_LEN = 2048,
	REDIRECTS_MAX = 3,
	ATTEMPTS = 2,
	ATTEMPT_MS = 20 * 1000,
	CONNECT_MS = 10 * 1000,
	BACKOFF_MS = 500,
};

enum step {
	STEP_NAMED,  ///< What the reference names: an index, or the manifest itself.
	STEP_CHILD,  ///< The manifest for the platform.
	STEP_CONFIG, ///< The configuration. Optional.
};

struct manifests;

/// The questions to one registry about one image.
struct inquiry {
	struct manifests *all;
	const struct manifest_question *question;
	struct manifest_answer *answer;
	struct manifest_platform platform;
	struct image_ref ref;
	struct registry_route route;
	enum step step;
	bool is_head; ///< The request under way asks only for the digest,
	bool headed;  ///< which did not suffice, or is not to be asked.
	bool at_token_server;
	bool challenged;                ///< It has required credentials once.
	struct lm_secret authorization; ///< For the registry; empty: none.
	unsigned redirects;
	bool over;
};

struct manifests {
	struct https *https;
	const struct manifests_options *options;
	struct inquiry *inquiries;
	size_t n, begun;
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
	const struct inquiry *q = ctx;

	(void)attempt;
	(void)err;
	for (size_t i = 0; q->step != STEP_CONFIG && MANIFEST_TYPES[i]; i++)
		header_list_add(headers, LM_STR("Accept"), lm_str(MANIFEST_TYPES[i]));
	if (q->authorization.len > 0)
		header_list_add(headers, LM_STR("Authorization"), lm_secret_str(&q->authorization));
	return LM_OK;
}

/// For the token server: the password goes there.
static lm_rc prepare_token(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	const struct inquiry *q = ctx;
	const struct registry_credentials *c = q->question->credentials;
	lm_auto_secret struct lm_secret value = {0};

	(void)attempt;
	if (!c)
		return LM_OK;
	if (!challenge_basic(lm_str(c->username), lm_secret_str(&c->password), &value))
		return lm_fail(err, LM_E_INVALID, 0, "the password for registry %s is too long",
			q->ref.registry);
	header_list_add(headers, LM_STR("Authorization"), lm_secret_str(&value));
	return LM_OK;
}

static void manifests_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

static void start_request(struct inquiry *q, const struct https_request *asked)
{
	const struct manifests_options *options = q->all->options;
	struct https_request request = *asked;

	request.method = q->is_head ? "HEAD" : "GET";
	request.direct = registry_route_is_local(https_origin_host(request.origin));
	request.ca = lm_str_eq(request.origin, lm_str(q->route.origin)) ? q->route.ca : NULL;
	request.beside_system = true;
	request.done = manifests_on_answer;
	request.ctx = q;
	request.attempts = options->attempts ? options->attempts : ATTEMPTS;
	request.timeout_ms = ATTEMPT_MS;
	request.connect_timeout_ms = CONNECT_MS;
	request.backoff_base_ms = BACKOFF_MS;
	https_start(q->all->https, &request);
}

/// Asks for what the step needs.
static lm_rc inquiry_ask(struct inquiry *q, struct lm_err *err)
{
	lm_auto_buf struct lm_buf path = LM_BUF(PATH_MAX_LEN);
	const char *kind = q->step == STEP_CONFIG ? "blobs" : "manifests";
	const char *name = q->step == STEP_NAMED   ? image_ref_version(&q->ref)
			   : q->step == STEP_CHILD ? q->answer->manifest_digest
						   : q->answer->manifest.config;

	(void)lm_buf_printf(&path, "/v2/%s/%s/%s", q->ref.repository, kind, name);
	q->is_head = q->step == STEP_NAMED && q->question->known && !q->headed;
	if (path.overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	q->at_token_server = false;
	q->redirects = 0;
	start_request(q, &(struct https_request){.origin = lm_str(q->route.origin),
				 .path = lm_buf_str(&path),
				 .body_max = LIMIT_MANIFEST,
				 .plain_http = q->route.plain,
				 .prepare = prepare_request});
	return LM_OK;
}

/// Sends a request to an address that the registry named.
static void ask_at(struct inquiry *q, const struct registry_url *a, const struct http_pair *more,
	size_t more_n, struct https_request request)
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
	request.plain_http = q->route.plain;
	start_request(q, &request);
}

/// Another address must be as secure as the registry itself.
static lm_rc manifests_check_address(
	const struct inquiry *q, const struct registry_url *a, struct lm_err *err)
{
	if (a->https ||
		(q->route.plain && registry_route_is_local(https_origin_host(lm_str(a->origin)))))
		return LM_OK;
	return lm_fail(err, LM_E_DENIED, 0, "registry %s redirects to %s, which is not secure",
		q->ref.registry, a->origin);
}

static lm_rc ask_for_token(struct inquiry *q, const struct challenge *c, struct lm_err *err)
{
	lm_auto(registry_url_finish) struct registry_url a = {0};
	lm_auto_free char *scope = *c->scope
					   ? lm_xstrdup(c->scope)
					   : lm_xasprintf("repository:%s:pull", q->ref.repository);
	lm_rc rc = registry_url_parse(lm_str(c->realm), NULL, &a, err);

	if (!rc)
		rc = manifests_check_address(q, &a, err);
	if (rc)
		return rc;
	const struct http_pair more[] = {
		{LM_STR("scope"), lm_str(scope)}, {LM_STR("service"), lm_str(c->service)}};
	q->at_token_server = true;
	q->is_head = false;
	ask_at(q, &a, more, *c->service ? 2 : 1,
		(struct https_request){.body_max = LIMIT_REGISTRY_TOKEN, .prepare = prepare_token});
	return LM_OK;
}

static lm_rc manifests_fail_refused(const struct inquiry *q, struct lm_err *err)
{
	const struct registry_credentials *c = q->question->credentials;

	if (!c)
		return lm_fail(err, LM_E_DENIED, 0,
			"registry %s requires a login, and there is none for it", q->ref.registry);
	return lm_fail(
		err, LM_E_DENIED, 0, "registry %s refuses user %s", q->ref.registry, c->username);
}

/// It requires credentials. The second time it has rejected ours.
static lm_rc answer_challenge(
	struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto(challenge_finish) struct challenge challenge;
	const struct registry_credentials *c = q->question->credentials;
	bool again = q->challenged;

	challenge_parse(https_header(answer, "www-authenticate"), &challenge);
	q->challenged = true;
	if (again || challenge.scheme == CHALLENGE_NONE)
		return manifests_fail_refused(q, err);
	if (c && strcmp(c->username, REGISTRY_TOKEN_USER) == 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"the login for registry %s is an identity token, which only the Docker "
			"daemon can use",
			q->ref.registry);
	if (challenge.scheme == CHALLENGE_BEARER)
		return ask_for_token(q, &challenge, err);
	if (!c)
		return manifests_fail_refused(q, err);
	if (!challenge_basic(lm_str(c->username), lm_secret_str(&c->password), &q->authorization))
		return lm_fail(err, LM_E_INVALID, 0, "the password for registry %s is too long",
			q->ref.registry);
	return inquiry_ask(q, err);
}

static lm_rc manifests_take_token(
	struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto_secret struct lm_secret token = {0};

	if (answer->status == 401 || answer->status == 403)
		return manifests_fail_refused(q, err);
	if (answer->status != 200)
		return lm_fail(err, LM_E_REFUSED, 0,
			"the token server of registry %s returned HTTP %d", q->ref.registry,
			answer->status);
	lm_rc rc = challenge_token_parse(lm_buf_str(&answer->body), &token, err);
	if (rc)
		return lm_wrap(err, "the token server of registry %s", q->ref.registry);
	challenge_bearer(&token, &q->authorization);
	return inquiry_ask(q, err);
}

/// Registries redirect to blob stores, which must not get our credentials.
static lm_rc follow_redirect(
	struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	lm_auto(registry_url_finish) struct registry_url a = {0};
	struct lm_str location = https_header(answer, "location");

	if (q->redirects++ == REDIRECTS_MAX)
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "registry %s redirects too often", q->ref.registry);
	lm_rc rc = registry_url_parse(location, q->route.origin, &a, err);
	if (!rc)
		rc = manifests_check_address(q, &a, err);
	if (rc)
		return rc;
	ask_at(q, &a, NULL, 0, (struct https_request){.body_max = LIMIT_MANIFEST});
	return LM_OK;
}

static char *digest_of(struct lm_str body)
{
	char hex[LM_SHA256_HEX + 1];

	lm_sha256_hex(body, hex);
	return lm_xasprintf("sha256:%s", hex);
}

static lm_rc take_manifest(struct inquiry *q, struct lm_str body, struct lm_err *err)
{
	struct manifest_answer *a = q->answer;
	struct manifest manifest = {0};
	lm_rc rc = manifest_parse(body, &q->platform, &manifest, err);

	if (!rc && manifest.child && q->step == STEP_CHILD)
		rc = lm_fail(err, LM_E_PROTOCOL, 0, "an index refers to another index");
	if (rc) {
		manifest_finish(&manifest);
		return lm_wrap(err, "manifest from registry %s", q->ref.registry);
	}
	if (q->step == STEP_NAMED)
		a->digest = digest_of(body);
	if (manifest.child) {
		a->manifest_digest = manifest.child;
		q->step = STEP_CHILD;
		return inquiry_ask(q, err);
	}
	if (!a->manifest_digest)
		a->manifest_digest = digest_of(body);
	a->manifest = manifest;
	q->step = STEP_CONFIG;
	return inquiry_ask(q, err);
}

static lm_rc take_status(const struct inquiry *q, int status, struct lm_err *err)
{
	switch (status) {
	case 403:
		return manifests_fail_refused(q, err);
	case 404:
		return lm_fail(
			err, LM_E_NOT_FOUND, 0, "registry %s does not have it", q->ref.registry);
	default:
		return lm_fail(err, status >= 500 ? LM_E_NETWORK : LM_E_REFUSED, 0,
			"registry %s returned HTTP %d", q->ref.registry, status);
	}
}

/// Anything but the digest that is known is asked for in full.
static lm_rc take_known_digest(
	struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	struct lm_str digest = https_header(answer, "docker-content-digest");

	q->headed = true;
	if (answer->status != 200 || !lm_str_eq(digest, lm_str(q->question->known)))
		return inquiry_ask(q, err);
	q->answer->digest = lm_xmemdup0(digest.p, digest.n);
	q->over = true;
	return LM_OK;
}

/// Takes an answer to it. After LM_OK it is over, or the next request has been started.
static lm_rc inquiry_take(struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	int status = answer->status;
	struct lm_str body = lm_buf_str(&answer->body);

	if (q->at_token_server)
		return manifests_take_token(q, answer, err);
	if (status == 401)
		return answer_challenge(q, answer, err);
	if (q->is_head)
		return take_known_digest(q, answer, err);
	if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
		return follow_redirect(q, answer, err);
	if (status != 200)
		return take_status(q, status, err);
	if (q->step != STEP_CONFIG)
		return take_manifest(q, body, err);
	q->over = true;
	return manifest_config_layers(body, &q->answer->layers.digests, &q->answer->layers.n, err);
}

void manifest_answer_finish(struct manifest_answer *answer)
{
	free(answer->digest);
	free(answer->manifest_digest);
	manifest_finish(&answer->manifest);
	image_layers_finish(&answer->layers);
	*answer = (struct manifest_answer){0};
}

static void inquiry_finish(struct inquiry *q)
{
	image_ref_finish(&q->ref);
	registry_route_finish(&q->route);
	lm_secret_finish(&q->authorization);
}

static void manifests_finish(struct manifests *all)
{
	https_destroy(all->https);
	for (size_t i = 0; i < all->n; i++)
		inquiry_finish(&all->inquiries[i]);
	free(all->inquiries);
}

static void fail_inquiry(struct inquiry *q, lm_rc rc, const struct lm_err *err)
{
	q->over = true;
	if (q->step == STEP_CONFIG && rc != LM_E_CANCELLED)
		return; // the manifest alone suffices
	q->answer->rc = rc;
	q->answer->err = *err;
}

static void begin_inquiry(struct inquiry *q)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = image_ref_parse(lm_str(q->question->image), &q->ref, &err);

	if (!rc)
		rc = manifest_platform_parse(lm_str(q->question->platform), &q->platform, &err);
	if (!rc) {
		registry_route_find(q->ref.registry, q->all->options->certificates, &q->route);
		rc = inquiry_ask(q, &err);
	}
	if (rc)
		fail_inquiry(q, rc, &err);
}

/// Limits how many run at the same time.
static void begin_next(struct manifests *all)
{
	bool begun = false;

	while (!begun && all->begun < all->n) {
		struct inquiry *q = &all->inquiries[all->begun++];
		begin_inquiry(q);
		begun = !q->over;
	}
}

/// If the inquiry is not over, its next request has been started.
static void manifests_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct inquiry *q = ctx;
	struct lm_err why = rc ? *err : (struct lm_err){LM_OK};

	if (!rc)
		rc = inquiry_take(q, answer, &why);
	if (rc)
		fail_inquiry(q, rc, &why);
	if (q->over)
		begin_next(q->all);
}

lm_rc manifests_ask(const struct manifest_question *questions, size_t n,
	const struct manifests_options *options, const struct wait_limit *limit,
	struct manifest_answer *ret, struct lm_err *err)
{
	lm_auto(manifests_finish) struct manifests all = {.options = options};
	struct wait_limit within = wait_limit_within(limit, options->timeout_ms);
	struct lm_err why = {LM_OK};
	lm_rc rc = n > 0 ? shared_config_https(&all.https, &why) : LM_OK;

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct manifest_answer){.rc = rc, .err = why};
	if (rc || n == 0)
		return LM_OK;
	all.inquiries = lm_xcalloc(n, sizeof(*all.inquiries));
	all.n = n;
	for (size_t i = 0; i < n; i++)
		all.inquiries[i] =
			(struct inquiry){.all = &all, .question = &questions[i], .answer = &ret[i]};
	for (size_t i = 0; i < AT_ONCE; i++)
		begin_next(&all);
	rc = https_run(all.https, &within, err);
	return rc == LM_E_CANCELLED ? rc : LM_OK;
}
