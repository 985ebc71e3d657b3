// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Docker's credential helpers: programs docker-credential-<suffix> that keep a person's logins
/// (https://github.com/docker/docker-credential-helpers). Each call runs one and waits for it, in
/// the environment given, for at most half a minute. No message holds anything of a secret.

#include "base/error.h"
#include "docker/registry_auth.h"
#include "sys/wait.h"

struct credential_helper {
	const char *suffix;
	const char *const *env; ///< NULL-terminated; its PATH is where the program is looked for.
};

/// `server` is the address that Docker knows a registry by (registry_server_address).
/// The login that the helper has for it. LM_E_NOT_FOUND: it has none. Errors of all three calls:
/// LM_E_DENIED (there is no such program), LM_E_REFUSED (it fails), LM_E_PROTOCOL, LM_E_TIMEOUT,
/// LM_E_CANCELLED. The message names the program.
lm_rc credential_helper_get(const struct credential_helper *h, const char *server,
	const struct wait_limit *limit, struct registry_credentials *ret, struct lm_err *err);
/// Stores a login, in place of one for the same registry.
lm_rc credential_helper_store(const struct credential_helper *h,
	const struct registry_credentials *c, const struct wait_limit *limit, struct lm_err *err);
/// Removes the login for a registry; it is no error if there is none.
lm_rc credential_helper_erase(const struct credential_helper *h, const char *server,
	const struct wait_limit *limit, struct lm_err *err);
