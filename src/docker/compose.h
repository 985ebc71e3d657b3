// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Runs docker-compose for one project. Argument vectors only. Never logs; never retries.
/// Each call returns when the child has been reaped. At the limit or on cancel its process group is
/// killed first: LM_E_TIMEOUT, LM_E_CANCELLED. A failure of compose itself is LM_E_REFUSED or
/// LM_E_CONFLICT (compose_output.h) with compose's own first error and the number of others. Values
/// of the compose file, its env files and the environment are masked in lines and messages
/// (compose_values.h).

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "docker/compose_find.h"
#include "sys/wait.h"

#include <stdbool.h>

#define COMPOSE_PROJECT "greengrassdockerapplicationdeployment"

/// One application; all borrowed.
struct compose_project {
	const struct compose *compose;
	const char *name;      ///< COMPOSE_PROJECT
	const char *directory; ///< Project directory: relative paths and .env are looked up there.
	/// The compose file's path, never "-": of a file on standard input docker-compose 1 does
	/// not take `extends`, and reads only what the locale encodes.
	const char *file;
	const char *file_shown; ///< What lines and messages call it; NULL: by its path.
	const char *const *env; ///< From compose_env_make.
	/// What `config` made of the file, for values that only there are put together; or empty.
	struct lm_str resolved;
	/// Called for each line that compose prints, cleaned. May be NULL.
	void (*on_line)(void *ctx, enum lm_level level, struct lm_str line);
	/// Called for each variable that the compose file uses and that is not set. May be NULL.
	void (*on_unset)(void *ctx, struct lm_str name);
	void *ctx;
};

/// Resolves the compose file: appends what `config` prints. The ceiling of `ret_config` counts
/// (LIMIT_COMPOSE_CONFIG): LM_E_TOO_LARGE.
lm_rc compose_config(const struct compose_project *project, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err);
/// Appends what `config --hash` prints for all services (compose_hashes.h).
lm_rc compose_hash(const struct compose_project *project, const struct wait_limit *limit,
	struct lm_buf *ret_hashes, struct lm_err *err);
/// Stops and removes the application's containers and networks.
lm_rc compose_down(const struct compose_project *project, bool remove_orphans,
	const struct wait_limit *limit, struct lm_err *err);
/// Builds the images of `n` services, none of whose names starts with a dash.
lm_rc compose_build(const struct compose_project *project, const char *const *services, size_t n,
	const struct wait_limit *limit, struct lm_err *err);
/// Whether `up` pulls images with `pull_policy: always` that are there already: it cannot be kept
/// from it before docker-compose 2.15.
bool compose_up_pulls_again(const struct compose *compose);
struct compose_up_options {
	bool remove_orphans;
	bool no_build; ///< Images that can be built are there, and stay as they are.
};

/// `up -d`, which pulls nothing else: generation 1 pulls what is not there, so all must be. Without
/// `remove_orphans`, containers of services that are no longer in the file keep running.
lm_rc compose_up(const struct compose_project *project, const struct compose_up_options *options,
	const struct wait_limit *limit, struct lm_err *err);

/// The environment for docker-compose. Compose files may use all variables that lightermand has,
/// but for those that are secrets of lightermand or lead to them, and those that would have
/// docker-compose connect elsewhere or load other code (docs/formats.md lists them). What
/// docker-compose would also take from `.env`, and must not, is set to nothing.
struct compose_env_settings {
	const char *docker_socket; ///< Becomes DOCKER_HOST.
	const char *docker_config; ///< Directory for DOCKER_CONFIG; NULL: the user's own, by HOME.
};

/// `parent` is NULL-terminated (environ, with a cast). The result is NULL-terminated; free it with
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
