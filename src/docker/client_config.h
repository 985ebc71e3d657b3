// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A person's ~/.docker/config.json, as far as it is about logins: those that stand in it, and the
/// credential helpers that keep the others. Pure. No message holds anything of its content.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "docker/registry_auth.h"

#include <stddef.h>

struct client_config_helper {
	char *host;   ///< As in struct registry_address.
	char *suffix; ///< Of its program's name, docker-credential-<suffix>.
};

struct client_config {
	struct registry_list logins; ///< Those that stand in it.
	char **entrusted;            ///< Registries whose logins a helper has.
	size_t entrusted_n;
	char *store; ///< "credsStore": the helper for all other hosts; NULL: there is none.
	struct client_config_helper *helpers; ///< "credHelpers".
	size_t helpers_n;
};

/// LM_E_INVALID: no JSON object, or a login or a helper's name in it is none. LM_E_TOO_LARGE: over
/// LIMIT_DOCKER_LOGINS. Entries for what is not a registry address are left out.
lm_rc client_config_parse(struct lm_str text, struct client_config *ret, struct lm_err *err);
/// Wipes and frees.
void client_config_finish(struct client_config *c);
#define lm_auto_client_config lm_auto(client_config_finish)

/// The suffix of the helper for a registry's host (as in struct registry_address), or NULL.
const char *client_config_helper_of(const struct client_config *c, const char *host);

/// A config.json as `text`, a person's own (n 0: there is none), with `logins` in place of all
/// logins and credential helpers in it, and without a context, which would lead to another engine.
/// One that is no JSON object counts as none. LM_E_TOO_LARGE, and as registry_config_json.
lm_rc client_config_with_logins(struct lm_str text, const struct registry_list *logins,
	struct lm_secret *ret, struct lm_err *err);
