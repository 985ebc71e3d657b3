// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The environment for docker-compose. Compose files may use all variables that lightermand has,
/// but for those that are secrets of lightermand or lead to them, and those that would have
/// docker-compose connect elsewhere or load other code (docs/formats.md lists them). What
/// docker-compose would also take from `.env`, and must not, is set to nothing.

#include "base/str.h"

struct compose_env_settings {
	const char *docker_socket; ///< Becomes DOCKER_HOST.
	const char *docker_config; ///< Directory for DOCKER_CONFIG; NULL: the user's own, by HOME.
};

/// `parent` is NULL-ended (environ, with a cast). The result is NULL-ended; free it with
/// compose_env_free.
char **compose_env_make(const char *const *parent, const struct compose_env_settings *settings);
/// The same with one more variable, or another value for it.
char **compose_env_with(const char *const *env, const char *name, const char *value);
void compose_env_free(char **env);
/// The variable's value, or NULL. Borrowed.
const char *compose_env_get(const char *const *env, struct lm_str name);

/// Why docker-compose does not get this variable as `parent` or `.env` have it: "it is a secret …".
/// NULL: it does, or `parent` has none of that name.
const char *compose_env_reason(const char *const *parent, struct lm_str name);
