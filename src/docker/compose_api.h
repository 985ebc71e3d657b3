// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whether a docker-compose and an engine have a version of the Engine API in common. Those of the
/// second generation agree on one with the engine; those of the first ask for a fixed one, which
/// the engine may be too new or too old for. Pure.

#include "base/error.h"
#include "docker/answer.h"
#include "docker/compose_find.h"

/// LM_E_REFUSED: every command of this docker-compose fails with this engine; the message names
/// both. `file_format` is the `version` of the compose file ("3.7"; NULL: none is known), which
/// decides for docker-compose before 1.27; without it the newest of the formats counts, as the one
/// most likely to work.
lm_rc compose_check_api(const struct compose *compose, const struct engine_version *engine,
	const char *file_format, struct lm_err *err);
