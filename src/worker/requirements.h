// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Checks before anything is stopped whether this device has what the resolved compose file refers
/// to, and whether others hold it. What we cannot see (an engine in a container, a path that the
/// application's user may not enter) is no problem.

#include "docker/compose_requirements.h"
#include "docker/engine.h"
#include "worker/context.h"

enum problem_level {
	PROBLEM_WARNING, ///< `up` will succeed.
	PROBLEM_ERROR,   ///< The engine or docker-compose will refuse it.
};

struct problem {
	enum problem_level level;
	lm_rc rc; ///< Of an error.
	char *message;
};

struct problems {
	struct problem *items;
	size_t n;
};

/// Needs `config` and an engine. Fails only if the engine cannot be reached, or on cancel.
lm_rc requirements_check(struct context *cx, struct problems *ret, struct lm_err *err);
void problems_finish(struct problems *problems);
/// "warning", "error": as in docs/formats.md.
const char *problem_level_name(enum problem_level level);
/// LM_OK if there is no error among them; else the first, with the number of the others.
lm_rc problems_to_error(const struct problems *problems, struct lm_err *err);

/// For a deployment: logs the problems, and fails on an error. A start only logs: with one device
/// unplugged, the other services must come up after a reboot all the same.
lm_rc requirements_enforce(struct context *cx, struct lm_err *err);

/// Compares a volume's definition in the compose file with the existing volume. Appends
/// "'o' is 'size=2m' in the compose file and 'size=1m' in the volume", for each difference; no
/// password. False: there is none. Pure.
bool requirements_compare_volume(
	const struct compose_volume *wanted, const struct engine_volume *found, struct lm_buf *out);
