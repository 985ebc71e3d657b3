// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Lets docker-compose resolve the compose file: which services `up` starts, and of which images.

#include "worker/context.h"

/// Fills `config`, `services`, `images`, `default_platform` and `unset` from `text`.
lm_rc resolve_compose_file(struct context *cx, struct lm_err *err);
