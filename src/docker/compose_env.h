// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The environment for docker-compose. What a compose file may interpolate is kept; what would
/// change what compose talks to, what loads into it, or what would show containers the role's keys
/// is not: AWS_* (but for the Region), DOCKER_*, COMPOSE_*, LIGHTERMAN_*, LD_*, and systemd's
/// NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, CREDENTIALS_DIRECTORY, JOURNAL_STREAM, INVOCATION_ID.

struct compose_env_settings {
	const char *docker_socket; ///< Becomes DOCKER_HOST.
	const char *docker_config; ///< Directory for DOCKER_CONFIG; NULL: the user's own, by HOME.
};

/// `parent` is NULL-ended (environ, with a cast). The result is NULL-ended; free it with
/// compose_env_free.
char **compose_env_make(const char *const *parent, const struct compose_env_settings *settings);
void compose_env_free(char **env);
