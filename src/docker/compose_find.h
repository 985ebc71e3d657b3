// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Finds docker-compose, of either generation: the Python one (v1), the Go one (v2 and later), or
/// the plugin `docker compose`. Only the spec's two directories are looked at, never PATH.

#include "base/error.h"
#include "docker/engine_json.h"
#include "sys/wait.h"

#include <stdbool.h>

struct compose {
	char *program;       ///< Absolute path of docker-compose, or of docker for the plugin.
	bool plugin;         ///< Run as `docker compose`.
	char *version;       ///< "1.29.2", without a leading 'v'.
	unsigned generation; ///< 1 or 2.
	char *stamp;         ///< Changes when the program's file does; "" for the plugin.
};

struct compose_search {
	const char *setting;            ///< The host file's docker.compose, or NULL.
	const char *const *directories; ///< NULL-terminated; NULL: /usr/bin and /usr/local/bin.
	const char *const *env;         ///< For asking the version (compose_env_make).
	/// What an earlier search found, or NULL: a program of the same stamp is not asked again,
	/// which saves half a second of CPU with the Python generation.
	const char *known_stamp;
	const char *known_version;
};

/// LM_E_NOT_FOUND: the message names the directories. LM_E_REFUSED: what was found does not run;
/// the message has its error. LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc compose_find(const struct compose_search *search, const struct wait_limit *limit,
	struct compose *ret, struct lm_err *err);
void compose_finish(struct compose *c);

/// The `docker` command of the spec's requirements, which only the plugin needs.
/// LM_E_NOT_FOUND: the message names the directories. The caller frees.
lm_rc docker_find(const char *const *directories, char **ret, struct lm_err *err);

/// Whether a docker-compose and an engine have a version of the Engine API in common: generation 2
/// negotiates one with the engine, generation 1 asks for a fixed one, which the engine may be too
/// new or too old for. Pure. LM_E_REFUSED: every command of this docker-compose fails with this
/// engine; the message names both. `file_format` is the `version` of the compose file ("3.7"; NULL:
/// none is known), which decides for docker-compose before 1.27; without it the newest of the
/// formats counts, as the one most likely to work.
lm_rc compose_check_api(const struct compose *compose, const struct engine_version *engine,
	const char *file_format, struct lm_err *err);
