// SPDX-License-Identifier: Apache-2.0
#include "docker/login.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_request.h"
#include "sys/http_unix.h"

#include <stdio.h>

enum { TRY_MS = 90 * 1000 }; ///< The engine waits for the registry behind it.

/// One login, from its first attempt to its last.
struct login {
	const struct registry_credentials *credentials;
	struct lm_secret body;
	unsigned attempt; ///< From 0.
};

struct login_set {
	const struct engine *engine;
	const struct login_options *options;
	struct login *items;
	size_t n;
};

static void finish_logins(struct login_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		lm_secret_finish(&set->items[i].body);
	free(set->items);
}

static lm_rc start_login(void *ctx, size_t i, struct http_unix **ret, struct lm_err *err)
{
	const struct login_set *set = ctx;
	char target[32];

	(void)snprintf(target, sizeof(target), "/v1.%u/auth", set->engine->version.minor);
	const struct http_unix_request request = {.socket_path = set->engine->socket_path,
		.method = "POST",
		.target = target,
		.body = lm_secret_str(&set->items[i].body),
		.content_type = "application/json",
		.body_max = LIMIT_HTTP_ERROR_BODY};
	return engine_connect(&request, ret, err);
}

static uint64_t login_deadline_ms(void *ctx, uint64_t begun_ms)
{
	(void)ctx;
	return begun_ms + TRY_MS;
}

static lm_rc wrap_login(const struct login *l, bool answered, struct lm_err *err)
{
	const struct registry_credentials *c = l->credentials;

	if (err->rc == LM_E_DENIED && answered)
		return lm_wrap(err, "registry %s refuses user %s, check user name and password",
			c->registry, c->username);
	if (l->attempt > 0)
		return lm_wrap(err, "log in to registry %s, after %u attempts", c->registry,
			l->attempt + 1);
	return lm_wrap(err, "log in to registry %s", c->registry);
}

/// `status` is the engine's own, 0 without an answer. It is 500 for every failure between the
/// engine and the registry, but for rejected credentials.
static bool may_pass(lm_rc rc, int status)
{
	return rc == LM_E_NETWORK || rc == LM_E_TIMEOUT || (rc == LM_E_REFUSED && status >= 500);
}

/// An attempt has failed: another one later, or the login has failed.
static lm_rc fail_attempt(
	struct login_set *set, size_t i, int status, uint64_t *ret_again_ms, struct lm_err *err)
{
	const struct login_options *o = set->options;
	struct login *l = &set->items[i];

	if (!may_pass(err->rc, status) || l->attempt + 1 >= o->attempts)
		return wrap_login(l, status != 0, err);
	*ret_again_ms = lm_backoff_ms(l->attempt, o->backoff_base_ms, o->backoff_max_ms);
	if (o->on_retry)
		o->on_retry(o->ctx, i, *ret_again_ms, err);
	l->attempt++;
	return LM_OK;
}

static lm_rc finish_login(void *ctx, size_t i, const struct http_unix *http, uint64_t *ret_again_ms,
	struct lm_err *err)
{
	struct login_set *set = ctx;
	const struct login_options *o = set->options;
	int status = 0;

	if (err->rc == LM_OK) {
		status = http_unix_status(http);
		if (status / 100 == 2) {
			if (o->on_done)
				o->on_done(o->ctx, i);
			return LM_OK;
		}
		(void)!engine_answer_error(http, err);
	} else if (http && err->rc != LM_E_TIMEOUT) {
		(void)!lm_wrap(err, "ask the Docker daemon");
	}
	return fail_attempt(set, i, status, ret_again_ms, err);
}

lm_rc login_all(const struct engine *e, const struct registry_credentials *list, size_t n,
	const struct login_options *options, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(finish_logins) struct login_set set = {.engine = e,
		.options = options,
		.items = lm_xcalloc(n + 1, sizeof(*set.items)),
		.n = n};
	struct engine_batch batch = {.what = "log in to the registries",
		.n = n,
		.parallel = LIMIT_PARALLEL_LOGINS,
		.start = start_login,
		.deadline_ms = login_deadline_ms,
		.finish = finish_login,
		.ctx = &set};

	for (size_t i = 0; i < n; i++) {
		set.items[i].credentials = &list[i];
		lm_rc rc = registry_auth_json(&list[i], &set.items[i].body, err);
		if (rc)
			return rc;
	}
	return engine_batch_run(&batch, limit, err);
}
