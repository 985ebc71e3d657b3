// SPDX-License-Identifier: Apache-2.0
#include "docker/client_config.h"

#include "base/buf.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

enum { CONFIG_MAX = 2 << 20 };

void client_config_finish(struct client_config *c)
{
	registry_list_finish(&c->logins);
	for (size_t i = 0; i < c->entrusted_n; i++)
		free(c->entrusted[i]);
	for (size_t i = 0; i < c->helpers_n; i++) {
		free(c->helpers[i].host);
		free(c->helpers[i].suffix);
	}
	free(c->entrusted);
	free(c->helpers);
	free(c->store);
	*c = (struct client_config){0};
}

/// jansson's own message may quote the text, so only the place is passed on.
static lm_rc load_object(struct lm_str text, json_t **ret, struct lm_err *err)
{
	json_error_t why;
	json_t *root = json_loadb(text.p, text.n, 0, &why);
	int line = why.line, column = why.column;

	lm_wipe(&why, sizeof(why));
	if (json_is_object(root)) {
		*ret = root;
		return LM_OK;
	}
	json_decref(root);
	return lm_fail(
		err, LM_E_INVALID, 0, "not a JSON object (line %d, column %d)", line, column);
}

static lm_rc fail_login(const char *key, struct lm_err *err)
{
	char shown[4 * 100 + 32];

	return lm_fail(err, LM_E_INVALID, 0,
		"cannot read the login for '%s': log in again (docker login)",
		lm_str_shorten(lm_str(key), 100, shown, sizeof(shown)));
}

/// base64 of "user:password"; Docker pads it with NULs.
static bool take_auth(struct lm_str auth, struct registry_credentials *c)
{
	lm_auto_buf struct lm_buf pair = LM_BUF_SECRET(LIMIT_DOCKER_CONFIG);

	if (!lm_base64_decode(&pair, auth))
		return false;
	struct lm_str password = lm_buf_str(&pair);
	while (password.n > 0 && password.p[password.n - 1] == '\0')
		password.n--;
	size_t whole_n = password.n;
	struct lm_str username = lm_str_cut(&password, ':');
	if (username.n == 0 || username.n == whole_n || memchr(username.p, '\0', username.n))
		return false;
	c->username = lm_xmemdup0(username.p, username.n);
	lm_secret_set(&c->password, password);
	return true;
}

/// The login of an entry, in any of its forms; without one `c` is left alone. False: it is broken.
static bool take_login(const json_t *entry, struct registry_credentials *c)
{
	const char *token = json_get_text(entry, "identitytoken");
	const char *auth = json_get_text(entry, "auth");
	const char *username = json_get_text(entry, "username");
	const char *password = json_get_text(entry, "password");

	if (token && *token) {
		c->username = lm_xstrdup(REGISTRY_TOKEN_USER);
		lm_secret_set(&c->password, lm_str(token));
	} else if (auth && *auth) {
		return take_auth(json_text(json_object_get(entry, "auth")), c);
	} else if (username && *username && password) {
		c->username = lm_xstrdup(username);
		lm_secret_set(&c->password, lm_str(password));
	}
	return true;
}

static bool is_registry_key(const char *key)
{
	lm_auto(registry_address_finish) struct registry_address a = {0};

	return registry_address_parse(lm_str(key), &a, NULL) == LM_OK;
}

static lm_rc read_auths(const json_t *auths, struct client_config *c, struct lm_err *err)
{
	const char *key;
	json_t *entry;

	c->entrusted = lm_xcalloc(json_object_size(auths) + 1, sizeof(*c->entrusted));
	json_object_foreach((json_t *)auths, key, entry)
	{
		if (!json_is_object(entry) || !is_registry_key(key))
			continue;
		struct registry_credentials login = {0};
		if (!take_login(entry, &login))
			return fail_login(key, err);
		if (login.username) {
			login.registry = lm_xstrdup(key);
			registry_list_add(&c->logins, &login);
		} else {
			c->entrusted[c->entrusted_n++] = lm_xstrdup(key);
		}
	}
	return LM_OK;
}

/// Whether it can be part of a program's name, without a path.
static bool is_helper_suffix(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 64 &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static lm_rc client_config_fail_helper(const char *name, struct lm_err *err)
{
	char shown[4 * 60 + 32];

	return lm_fail(err, LM_E_INVALID, 0,
		"'%s' is not the name of a credential helper (docker-credential-NAME)",
		lm_str_shorten(lm_str(name), 60, shown, sizeof(shown)));
}

static lm_rc read_helpers(const json_t *helpers, struct client_config *c, struct lm_err *err)
{
	const char *key;
	json_t *entry;

	c->helpers = lm_xcalloc(json_object_size(helpers) + 1, sizeof(*c->helpers));
	json_object_foreach((json_t *)helpers, key, entry)
	{
		lm_auto(registry_address_finish) struct registry_address a = {0};
		const char *suffix = json_string_value(entry);

		if (!suffix || registry_address_parse(lm_str(key), &a, NULL) != LM_OK)
			continue;
		if (!is_helper_suffix(suffix))
			return client_config_fail_helper(suffix, err);
		c->helpers[c->helpers_n++] = (struct client_config_helper){
			.host = lm_take(a.host), .suffix = lm_xstrdup(suffix)};
	}
	return LM_OK;
}

static lm_rc read_all(const json_t *root, struct client_config *c, struct lm_err *err)
{
	const json_t *auths = json_object_get(root, "auths");
	const json_t *helpers = json_object_get(root, "credHelpers");
	const char *store = json_get_text(root, "credsStore");

	if (json_object_size(auths) > LIMIT_DOCKER_LOGINS ||
		json_object_size(helpers) > LIMIT_DOCKER_LOGINS)
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "it has more than %d entries", LIMIT_DOCKER_LOGINS);
	if (store && *store && !is_helper_suffix(store))
		return client_config_fail_helper(store, err);
	if (store && *store)
		c->store = lm_xstrdup(store);
	lm_rc rc = read_helpers(helpers, c, err);
	return rc ? rc : read_auths(auths, c, err);
}

lm_rc client_config_parse(struct lm_str text, struct client_config *ret, struct lm_err *err)
{
	lm_auto_json json_t *root = NULL;
	lm_auto_client_config struct client_config c = {0};
	lm_rc rc = load_object(text, &root, err);

	if (!rc)
		rc = read_all(root, &c, err);
	if (rc)
		return rc;
	*ret = c;
	c = (struct client_config){0};
	return LM_OK;
}

const char *client_config_helper_of(const struct client_config *c, const char *host)
{
	for (size_t i = 0; i < c->helpers_n; i++)
		if (strcmp(c->helpers[i].host, host) == 0)
			return c->helpers[i].suffix;
	return c->store;
}

static int client_config_append_piece(const char *piece, size_t n, void *ctx)
{
	return lm_buf_add(ctx, piece, n) ? 0 : -1;
}

lm_rc client_config_with_logins(struct lm_str text, const struct registry_list *logins,
	struct lm_secret *ret, struct lm_err *err)
{
	static const char *const replaced[] = {
		"auths", "credsStore", "credHelpers", "currentContext"};
	lm_auto_secret struct lm_secret ours = {0};
	lm_auto_json json_t *root = NULL;
	lm_auto_json json_t *auths = NULL;
	lm_rc rc = registry_config_json(logins->items, logins->n, &ours, err);

	if (!rc)
		rc = load_object(lm_secret_str(&ours), &auths, err);
	if (rc)
		return rc;
	if (load_object(text, &root, NULL))
		root = json_object();
	for (size_t i = 0; i < LM_ARRAY_SIZE(replaced); i++)
		(void)json_object_del(root, replaced[i]);
	(void)json_object_update(root, auths);
	lm_auto_buf struct lm_buf out = LM_BUF_SECRET(CONFIG_MAX);
	if (json_dump_callback(root, client_config_append_piece, &out, JSON_COMPACT) ||
		out.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"a config.json with all logins is larger than %d bytes", CONFIG_MAX);
	lm_secret_set(ret, lm_buf_str(&out));
	return LM_OK;
}
