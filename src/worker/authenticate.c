// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "docker/login.h"
#include "sys/process.h"
#include "worker/registries.h"
#include "worker/work_priv.h"

enum {
	SINCE_RETRIES = 7,
	ATTEMPTS = 5,
	BACKOFF_BASE_MS = 1000,
	BACKOFF_MAX_MS = 8 * 1000,
};

static void tell_retry(void *ctx, size_t i, uint64_t delay_ms, const struct lm_err *why)
{
	const struct registry_list *list = ctx;

	lm_warn("log in to registry %s: %s, retrying in %llu.%03u s", list->items[i].registry,
		why->msg, (unsigned long long)(delay_ms / 1000), (unsigned)(delay_ms % 1000));
}

static void tell_done(void *ctx, size_t i)
{
	const struct registry_list *list = ctx;

	lm_info("logged in to registry %s as %s", list->items[i].registry, list->items[i].username);
}

/// A number without an entry in the user database has no home of its own.
static void open_user_logins(struct work *w)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	bool known = process_user_by_uid(geteuid(), &user, NULL) == LM_OK;

	user_logins_open(&w->user, known ? user.home : NULL, (const char *const *)w->env);
}

/// The user's credential helpers, where there are any, get what the registries have taken.
static lm_rc give_to_helpers(struct work *w, const struct registry_list *list, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < list->n && !rc; i++)
		if (registry_stands_for_host(list->items, list->n, i))
			rc = user_logins_keep(&w->user, &list->items[i], &w->limit, err);
	return rc;
}

lm_rc authenticate_list(struct work *w, struct registry_list *to, struct lm_err *err)
{
	open_user_logins(w);
	lm_rc rc = registries_complete(w, err);

	if (!rc)
		registries_list(w, to);
	return rc;
}

lm_rc authenticate_one(struct work *w, const struct registry_credentials *c, struct lm_err *err)
{
	const struct login_options options = {.attempts = 1};

	return login_all(&w->engine, c, 1, &options, &w->limit, err);
}

lm_rc images_authenticate(struct work *w, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list list = {0};
	const struct login_options options = {
		.attempts = work_definition(w)->version >= SINCE_RETRIES ? ATTEMPTS : 1,
		.backoff_base_ms = BACKOFF_BASE_MS,
		.backoff_max_ms = BACKOFF_MAX_MS,
		.on_retry = tell_retry,
		.on_done = tell_done,
		.ctx = &list,
	};
	lm_rc rc = authenticate_list(w, &list, err);

	if (!rc)
		rc = login_all(&w->engine, list.items, list.n, &options, &w->limit, err);
	return rc ? rc : give_to_helpers(w, &list, err);
}
