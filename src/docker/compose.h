// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Runs docker-compose for one project. Argument vectors only. Never logs; never retries.
/// Each call returns when the child has been reaped. At the limit or on cancel its process group is
/// ended first: LM_E_TIMEOUT, LM_E_CANCELLED. A failure of compose itself is LM_E_REFUSED or
/// LM_E_CONFLICT (compose_output.h) with compose's own first error and the number of others. Values
/// of the compose file, its env files and the environment are in no line and no message
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
struct compose_job {
	const struct compose *compose;
	const char *project;   ///< COMPOSE_PROJECT
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
lm_rc compose_config(const struct compose_job *job, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err);
/// Appends what `config --hash` prints for all services (compose_hashes.h).
lm_rc compose_hash(const struct compose_job *job, const struct wait_limit *limit,
	struct lm_buf *ret_hashes, struct lm_err *err);
/// Takes down what runs.
lm_rc compose_down(const struct compose_job *job, bool remove_orphans,
	const struct wait_limit *limit, struct lm_err *err);
/// Builds the images of `n` services, none of whose names begins with a dash.
lm_rc compose_build(const struct compose_job *job, const char *const *services, size_t n,
	const struct wait_limit *limit, struct lm_err *err);
/// Whether `up` pulls images with `pull_policy: always` that are there already: it cannot be kept
/// from it before docker-compose 2.15.
bool compose_up_pulls_again(const struct compose *compose);
/// `up -d`, which pulls nothing else: generation 1 pulls what is not there, so all must be. Without
/// `remove_orphans`, containers of services that are no longer in the file run on.
lm_rc compose_up(const struct compose_job *job, bool remove_orphans, const struct wait_limit *limit,
	struct lm_err *err);
