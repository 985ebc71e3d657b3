// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_env.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool is_kept(struct lm_str name)
{
	static const char *const prefixes[] = {
		"AWS_", "DOCKER_", "COMPOSE_", "LIGHTERMAN_", "LD_", "WATCHDOG_", "LISTEN_"};
	static const char *const names[] = {
		"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", "INVOCATION_ID"};
	// The Region is no secret, and compose files for Greengrass pass it on.
	if (lm_str_eq(name, LM_STR("AWS_REGION")) || lm_str_eq(name, LM_STR("AWS_DEFAULT_REGION")))
		return true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(prefixes); i++)
		if (lm_str_starts(name, lm_str(prefixes[i])))
			return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		if (lm_str_eq(name, lm_str(names[i])))
			return false;
	return true;
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
	enum { OURS = 5, PARALLEL = LIMIT_SERVICES + 64 };
	size_t parent_n = 0;
	while (parent[parent_n])
		parent_n++;
	char **env = lm_xcalloc(parent_n + OURS + 1, sizeof(*env));
	size_t n = 0;
	for (size_t i = 0; i < parent_n; i++)
		if (strchr(parent[i], '=') && is_kept(name_of(parent[i])))
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
	set_variable(env, &n, "DOCKER_CONFIG", settings->docker_config);
	if (settings->docker_socket) {
		lm_auto_free char *host = lm_xasprintf("unix://%s", settings->docker_socket);
		set_variable(env, &n, "DOCKER_HOST", host);
	}
	return env;
}

void compose_env_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}
