// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Variables of compose files: those that a file refers to ($NAME and ${NAME…}), and where it does;
/// and those by which docker-compose itself is controlled. Pure, but for
/// compose_variables_may_be_set.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/// One reference in a text; all borrowed from it.
struct compose_reference {
	size_t begins, ends; ///< Where it is.
	struct lm_str name;
	struct lm_str instead; ///< What counts if the variable is not set (or is): "a" of ${X:-a}.
	bool required;         ///< ${X:?text}: `instead` is a message for people.
	bool braced;           ///< ${NAME}, or a name alone, without a `$`.
	/// `$name` behind a letter or digit: more likely a `$` that belongs to a password.
	bool glued;
};

/// Finds the first reference at or behind `*at`, and moves `*at` behind it. "$$" stands for a '$'.
bool compose_reference_next(struct lm_str text, size_t *at, struct compose_reference *ret);

/// Where a value stands: services, web, image. Texts are borrowed, empty where the file has less.
struct compose_place {
	struct lm_str section, name, option;
	struct lm_str text; ///< All of the value.
};

/// Whether the `$` more likely belongs to a password than starts a variable: glued; or in a value
/// that may be one, without braces, and not in capitals or behind what separates words
/// ("p@$SW0RD").
bool compose_reference_is_doubtful(
	const struct compose_reference *reference, const struct compose_place *place);

/// Calls `found` for each reference in the values of a compose file, and for each variable that
/// `environment` or `args` pass on by its name alone. LM_E_INVALID: it is not YAML.
lm_rc compose_references_each(struct lm_str file,
	void (*found)(void *ctx, const struct compose_reference *reference,
		const struct compose_place *place),
	void *ctx, struct lm_err *err);

/// Appends a place: "image of service web".
void compose_place_describe(const struct compose_place *place, struct lm_buf *out);
/// Appends where the variable is used, and how often else. Nothing if it is not, or all its uses
/// are doubtful.
void compose_references_describe(struct lm_str file, struct lm_str name, struct lm_buf *out);

/// What a text in the output of `config` stands for, which is a compose file again: "$" is "$$"
/// there. The caller frees.
char *compose_unescape(struct lm_str text);

/// The variables by which docker-compose chooses services and platforms, from its environment and
/// from the file `.env` in the project directory. docker-compose itself reads that file for us: the
/// generations differ in what they make of it.
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
