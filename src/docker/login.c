// SPDX-License-Identifier: Apache-2.0
#include "docker/login.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_priv.h"
#include "sys/http_unix.h"

#include <stdio.h>

enum { TRY_MS = 90 * 1000 }; ///< The engine waits for the registry behind it.

/// One login, from its first try to its last.
struct login {
	const struct registry_credentials *credentials;
	struct lm_secret body;
	unsigned attempt;       ///< Of the try under way or to come, from 0.
	uint64_t due_ms;        ///< When that begins, or is given up, on lm_clock_mono_ms().
	struct http_unix *http; ///< NULL: waiting, or done.
	bool done;
};

struct logins {
	const struct engine *engine;
	const struct login_options *options;
	const struct wait_limit *limit;
	struct login *items;
	size_t n;
	size_t open;           ///< Requests under way.
	struct pollfd *fds;    ///< Room for LIMIT_PARALLEL_LOGINS.
	struct login **polled; ///< Whose they are.
};

static void close_try(struct logins *set, struct login *l)
{
	if (!l->http)
		return;
	http_unix_destroy(lm_take(l->http));
	set->open--;
}

static void finish_set(struct logins *set)
{
	for (size_t i = 0; i < set->n; i++) {
		close_try(set, &set->items[i]);
		lm_secret_finish(&set->items[i].body);
	}
	free(set->items);
	free(set->fds);
	free(set->polled);
}

static lm_rc wrap(const struct login *l, bool answered, struct lm_err *err)
{
	const struct registry_credentials *c = l->credentials;

	if (err->rc == LM_E_DENIED && answered)
		return lm_wrap(err, "registry %s refuses user %s, check name and password",
			c->registry, c->username);
	if (l->attempt > 0)
		return lm_wrap(err, "log in to registry %s, after %u attempts", c->registry,
			l->attempt + 1);
	return lm_wrap(err, "log in to registry %s", c->registry);
}

static lm_rc start_try(struct logins *set, struct login *l, struct lm_err *err)
{
	char target[32];

	(void)snprintf(target, sizeof(target), "/v1.%u/auth", set->engine->version.minor);
	const struct http_unix_request request = {.socket_path = set->engine->socket_path,
		.method = "POST",
		.target = target,
		.body = lm_secret_str(&l->body),
		.content_type = "application/json",
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_rc rc = engine_connect(&request, &l->http, err);

	if (rc)
		return rc;
	set->open++;
	l->due_ms = lm_clock_mono_ms() + TRY_MS;
	return LM_OK;
}

/// `status` is the engine's own, 0 without an answer. Of what is no refusal of the credentials, it
/// says 500 for all that went wrong between it and the registry.
static bool may_pass(lm_rc rc, int status)
{
	return rc == LM_E_NETWORK || rc == LM_E_TIMEOUT || (rc == LM_E_REFUSED && status >= 500);
}

/// A try has failed with what is in `err`: again later, or for good.
static lm_rc end_try(struct logins *set, struct login *l, int status, struct lm_err *err)
{
	const struct login_options *o = set->options;

	close_try(set, l);
	if (!may_pass(err->rc, status) || l->attempt + 1 >= o->attempts)
		return wrap(l, status != 0, err);
	uint64_t delay_ms = lm_backoff_ms(l->attempt, o->backoff_base_ms, o->backoff_max_ms);

	if (o->on_retry)
		o->on_retry(o->ctx, (size_t)(l - set->items), delay_ms, err);
	l->attempt++;
	l->due_ms = lm_clock_mono_ms() + delay_ms;
	return LM_OK;
}

static lm_rc take_answer(struct logins *set, struct login *l, struct lm_err *err)
{
	int status = http_unix_status(l->http);

	if (status / 100 != 2) {
		(void)!engine_answer_error(l->http, err);
		return end_try(set, l, status, err);
	}
	close_try(set, l);
	l->done = true;
	if (set->options->on_done)
		set->options->on_done(set->options->ctx, (size_t)(l - set->items));
	return LM_OK;
}

static lm_rc step(struct logins *set, struct login *l, struct lm_err *err)
{
	bool done = false;

	if (http_unix_step(l->http, &done, err)) {
		(void)!lm_wrap(err, "ask the Docker daemon");
		return end_try(set, l, 0, err);
	}
	return done ? take_answer(set, l, err) : LM_OK;
}

/// Begins the tries that are due and gives up those that last too long.
static lm_rc turn_clock(struct logins *set, struct lm_err *err)
{
	uint64_t now = lm_clock_mono_ms();

	for (size_t i = 0; i < set->n; i++) {
		struct login *l = &set->items[i];
		lm_rc rc = LM_OK;

		if (l->done || l->due_ms > now)
			continue;
		if (l->http) {
			(void)!lm_fail(
				err, LM_E_TIMEOUT, 0, "no answer within %d s", TRY_MS / 1000);
			rc = end_try(set, l, 0, err);
		} else if (set->open < LIMIT_PARALLEL_LOGINS) {
			rc = start_try(set, l, err) ? end_try(set, l, 0, err) : LM_OK;
		}
		if (rc)
			return rc;
	}
	return LM_OK;
}

/// Collects what to wait for; `*ret_due_ms` is when the clock has to be turned next.
static unsigned collect(struct logins *set, bool *ret_done, uint64_t *ret_due_ms)
{
	unsigned n = 0;

	*ret_done = true;
	*ret_due_ms = UINT64_MAX;
	for (size_t i = 0; i < set->n; i++) {
		struct login *l = &set->items[i];

		if (l->done)
			continue;
		*ret_done = false;
		// One that is due and found no room begins when another ends.
		bool has_no_room = !l->http && set->open >= LIMIT_PARALLEL_LOGINS;
		if (l->due_ms < *ret_due_ms && !has_no_room)
			*ret_due_ms = l->due_ms;
		if (!l->http)
			continue;
		set->fds[n] = (struct pollfd){
			.fd = http_unix_fd(l->http), .events = http_unix_events(l->http)};
		set->polled[n++] = l;
	}
	return n;
}

static lm_rc wait_until(struct logins *set, unsigned n, uint64_t due_ms, struct lm_err *err)
{
	uint64_t now = lm_clock_mono_ms();
	struct wait_limit limit = wait_limit_within(set->limit, due_ms > now ? due_ms - now : 0);
	lm_rc rc = wait_for(set->fds, n, &limit, err);

	if (rc == LM_E_TIMEOUT && limit.deadline_ms != set->limit->deadline_ms)
		return LM_OK;
	return rc ? lm_wrap(err, "log in to the registries") : LM_OK;
}

/// One round: wait, then step those that are ready. `*ret_done` when none is left.
static lm_rc run_round(struct logins *set, bool *ret_done, struct lm_err *err)
{
	uint64_t due_ms = 0;
	lm_rc rc = turn_clock(set, err);

	if (rc)
		return rc;
	unsigned n = collect(set, ret_done, &due_ms);
	if (*ret_done)
		return LM_OK;
	rc = wait_until(set, n, due_ms, err);
	for (unsigned i = 0; !rc && i < n; i++)
		if (set->fds[i].revents)
			rc = step(set, set->polled[i], err);
	return rc;
}

static lm_rc prepare(
	struct logins *set, const struct registry_credentials *list, struct lm_err *err)
{
	set->items = lm_xcalloc(set->n + 1, sizeof(*set->items));
	set->fds = lm_xcalloc(LIMIT_PARALLEL_LOGINS, sizeof(*set->fds));
	set->polled = lm_xcalloc(LIMIT_PARALLEL_LOGINS, sizeof(struct login *));
	for (size_t i = 0; i < set->n; i++) {
		set->items[i].credentials = &list[i];
		lm_rc rc = registry_auth_json(&list[i], &set->items[i].body, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

lm_rc login_all(const struct engine *e, const struct registry_credentials *list, size_t n,
	const struct login_options *options, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(finish_set) struct logins set = {
		.engine = e, .options = options, .limit = limit, .n = n};
	struct lm_err own = {LM_OK};
	struct lm_err *why = err ? err : &own;
	lm_rc rc = prepare(&set, list, why);

	for (bool done = false; !rc && !done;)
		rc = run_round(&set, &done, why);
	return rc;
}
