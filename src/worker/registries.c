// SPDX-License-Identifier: Apache-2.0
#include "worker/registries.h"

#include "base/log.h"
#include "worker/image_action.h"

lm_rc registries_find(struct work *w, const struct image_ref *image,
	struct registry_credentials *ret, enum login_source *ret_source, struct lm_err *err)
{
	const struct registry_credentials *secret =
		registry_match(w->secrets.items, w->secrets.n, image);
	bool found = true;
	lm_rc rc = LM_OK;

	if (secret) {
		*ret = registry_credentials_copy(secret);
		*ret_source = LOGIN_SECRET;
	} else if (tokens_has(&w->tokens, lm_str(image->registry))) {
		*ret = tokens_login(&w->tokens, lm_str(image->registry));
		*ret_source = LOGIN_TOKEN;
	} else {
		rc = user_logins_find(&w->user, image, &w->limit, ret, &found, err);
		*ret_source = found && !rc ? LOGIN_USER : LOGIN_NONE;
	}
	return rc;
}

/// The registry of ECR that an image needs a token for; NULL: it is none, or a secret is for it.
static const char *needs_token(const struct work *w, const struct image_ref *image)
{
	struct ecr_registry r;

	if (!ecr_registry_parse(lm_str(image->registry), &r) ||
		registry_match(w->secrets.items, w->secrets.n, image))
		return NULL;
	return image->registry;
}

/// One image that may be pulled.
struct named {
	struct image_ref ref;
	bool is_built; ///< If it cannot be pulled.
};

/// Calls `each` for the images that may be pulled, until it fails. What is no reference is told of
/// when it is pulled.
static lm_rc for_each_image(struct work *w,
	lm_rc (*each)(struct work *w, const struct named *image, void *ctx, struct lm_err *err),
	void *ctx, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < w->images.n && !rc; i++) {
		const struct compose_image *image = &w->images.items[i];
		struct named named = {.is_built = image->builder != NULL};

		if (image_action_may_pull(image) &&
			image_ref_parse(lm_str(image->name), &named.ref, NULL) == LM_OK)
			rc = each(w, &named, ctx, err);
		image_ref_finish(&named.ref);
	}
	return rc;
}

/// Notes the token that an image needs; `ctx` is a bool: one is not there.
static lm_rc want(struct work *w, const struct named *image, void *ctx, struct lm_err *err)
{
	const char *host = needs_token(w, &image->ref);
	bool *missing = ctx;

	if (!host)
		return LM_OK;
	if (!tokens_has(&w->tokens, lm_str(host)))
		*missing = true;
	return tokens_want(&w->tokens, lm_str(host), err);
}

/// A token that was needed cannot be had: maybe it does without.
static lm_rc do_without(struct work *w, const struct named *image, void *ctx, struct lm_err *err)
{
	const struct lm_err *cloud_err = ctx;
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	struct lm_err why = *cloud_err;
	bool found = false;
	const char *host = needs_token(w, &image->ref);

	if (!host || tokens_has(&w->tokens, lm_str(host)))
		return LM_OK;
	if (why.rc == LM_OK)
		(void)!tokens_failure(&w->tokens, lm_str(host), &why);
	if (why.rc == LM_E_CANCELLED) {
		*err = why;
		return why.rc;
	}
	lm_rc rc = user_logins_find(&w->user, &image->ref, &w->limit, &login, &found, err);
	if (rc)
		return rc;
	if (found) {
		lm_warn("%s; going on with the login for %s that the user has", why.msg, host);
		return LM_OK;
	}
	if (w->cloud.has_no_source || image->is_built) {
		lm_warn("%s; going on without a login for %s", why.msg, host);
		return LM_OK;
	}
	if (why.rc == LM_E_INVALID) // this device's own settings, not the definition
		why.rc = LM_E_DENIED;
	*err = why;
	return why.rc;
}

lm_rc registries_complete(struct work *w, struct lm_err *err)
{
	struct lm_err cloud_err = {LM_OK};
	bool missing = false;
	lm_rc rc = for_each_image(w, want, &missing, err);

	if (rc || !missing)
		return rc;
	if (cloud_open(&w->cloud, &cloud_err) == LM_OK) {
		tokens_start(&w->tokens, &w->cloud);
		(void)!cloud_run(&w->cloud, NULL); // a failure of it is in the tokens
		tokens_settle(&w->tokens, &w->cloud);
	}
	return for_each_image(w, do_without, &cloud_err, err);
}

static bool is_listed(const struct registry_list *list, const struct registry_credentials *c)
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

/// Takes `c` over.
static void add(struct registry_list *to, struct registry_credentials *c)
{
	if (is_listed(to, c))
		registry_credentials_finish(c);
	else
		registry_list_add(to, c);
}

static void add_secrets(const struct work *w, struct registry_list *to)
{
	for (size_t i = 0; i < w->secrets.n; i++) {
		struct registry_credentials copy = registry_credentials_copy(&w->secrets.items[i]);

		add(to, &copy);
	}
}

static lm_rc add_token(struct work *w, const struct named *image, void *ctx, struct lm_err *err)
{
	const char *host = needs_token(w, &image->ref);

	(void)err;
	if (host && tokens_has(&w->tokens, lm_str(host))) {
		struct registry_credentials login = tokens_login(&w->tokens, lm_str(host));

		add(ctx, &login);
	}
	return LM_OK;
}

void registries_list(struct work *w, struct registry_list *to)
{
	add_secrets(w, to);
	(void)!for_each_image(w, add_token, to, NULL); // it cannot fail
}

/// Whether a secret is for any part of that registry.
static bool has_secret(const struct work *w, struct lm_str host)
{
	for (size_t i = 0; i < w->secrets.n; i++) {
		lm_auto(registry_address_finish) struct registry_address a = {0};

		if (registry_address_parse(lm_str(w->secrets.items[i].registry), &a, NULL) ==
				LM_OK &&
			lm_str_eq_nocase(lm_str(a.host), host))
			return true;
	}
	return false;
}

/// The tokens for all hosts that the compose file names anywhere.
static lm_rc add_all_tokens(struct work *w, struct registry_list *to, struct lm_err *err)
{
	struct lm_str text = lm_buf_str(&w->text), host;
	struct ecr_registry r;

	while (ecr_registry_scan(&text, &host, &r)) {
		lm_rc rc = LM_OK;

		if (has_secret(w, host))
			continue;
		if (tokens_is_due(&w->tokens, host))
			rc = tokens_renew(&w->tokens, &w->cloud, host, err);
		if (rc == LM_E_CANCELLED)
			return rc;
		if (!tokens_has(&w->tokens, host))
			continue;
		struct registry_credentials login = tokens_login(&w->tokens, host);
		add(to, &login);
	}
	return for_each_image(w, add_token, to, err);
}

lm_rc registries_list_all(struct work *w, struct registry_list *to, struct lm_err *err)
{
	add_secrets(w, to);
	lm_rc rc = add_all_tokens(w, to, err);

	return rc ? rc : user_logins_list(&w->user, &w->limit, to, err);
}
