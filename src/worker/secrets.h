// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The registry credentials that a definition names: from Secrets Manager, or from a local
/// directory.

#include "docker/registry_auth.h"
#include "worker/aws_session.h"

struct secrets_source {
	const char *directory;       ///< secretStore.directory; NULL: Secrets Manager.
	struct aws_session *session; ///< For Secrets Manager, open; NULL with a directory.
};

/// Gets all secrets, at the same time, in their order; an ARN that is named twice once. Runs all
/// requests of the session, also those that were started before. Returns the first failure, and
/// logs the others. LM_E_NOT_FOUND, LM_E_DENIED, LM_E_INVALID (an ARN or a secret's form),
/// LM_E_REFUSED, LM_E_NETWORK, …; messages name the ARN and never contain parts of a secret.
lm_rc secrets_get(const struct secrets_source *source, char *const *arns, size_t n,
	struct registry_list *ret, struct lm_err *err);
