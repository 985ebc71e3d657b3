// SPDX-License-Identifier: Apache-2.0
#include "docker/credential_helper.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/registry_auth.h"
#include "sys/json.h"
#include "sys/process.h"

#include <sys/stat.h>
#include <sys/wait.h>

enum {
	RUN_MS = 30 * 1000,
	GRACE_MS = 1000,
	WORDS_MAX = 200,
};

/// What all helpers print on stdout if they have no login for a registry.
static const char not_found[] = "credentials not found in native keychain";

static const char *path_of(const char *const *env)
{
	for (size_t i = 0; env[i]; i++)
		if (strncmp(env[i], "PATH=", 5) == 0)
			return env[i] + 5;
	return "";
}

static bool is_helper_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/// The caller frees.
static lm_rc find_helper(const struct credential_helper *h, char **ret, struct lm_err *err)
{
	struct lm_str rest = lm_str(path_of(h->env));

	while (rest.n > 0) {
		struct lm_str folder = lm_str_cut(&rest, ':');
		lm_auto_free char *path =
			lm_xasprintf("%.*s/docker-credential-%s", LM_STR_ARG(folder), h->suffix);

		if (path[0] != '/' || folder.n == 0 || !is_helper_program(path))
			continue;
		*ret = lm_take(path);
		return LM_OK;
	}
	return lm_fail(err, LM_E_DENIED, 0,
		"no credential helper docker-credential-%s in %s: install it, or remove it from "
		"~/.docker/config.json",
		h->suffix, path_of(h->env));
}

/// Keeps the first line that a helper writes to stderr.
static void take_words(void *ctx, enum process_stream stream, struct lm_str line)
{
	struct lm_buf *words = ctx;

	if (stream == PROCESS_STDERR && words->len == 0)
		(void)lm_buf_add(words, line.p, line.n < words->max ? line.n : words->max);
}

/// The message has the helper's own error, unless that might show a secret.
static lm_rc credential_helper_fail(const struct credential_helper *h, const char *verb, int status,
	struct lm_str words, struct lm_err *err)
{
	char how[96], shown[4 * WORDS_MAX + 32];

	(void)process_describe_status(status, how, sizeof(how));
	words = lm_str_trim(words);
	if (words.n == 0 || strcmp(verb, "store") == 0)
		return lm_fail(err, LM_E_REFUSED, 0, "docker-credential-%s %s failed: %s",
			h->suffix, verb, how);
	return lm_fail(err, LM_E_REFUSED, 0, "docker-credential-%s %s failed: %s (%s)", h->suffix,
		verb, lm_str_shorten(words, WORDS_MAX, shown, sizeof(shown)), how);
}

/// Runs `docker-credential-<suffix> <verb>` with `input` on stdin. LM_E_NOT_FOUND: it has no such
/// login.
static lm_rc run_helper(const struct credential_helper *h, const char *verb, struct lm_str input,
	const struct wait_limit *limit, struct lm_buf *output, struct lm_err *err)
{
	lm_auto_free char *program = NULL;
	lm_auto_buf struct lm_buf words = LM_BUF_SECRET(WORDS_MAX);
	struct wait_limit within = wait_limit_within(limit, RUN_MS);
	int status = 0;
	lm_rc rc = find_helper(h, &program, err);

	if (rc)
		return rc;
	const struct process_run process = {
		.spec = {.argv = (const char *const[]){program, verb, NULL},
			.envp = h->env,
			.directory = "/"},
		.input = input,
		.on_line = take_words,
		.ctx = &words,
		.output = output,
		.term_grace_ms = GRACE_MS,
	};
	rc = process_run(&process, &within, &status, err);
	if (rc)
		return rc;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return LM_OK;
	struct lm_str said = lm_str_trim(lm_buf_str(output));
	if (lm_str_eq(said, lm_str(not_found)))
		return lm_fail(err, LM_E_NOT_FOUND, 0, "docker-credential-%s has no login for it",
			h->suffix);
	// A helper that fails behind its answer has printed a login.
	bool is_answer = lm_str_find(said, '{') < said.n;
	return credential_helper_fail(
		h, verb, status, said.n && !is_answer ? said : lm_buf_str(&words), err);
}

/// jansson's own message may quote the text, so none of it is passed on.
static lm_rc parse_login(const struct credential_helper *h, const char *server, struct lm_str text,
	struct registry_credentials *ret, struct lm_err *err)
{
	json_error_t why;
	lm_auto_json json_t *root = json_loadb(text.p, text.n, 0, &why);
	const char *username = json_get_text(root, "Username");
	const char *secret = json_get_text(root, "Secret");

	lm_wipe(&why, sizeof(why));
	if (!username || !secret)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"docker-credential-%s returned no Username and Secret for '%s'", h->suffix,
			server);
	if (!*username && !*secret) // some helpers answer so if they have none
		return lm_fail(err, LM_E_NOT_FOUND, 0, "docker-credential-%s has no login for it",
			h->suffix);
	*ret = (struct registry_credentials){
		.registry = lm_xstrdup(server), .username = lm_xstrdup(username)};
	lm_secret_set(&ret->password, lm_str(secret));
	return LM_OK;
}

lm_rc credential_helper_get(const struct credential_helper *h, const char *server,
	const struct wait_limit *limit, struct registry_credentials *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf output = LM_BUF_SECRET(LIMIT_HELPER_ANSWER);
	lm_rc rc = run_helper(h, "get", lm_str(server), limit, &output, err);

	return rc ? rc : parse_login(h, server, lm_buf_str(&output), ret, err);
}

lm_rc credential_helper_store(const struct credential_helper *h,
	const struct registry_credentials *c, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_free char *server = NULL;
	lm_auto_buf struct lm_buf input = LM_BUF_SECRET(LIMIT_SECRET_VALUE * 8);
	lm_auto_buf struct lm_buf output = LM_BUF_SECRET(LIMIT_HELPER_ANSWER);
	lm_rc rc = registry_server_address(c, &server, err);

	if (rc)
		return rc;
	(void)lm_buf_puts(&input, "{\"ServerURL\":");
	registry_add_json_string(&input, lm_str(server));
	(void)lm_buf_puts(&input, ",\"Username\":");
	registry_add_json_string(&input, lm_str(c->username));
	(void)lm_buf_puts(&input, ",\"Secret\":");
	registry_add_json_string(&input, lm_secret_str(&c->password));
	(void)lm_buf_puts(&input, "}\n");
	if (input.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "registry credentials are over %zu bytes",
			input.max);
	return run_helper(h, "store", lm_buf_str(&input), limit, &output, err);
}

lm_rc credential_helper_erase(const struct credential_helper *h, const char *server,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_buf struct lm_buf output = LM_BUF_SECRET(LIMIT_HELPER_ANSWER);
	lm_rc rc = run_helper(h, "erase", lm_str(server), limit, &output, err);

	return rc == LM_E_NOT_FOUND ? LM_OK : rc;
}
