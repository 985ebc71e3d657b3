// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Validation errors of a group file or host file: each with its place, so that a person fixes all
/// of them at once. The list owns its texts.

#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

/// Errors kept; further ones are only counted.
enum { VALIDATION_ERRORS_MAX = 200 };

struct validation_error {
	char *entry;        ///< "Connectors[0] (MyId)"; NULL: the whole text.
	char *parameter;    ///< Parameter or key; NULL: the entry itself.
	char *value;        ///< As found, shortened; NULL if it is absent.
	bool value_is_text; ///< It was a JSON string (and is printed in quotes).
	char *rule;         ///< The rule that it breaks.
};

struct validation_errors {
	struct validation_error *items;
	size_t n;
	size_t more; ///< Errors beyond VALIDATION_ERRORS_MAX.
};

/// `entry`, `parameter`, `value` may be NULL; all are copied.
void validation_errors_add(struct validation_errors *errors, const char *entry,
	const char *parameter, const json_t *value, const char *rule, ...)
	__attribute__((format(printf, 5, 6)));
void validation_errors_finish(struct validation_errors *errors);
/// "Connectors[0] (MyId): DockerUserId: "x": rule", without a line end. The caller frees.
char *validation_error_text(const struct validation_error *error);
/// LM_OK if there is none. Else LM_E_INVALID with the first and the number of the others; one
/// without a place has `document` ("the group file") as its subject.
lm_rc validation_errors_fail(
	const struct validation_errors *errors, const char *document, struct lm_err *err);
