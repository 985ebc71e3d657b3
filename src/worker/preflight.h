// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a task needs on this device before it begins: the Docker Engine, docker-compose, and a
/// destination directory that the application's user can write to. The stage `prepare`.

#include "worker/context.h"

/// All of it, for a deployment or a plan.
lm_rc preflight_run(struct context *cx, struct lm_err *err);

/// Its parts.
lm_rc preflight_engine(struct context *cx, struct lm_err *err);
lm_rc preflight_compose(struct context *cx, struct lm_err *err);
/// Makes the environment of docker-compose, which credential helpers get, too.
void preflight_environment(struct context *cx);
/// Opens the destination, which must exist and be writable.
lm_rc preflight_destination(struct context *cx, struct lm_err *err);

/// The name of the user that this process is, or its number. The caller frees.
char *preflight_user_name(void);
