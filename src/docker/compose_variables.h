// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The variables by which docker-compose chooses services and platforms, from its environment and
/// from the file `.env` in the project directory. docker-compose itself reads that file for us: the
/// generations differ in what they make of it.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

struct compose_variables {
	char *profiles; ///< COMPOSE_PROFILES; "" if it is not set.
	char *platform; ///< DOCKER_DEFAULT_PLATFORM; "" if it is not set.
};

/// Whether one of them is named in either place, so that it is worth asking.
bool compose_variables_may_be_set(const char *const *env, const char *directory);
/// Appends a compose file in which docker-compose replaces them.
void compose_variables_question(unsigned generation, struct lm_buf *out);
/// Reads what `config` made of the question. LM_E_PROTOCOL.
lm_rc compose_variables_parse(
	struct lm_str config, struct compose_variables *ret, struct lm_err *err);
void compose_variables_finish(struct compose_variables *variables);
