// SPDX-License-Identifier: Apache-2.0
#include "worker/login.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/credential_helper.h"
#include "docker/login.h"
#include "sys/process.h"
#include "worker/images.h"

static void kept_finish(struct user_logins_kept *k)
{
	free(k->suffix);
	free(k->server);
	registry_credentials_finish(&k->before);
}

void user_logins_finish(struct user_logins *u)
{
	for (size_t i = 0; i < u->kept_n; i++)
		kept_finish(&u->kept[i]);
	for (size_t i = 0; i < u->broken_n; i++)
		free(u->broken[i]);
	free(u->kept);
	free(u->broken);
	client_config_finish(&u->config);
	*u = (struct user_logins){0};
}

void user_logins_open(struct user_logins *u, const char *home, const char *const *env)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_DOCKER_CONFIG);
	lm_auto_free char *path = lm_path_join(home ? home : "/", ".docker/config.json");
	struct lm_err err = {LM_OK};

	user_logins_finish(u);
	u->env = env;
	lm_rc rc = home ? lm_file_read(path, &text, &err) : LM_E_NOT_FOUND;
	if (rc == LM_E_NOT_FOUND)
		return;
	if (!rc && client_config_parse(lm_buf_str(&text), &u->config, &err))
		rc = lm_wrap(&err, "'%s'", path);
	if (rc)
		lm_warn("%s, ignoring the logins in it", err.msg);
}

static bool is_broken(const struct user_logins *u, const char *suffix)
{
	for (size_t i = 0; i < u->broken_n; i++)
		if (strcmp(u->broken[i], suffix) == 0)
			return true;
	return false;
}

/// The helper for a registry that still works, or NULL.
static const char *helper_of(const struct user_logins *u, const char *host)
{
	const char *suffix = client_config_helper_of(&u->config, host);

	return suffix && !is_broken(u, suffix) ? suffix : NULL;
}

/// Warns of a helper that failed, and marks it broken. LM_E_CANCELLED.
static lm_rc login_give_up(struct user_logins *u, const char *suffix, const struct lm_err *why)
{
	if (why->rc == LM_E_CANCELLED)
		return why->rc;
	lm_warn("%s, ignoring this credential helper", why->msg);
	u->broken = lm_xrealloc(u->broken, (u->broken_n + 1) * sizeof(*u->broken));
	u->broken[u->broken_n++] = lm_xstrdup(suffix);
	return LM_OK;
}

/// Asks the helper for a registry's host, if there is one.
static lm_rc ask_helper(struct user_logins *u, const char *host, const struct wait_limit *limit,
	struct registry_credentials *ret, struct lm_err *err)
{
	const char *suffix = helper_of(u, host);
	const struct registry_credentials at = {.registry = (char *)host};
	lm_auto_free char *server = NULL;

	if (!suffix || registry_server_address(&at, &server, NULL))
		return LM_OK;
	const struct credential_helper h = {.suffix = suffix, .env = u->env};
	lm_rc rc = credential_helper_get(&h, server, limit, ret, err);
	return rc == LM_OK || rc == LM_E_NOT_FOUND ? LM_OK : login_give_up(u, suffix, err);
}

lm_rc user_logins_find(struct user_logins *u, const struct image_ref *image,
	const struct wait_limit *limit, struct registry_credentials *ret, bool *ret_found,
	struct lm_err *err)
{
	struct registry_credentials login = {0};
	lm_rc rc = ask_helper(u, image->registry, limit, &login, err);

	if (rc)
		return rc;
	const struct registry_credentials *written =
		registry_match(u->config.logins.items, u->config.logins.n, image);
	if (!login.username && written)
		login = registry_credentials_copy(written);
	*ret_found = login.username != NULL;
	if (*ret_found)
		*ret = login;
	return LM_OK;
}

static lm_rc list_one(struct user_logins *u, const char *registry, const struct wait_limit *limit,
	struct registry_list *to, struct lm_err *err)
{
	lm_auto(registry_address_finish) struct registry_address a = {0};
	struct registry_credentials login = {0};

	if (registry_address_parse(lm_str(registry), &a, NULL))
		return LM_OK;
	lm_rc rc = ask_helper(u, a.host, limit, &login, err);
	if (!rc && login.username)
		registry_list_add(to, &login);
	return rc;
}

lm_rc user_logins_list(struct user_logins *u, const struct wait_limit *limit,
	struct registry_list *to, struct lm_err *err)
{
	const struct client_config *c = &u->config;
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < c->helpers_n && !rc; i++)
		rc = list_one(u, c->helpers[i].host, limit, to, err);
	for (size_t i = 0; i < c->entrusted_n && !rc; i++)
		rc = list_one(u, c->entrusted[i], limit, to, err);
	for (size_t i = 0; i < c->logins.n && !rc; i++) {
		struct registry_credentials copy = registry_credentials_copy(&c->logins.items[i]);

		registry_list_add(to, &copy);
	}
	return rc;
}

static bool is_kept(const struct user_logins *u, const char *server)
{
	for (size_t i = 0; i < u->kept_n; i++)
		if (strcmp(u->kept[i].server, server) == 0)
			return true;
	return false;
}

static bool same_login(const struct registry_credentials *a, const struct registry_credentials *b)
{
	return strcmp(a->username, b->username) == 0 &&
	       lm_str_eq(lm_secret_str(&a->password), lm_secret_str(&b->password));
}

/// Notes what to restore: nothing, if a killed worker left our login there.
static void note_before(struct user_logins *u, const char *suffix, char *server,
	struct registry_credentials *before, const struct registry_credentials *ours)
{
	if (before->username && same_login(before, ours))
		registry_credentials_finish(before);
	u->kept = lm_xrealloc(u->kept, (u->kept_n + 1) * sizeof(*u->kept));
	u->kept[u->kept_n++] = (struct user_logins_kept){
		.suffix = lm_xstrdup(suffix), .server = server, .before = *before};
}

lm_rc user_logins_keep(struct user_logins *u, const struct registry_credentials *c,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(registry_address_finish) struct registry_address a = {0};
	lm_auto_free char *server = NULL;
	struct registry_credentials before = {0};

	if (registry_address_parse(lm_str(c->registry), &a, NULL) ||
		registry_server_address(c, &server, NULL))
		return LM_OK;
	const char *suffix = helper_of(u, a.host);
	if (!suffix || is_kept(u, server))
		return LM_OK;
	const struct credential_helper h = {.suffix = suffix, .env = u->env};
	lm_rc rc = credential_helper_get(&h, server, limit, &before, err);
	if (rc != LM_OK && rc != LM_E_NOT_FOUND)
		return login_give_up(u, suffix, err);
	// Before storing, which may be cancelled half-way.
	note_before(u, suffix, lm_take(server), &before, c);
	rc = credential_helper_store(&h, c, limit, err);
	return rc ? login_give_up(u, suffix, err) : LM_OK;
}

static lm_rc restore_login(const struct user_logins *u, const struct user_logins_kept *k,
	const struct wait_limit *limit, struct lm_err *err)
{
	const struct credential_helper h = {.suffix = k->suffix, .env = u->env};

	return k->before.username ? credential_helper_store(&h, &k->before, limit, err)
				  : credential_helper_erase(&h, k->server, limit, err);
}

void user_logins_restore(struct user_logins *u, const struct wait_limit *limit)
{
	for (size_t i = 0; i < u->kept_n; i++) {
		struct lm_err err = {LM_OK};

		if (restore_login(u, &u->kept[i], limit, &err))
			lm_warn("%s, so it may still store the login for '%s': log out of it "
				"(docker logout)",
				err.msg, u->kept[i].server);
		kept_finish(&u->kept[i]);
	}
	free(u->kept);
	u->kept = NULL;
	u->kept_n = 0;
}

lm_rc login_find(struct context *cx, const struct image_ref *image,
	struct registry_credentials *ret, enum login_source *ret_source, struct lm_err *err)
{
	const struct registry_credentials *secret =
		registry_match(cx->secrets.items, cx->secrets.n, image);
	bool found = true;
	lm_rc rc = LM_OK;

	if (secret) {
		*ret = registry_credentials_copy(secret);
		*ret_source = LOGIN_SECRET;
	} else if (ecr_tokens_has(&cx->tokens, lm_str(image->registry))) {
		*ret = ecr_tokens_login(&cx->tokens, lm_str(image->registry));
		*ret_source = LOGIN_TOKEN;
	} else {
		rc = user_logins_find(&cx->user, image, &cx->limit, ret, &found, err);
		*ret_source = found && !rc ? LOGIN_USER : LOGIN_NONE;
	}
	return rc;
}

/// The ECR registry that an image needs a token for; NULL: it is not of ECR, or has a secret.
static const char *needs_token(const struct context *cx, const struct image_ref *image)
{
	struct ecr_registry r;

	if (!ecr_registry_parse(lm_str(image->registry), &r) ||
		registry_match(cx->secrets.items, cx->secrets.n, image))
		return NULL;
	return image->registry;
}

/// One image that may be pulled.
struct named {
	struct image_ref ref;
	bool is_built; ///< If it cannot be pulled.
};

/// Calls `each` for the images that may be pulled, until it fails. Skips invalid references, which
/// the pull reports.
static lm_rc for_each_image(struct context *cx,
	lm_rc (*each)(struct context *cx, const struct named *image, void *ctx, struct lm_err *err),
	void *ctx, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < cx->images.n && !rc; i++) {
		const struct compose_image *image = &cx->images.items[i];
		struct named named = {.is_built = image->builder != NULL};

		if (image_action_may_pull(image) &&
			image_ref_parse(lm_str(image->name), &named.ref, NULL) == LM_OK)
			rc = each(cx, &named, ctx, err);
		image_ref_finish(&named.ref);
	}
	return rc;
}

/// Notes the token that an image needs; `ctx` is a bool: one is missing.
static lm_rc note_token(
	struct context *cx, const struct named *image, void *ctx, struct lm_err *err)
{
	const char *host = needs_token(cx, &image->ref);
	bool *missing = ctx;

	if (!host)
		return LM_OK;
	if (!ecr_tokens_has(&cx->tokens, lm_str(host)))
		*missing = true;
	return ecr_tokens_want(&cx->tokens, lm_str(host), err);
}

/// A required token could not be fetched: uses the user's own login, or none, where that may do.
static lm_rc do_without(
	struct context *cx, const struct named *image, void *ctx, struct lm_err *err)
{
	const struct lm_err *session_err = ctx;
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	struct lm_err why = *session_err;
	bool found = false;
	const char *host = needs_token(cx, &image->ref);

	if (!host || ecr_tokens_has(&cx->tokens, lm_str(host)))
		return LM_OK;
	if (why.rc == LM_OK)
		(void)!ecr_tokens_failure(&cx->tokens, lm_str(host), &why);
	if (why.rc == LM_E_CANCELLED) {
		*err = why;
		return why.rc;
	}
	lm_rc rc = user_logins_find(&cx->user, &image->ref, &cx->limit, &login, &found, err);
	if (rc)
		return rc;
	if (found) {
		lm_warn("%s; using the user's own login for %s", why.msg, host);
		return LM_OK;
	}
	if (cx->session.has_no_source || image->is_built) {
		lm_warn("%s; continuing without a login for %s", why.msg, host);
		return LM_OK;
	}
	if (why.rc == LM_E_INVALID) // a setting of this device is wrong, not the definition
		why.rc = LM_E_DENIED;
	*err = why;
	return why.rc;
}

/// `ret_err`: why no session could be opened.
static void fetch_tokens(struct context *cx, struct lm_err *ret_err)
{
	if (aws_session_open(&cx->session, ret_err))
		return;
	ecr_tokens_start(&cx->tokens, &cx->session);
	(void)!aws_session_run(&cx->session, NULL); // the tokens have its failures
	ecr_tokens_take(&cx->tokens, &cx->session);
}

/// Fetches the tokens that the resolved compose file needs and that are missing. Warns where the
/// user's own login has to do instead.
static lm_rc complete_tokens(struct context *cx, struct lm_err *err)
{
	struct lm_err session_err = {LM_OK};
	bool missing = false;
	lm_rc rc = for_each_image(cx, note_token, &missing, err);

	if (rc || !missing)
		return rc;
	fetch_tokens(cx, &session_err);
	return for_each_image(cx, do_without, &session_err, err);
}

static bool login_is_listed(const struct registry_list *list, const struct registry_credentials *c)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct registry_credentials *other = &list->items[i];

		if (strcmp(c->registry, other->registry) == 0 &&
			strcmp(c->username, other->username) == 0 &&
			lm_str_eq(lm_secret_str(&c->password), lm_secret_str(&other->password)))
			return true;
	}
	return false;
}

/// Takes ownership of `c`.
static void add_login(struct registry_list *to, struct registry_credentials *c)
{
	if (login_is_listed(to, c))
		registry_credentials_finish(c);
	else
		registry_list_add(to, c);
}

static void add_secrets(const struct context *cx, struct registry_list *to)
{
	for (size_t i = 0; i < cx->secrets.n; i++) {
		struct registry_credentials copy = registry_credentials_copy(&cx->secrets.items[i]);

		add_login(to, &copy);
	}
}

static lm_rc add_token(struct context *cx, const struct named *image, void *ctx, struct lm_err *err)
{
	const char *host = needs_token(cx, &image->ref);

	(void)err;
	if (host && ecr_tokens_has(&cx->tokens, lm_str(host))) {
		struct registry_credentials login = ecr_tokens_login(&cx->tokens, lm_str(host));

		add_login(ctx, &login);
	}
	return LM_OK;
}

static void list_own_logins(struct context *cx, struct registry_list *to)
{
	add_secrets(cx, to);
	(void)!for_each_image(cx, add_token, to, NULL); // it cannot fail
}

/// Whether a secret is for any part of that registry.
static bool has_secret(const struct context *cx, struct lm_str host)
{
	for (size_t i = 0; i < cx->secrets.n; i++) {
		lm_auto(registry_address_finish) struct registry_address a = {0};

		if (registry_address_parse(lm_str(cx->secrets.items[i].registry), &a, NULL) ==
				LM_OK &&
			lm_str_eq_nocase(lm_str(a.host), host))
			return true;
	}
	return false;
}

/// The tokens for all hosts that the compose file names anywhere.
static lm_rc add_all_tokens(struct context *cx, struct registry_list *to, struct lm_err *err)
{
	struct lm_str text = lm_buf_str(&cx->text), host;
	struct ecr_registry r;

	while (ecr_registry_scan(&text, &host, &r)) {
		lm_rc rc = LM_OK;

		if (has_secret(cx, host))
			continue;
		if (ecr_tokens_is_due(&cx->tokens, host))
			rc = ecr_tokens_renew(&cx->tokens, &cx->session, host, err);
		if (rc == LM_E_CANCELLED)
			return rc;
		if (!ecr_tokens_has(&cx->tokens, host))
			continue;
		struct registry_credentials login = ecr_tokens_login(&cx->tokens, host);
		add_login(to, &login);
	}
	return for_each_image(cx, add_token, to, err);
}

lm_rc login_list_all(struct context *cx, struct registry_list *to, struct lm_err *err)
{
	add_secrets(cx, to);
	lm_rc rc = add_all_tokens(cx, to, err);

	return rc ? rc : user_logins_list(&cx->user, &cx->limit, to, err);
}

enum {
	SINCE_RETRIES = 7,
	ATTEMPTS = 5,
	BACKOFF_BASE_MS = 1000,
	BACKOFF_MAX_MS = 8 * 1000,
};

static void log_retry(void *ctx, size_t i, uint64_t delay_ms, const struct lm_err *why)
{
	const struct registry_list *list = ctx;

	lm_warn("log in to registry %s: %s, retrying in %llu.%03u s", list->items[i].registry,
		why->msg, (unsigned long long)(delay_ms / 1000), (unsigned)(delay_ms % 1000));
}

static void log_login(void *ctx, size_t i)
{
	const struct registry_list *list = ctx;

	lm_info("logged in to registry %s as %s", list->items[i].registry, list->items[i].username);
}

/// A UID without an entry in the user database has no home.
static void open_user_logins(struct context *cx)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	bool known = process_user_by_uid(geteuid(), &user, NULL) == LM_OK;

	user_logins_open(&cx->user, known ? user.home : NULL, (const char *const *)cx->env);
}

/// `cx` has the secrets.
static lm_rc find_early(struct context *cx, const struct named *image,
	struct registry_credentials *ret, struct lm_err *err)
{
	struct lm_err session_err = {LM_OK};
	enum login_source source;
	bool missing = false;
	lm_rc rc = note_token(cx, image, &missing, err);

	if (!rc && missing) {
		fetch_tokens(cx, &session_err);
		rc = do_without(cx, image, &session_err, err);
	}
	return rc ? rc : login_find(cx, &image->ref, ret, &source, err);
}

lm_rc login_find_early(struct context *cx, const struct registry_list *secrets,
	const struct image_ref *image, struct registry_credentials *ret, struct lm_err *err)
{
	const struct registry_list before = cx->secrets;

	open_user_logins(cx);
	cx->secrets = *secrets;
	lm_rc rc = find_early(cx, &(struct named){.ref = *image}, ret, err);
	cx->secrets = before;
	return rc;
}

/// Gives the accepted logins to the user's credential helpers.
static lm_rc give_to_helpers(
	struct context *cx, const struct registry_list *list, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < list->n && !rc; i++)
		if (registry_stands_for_host(list->items, list->n, i))
			rc = user_logins_keep(&cx->user, &list->items[i], &cx->limit, err);
	return rc;
}

lm_rc login_list_own(struct context *cx, struct registry_list *to, struct lm_err *err)
{
	open_user_logins(cx);
	lm_rc rc = complete_tokens(cx, err);

	if (!rc)
		list_own_logins(cx, to);
	return rc;
}

lm_rc login_once(struct context *cx, const struct registry_credentials *c, struct lm_err *err)
{
	const struct login_options options = {.attempts = 1};

	return login_all(&cx->engine, c, 1, &options, &cx->limit, err);
}

lm_rc login_to_registries(struct context *cx, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list list = {0};
	const struct login_options options = {
		.attempts = context_definition(cx)->version >= SINCE_RETRIES ? ATTEMPTS : 1,
		.backoff_base_ms = BACKOFF_BASE_MS,
		.backoff_max_ms = BACKOFF_MAX_MS,
		.on_retry = log_retry,
		.on_done = log_login,
		.ctx = &list,
	};
	lm_rc rc = login_list_own(cx, &list, err);

	if (!rc)
		rc = login_all(&cx->engine, list.items, list.n, &options, &cx->limit, err);
	return rc ? rc : give_to_helpers(cx, &list, err);
}
