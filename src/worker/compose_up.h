// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Runs docker-compose up and build. docker-compose gets as DOCKER_CONFIG a directory with all
/// logins of the task, in memory, which is removed afterwards.

#include "worker/context.h"

/// Starts the application from the local copy. LM_E_CONFLICT: ForceDeploy may help.
lm_rc compose_up_application(struct context *cx, struct lm_err *err);
/// Builds the images of these services.
lm_rc compose_up_build(
	struct context *cx, const char *const *services, size_t n, struct lm_err *err);
