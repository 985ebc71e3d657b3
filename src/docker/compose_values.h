// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The values that a compose file, its .env and env files and the environment give to an
/// application: passwords may be among them, and docker-compose repeats them in its messages. Taken
/// from the files themselves, so that masking does not depend on the wording of messages. Pure.
///
/// A value is left readable where it names something that a message is about: all keys, and what
/// options such as image, ports, volumes and networks hold; common words of messages; and what
/// is shorter than 4 bytes, or a number below 100000.

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct compose_values;

struct compose_values *compose_values_create(void);
/// Wipes all values.
void compose_values_destroy(struct compose_values *v);

/// A compose file; one that is not YAML counts as lines of values.
void compose_values_add_file(struct compose_values *v, struct lm_str text);
/// A .env or env file: NAME=VALUE lines, in the forms of both generations.
void compose_values_add_env_file(struct compose_values *v, struct lm_str text);
/// "NAME=VALUE" entries, NULL-terminated. What every process has (PATH, HOME, …) is left out.
void compose_values_add_environment(struct compose_values *v, const char *const *env);
/// Other files that the compose files added so far refer to, by the paths as they stand there:
/// `env` is whether that is an env file. NULL behind the last. Borrowed.
const char *compose_values_file(const struct compose_values *v, size_t i, bool *ret_env);

/// Appends the line with "***" for each value. No value can be added after the first call.
void compose_values_mask(struct compose_values *v, struct lm_str line, struct lm_buf *out);
