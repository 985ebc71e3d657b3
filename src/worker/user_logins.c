// SPDX-License-Identifier: Apache-2.0
#include "worker/user_logins.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "docker/credential_helper.h"

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
		lm_warn("%s, going on without the logins in it", err.msg);
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

/// A helper has failed: LM_OK, and a warning, unless the job was told to stop.
static lm_rc give_up(struct user_logins *u, const char *suffix, const struct lm_err *why)
{
	if (why->rc == LM_E_CANCELLED)
		return why->rc;
	lm_warn("%s, going on without this helper", why->msg);
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
	return rc == LM_OK || rc == LM_E_NOT_FOUND ? LM_OK : give_up(u, suffix, err);
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

/// Notes what is to be restored: nothing, if it is ours, which a worker that was killed has left.
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
		return give_up(u, suffix, err);
	// Before it is given anything, which may end in the middle.
	note_before(u, suffix, lm_take(server), &before, c);
	rc = credential_helper_store(&h, c, limit, err);
	return rc ? give_up(u, suffix, err) : LM_OK;
}

static lm_rc restore(const struct user_logins *u, const struct user_logins_kept *k,
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

		if (restore(u, &u->kept[i], limit, &err))
			lm_warn("%s, so the login for '%s' may still be kept there: log out of it "
				"(docker logout)",
				err.msg, u->kept[i].server);
		kept_finish(&u->kept[i]);
	}
	free(u->kept);
	u->kept = NULL;
	u->kept_n = 0;
}
