// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The variables that a compose file refers to: $NAME and ${NAME…}, and where it does. Pure.

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

/// Whether the `$` more likely belongs to a password than begins a variable: glued; or in a value
/// that may be one, without braces, and not in capitals or behind what separates words
/// ("p@$SW0RD").
bool compose_reference_is_doubtful(
	const struct compose_reference *reference, const struct compose_place *place);

/// Calls `found` for each reference in the values of a compose file, and for each variable that
/// `environment` or `args` hand on by its name alone. LM_E_INVALID: it is not YAML.
lm_rc compose_references_each(struct lm_str file,
	void (*found)(void *ctx, const struct compose_reference *reference,
		const struct compose_place *place),
	void *ctx, struct lm_err *err);

/// Appends a place: "image of service web".
void compose_place_describe(const struct compose_place *place, struct lm_buf *out);
/// Appends where the variable is used, and how often else. Nothing if it is not, or all its uses
/// are doubtful.
void compose_references_describe(struct lm_str file, struct lm_str name, struct lm_buf *out);
