// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_env.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char SECRET[] = "it is a secret of lightermand or leads to one";
static const char ELSEWHERE[] = "it would change what docker-compose connects to or does";
static const char LOADED[] = "it would load other code into docker-compose";
static const char MANAGER[] = "it belongs to lightermand and its service manager";

/// A variable that docker-compose does not get from lightermand.
struct withheld {
	const char *name;
	const char *reason;
	/// docker-compose would also take it from `.env`, which the environment overrides: it is
	/// set to nothing, which counts as not set.
	bool emptied;
};

/// docs/formats.md has the same list.
static const struct withheld WITHHELD[] = {
	{"AWS_ACCESS_KEY_ID", SECRET, false},
	{"AWS_SECRET_ACCESS_KEY", SECRET, false},
	{"AWS_ACCESS_KEY", SECRET, false},
	{"AWS_SECRET_KEY", SECRET, false},
	{"AWS_SESSION_TOKEN", SECRET, false},
	{"AWS_SECURITY_TOKEN", SECRET, false},
	{"AWS_PROFILE", SECRET, false},
	{"AWS_DEFAULT_PROFILE", SECRET, false},
	{"AWS_SHARED_CREDENTIALS_FILE", SECRET, false},
	{"AWS_CONFIG_FILE", SECRET, false},
	{"AWS_CREDENTIAL_FILE", SECRET, false},
	{"AWS_WEB_IDENTITY_TOKEN_FILE", SECRET, false},
	{"AWS_ROLE_ARN", SECRET, false},
	{"AWS_ROLE_SESSION_NAME", SECRET, false},
	{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", SECRET, false},
	{"AWS_CONTAINER_CREDENTIALS_FULL_URI", SECRET, false},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET, false},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", SECRET, false},
	{"CREDENTIALS_DIRECTORY", SECRET, false},
	{"DOCKER_AUTH_CONFIG", SECRET, false},
	{"DOCKER_HOST", ELSEWHERE, false}, // set to our own
	{"DOCKER_CONTEXT", ELSEWHERE, true},
	{"DOCKER_CONFIG", ELSEWHERE, false}, // empty, it means the working directory
	{"DOCKER_TLS", ELSEWHERE, true},
	{"DOCKER_TLS_VERIFY", ELSEWHERE, true},
	{"DOCKER_CERT_PATH", ELSEWHERE, true},
	{"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", ELSEWHERE, false},
	{"DOCKER_CLI_PLUGIN_SOCKET", ELSEWHERE, false},
	{"BUILDKIT_HOST", ELSEWHERE, false},
	{"COMPOSE_FILE", ELSEWHERE, false}, // given as an option, as are the next two
	{"COMPOSE_PATH_SEPARATOR", ELSEWHERE, false},
	{"COMPOSE_PROJECT_NAME", ELSEWHERE, false},
	{"COMPOSE_ENV_FILES", ELSEWHERE, false},
	{"COMPOSE_DISABLE_ENV_FILE", ELSEWHERE, false}, // docker-compose 2 fails if it is empty
	{"COMPOSE_TLS_VERSION", ELSEWHERE, true},
	{"COMPOSE_IGNORE_ORPHANS", ELSEWHERE, true},
	{"COMPOSE_REMOVE_ORPHANS", ELSEWHERE, true},
	{"COMPOSE_PARALLEL_LIMIT", ELSEWHERE, false}, // set to our own
	{"COMPOSE_PROGRESS", ELSEWHERE, false},
	{"COMPOSE_STATUS_STDOUT", ELSEWHERE, false},
	{"LD_PRELOAD", LOADED, false},
	{"LD_LIBRARY_PATH", LOADED, false},
	{"LD_AUDIT", LOADED, false},
	{"NOTIFY_SOCKET", MANAGER, false},
	{"WATCHDOG_USEC", MANAGER, false},
	{"WATCHDOG_PID", MANAGER, false},
	{"LISTEN_FDS", MANAGER, false},
	{"LISTEN_PID", MANAGER, false},
	{"LISTEN_FDNAMES", MANAGER, false},
};

static const struct withheld *find_withheld(struct lm_str name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(WITHHELD); i++)
		if (lm_str_eq(name, lm_str(WITHHELD[i].name)))
			return &WITHHELD[i];
	return NULL;
}

static struct lm_str name_of(const char *entry)
{
	struct lm_str rest = lm_str(entry);
	return lm_str_cut(&rest, '=');
}

/// Replaces the entry of that name, or adds one. `value` NULL: leaves things as they are.
static void set_variable(char **env, size_t *n, const char *name, const char *value)
{
	if (!value)
		return;
	size_t i = 0;
	while (i < *n && !lm_str_eq(name_of(env[i]), lm_str(name)))
		i++;
	if (i == *n)
		(*n)++;
	free(env[i]);
	env[i] = lm_xasprintf("%s=%s", name, value);
}

static bool has_variable(char **env, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (lm_str_eq(name_of(env[i]), lm_str(name)))
			return true;
	return false;
}

char **compose_env_make(const char *const *parent, const struct compose_env_settings *settings)
{
	enum { OURS = 5 + LM_ARRAY_SIZE(WITHHELD), PARALLEL = LIMIT_SERVICES + 64 };
	size_t parent_n = 0;
	while (parent[parent_n])
		parent_n++;
	char **env = lm_xcalloc(parent_n + OURS + 1, sizeof(*env));
	size_t n = 0;
	for (size_t i = 0; i < parent_n; i++)
		if (strchr(parent[i], '=') && !find_withheld(name_of(parent[i])))
			env[n++] = lm_xstrdup(parent[i]);
	if (!has_variable(env, n, "PATH"))
		set_variable(env, &n, "PATH", PATH_DEFAULT);
	// Debian's Python looks for its distutils through setuptools, which takes half of the start
	// of docker-compose 1.29 (0.37 s of CPU become 0.19 s). Nothing else reads this.
	if (!has_variable(env, n, "SETUPTOOLS_USE_DISTUTILS"))
		set_variable(env, &n, "SETUPTOOLS_USE_DISTUTILS", "stdlib");
	// docker-compose 1.29 counts each service, and then again what it does for each service,
	// against one limit (by default 64). More services than that take all of it, and wait for
	// ever for what they need besides.
	lm_auto_free char *parallel = lm_xasprintf("%d", PARALLEL);
	set_variable(env, &n, "COMPOSE_PARALLEL_LIMIT", parallel);
	for (size_t i = 0; i < LM_ARRAY_SIZE(WITHHELD); i++)
		if (WITHHELD[i].emptied)
			set_variable(env, &n, WITHHELD[i].name, "");
	set_variable(env, &n, "DOCKER_CONFIG", settings->docker_config);
	if (settings->docker_socket) {
		lm_auto_free char *host = lm_xasprintf("unix://%s", settings->docker_socket);
		set_variable(env, &n, "DOCKER_HOST", host);
	}
	return env;
}

char **compose_env_with(const char *const *env, const char *name, const char *value)
{
	size_t n = 0;

	while (env[n])
		n++;
	char **copy = lm_xcalloc(n + 2, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = lm_xstrdup(env[i]);
	set_variable(copy, &n, name, value);
	return copy;
}

const char *compose_env_reason(const char *const *parent, struct lm_str name)
{
	const struct withheld *found = find_withheld(name);

	return found && (found->emptied || compose_env_get(parent, name)) ? found->reason : NULL;
}

const char *compose_env_get(const char *const *env, struct lm_str name)
{
	for (; *env; env++)
		if (strchr(*env, '=') && lm_str_eq(name_of(*env), name))
			return *env + name.n + 1;
	return NULL;
}

void compose_env_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}
