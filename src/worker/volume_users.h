// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Who uses volumes: while they are copied or put back, no container that mounts one of them may
/// run, be it ours or not. Never logs.

#include "base/error.h"
#include "docker/engine.h"
#include "sys/json.h"
#include "sys/wait.h"

#include <stdbool.h>

/// Names of volumes.
struct volume_names {
	const char *const *items;
	size_t n;
};

/// When each container that mounts one of them was last started: {"<id>":<ms>,…}, the caller's.
/// LM_E_CONFLICT: one runs; with `ours_may` only one that is not of `project`.
lm_rc volume_users_list(const struct engine *e, const char *project, bool ours_may,
	struct volume_names names, const struct wait_limit *limit, json_t **ret,
	struct lm_err *err);
/// The same, and LM_E_CONFLICT as well if one was started since `before` was listed.
lm_rc volume_users_compare(const struct engine *e, const char *project, struct volume_names names,
	const json_t *before, const struct wait_limit *limit, struct lm_err *err);
