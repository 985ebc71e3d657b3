// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The text of a registry secret: `username`, `password` and `registryUrl`, as one object
/// {"username":…,"password":…,"registryUrl":…} or as an array of objects
/// [{"username":…},{"password":…},{"registryUrl":…}]. Other keys are ignored.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"

struct secret_value {
	char *username;
	struct lm_secret password;
	char *registry_url; ///< As written: with or without scheme and path.
};

/// `name` is for messages, which never hold anything of the text. LM_E_INVALID: not JSON, not of
/// these two shapes, or a key is missing, twice there, empty or no string.
lm_rc secret_value_parse(
	const char *name, struct lm_str text, struct secret_value *ret, struct lm_err *err);
void secret_value_finish(struct secret_value *v);
#define lm_auto_secret_value lm_auto(secret_value_finish)

/// Makes jansson wipe all memory that it gives back. For programs that parse secrets: call it in
/// main(), before jansson is used for anything.
void secret_json_harden(void);
