// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The registry credentials that a definition names, from wherever this device keeps secrets.

#include "aws/credentials_provider.h"
#include "aws/https.h"
#include "docker/registry.h"
#include "sys/wait.h"

struct secrets {
	struct registry_credentials *items;
	size_t n;
};

struct secrets_source {
	const char *directory; ///< secretStore.directory; NULL: Secrets Manager.
	// For Secrets Manager; NULL with a directory.
	struct https *https;
	struct credentials_provider *credentials;
	const char *region;
};

/// Gets all secrets, at the same time. Runs `https` for it, and with it whatever was started there
/// before. LM_E_NOT_FOUND, LM_E_DENIED, LM_E_INVALID (an ARN or a secret's form), LM_E_NETWORK, …;
/// messages name the ARN and never hold anything of a secret.
lm_rc secrets_get(const struct secrets_source *source, char *const *arns, size_t n,
	const struct wait_limit *limit, struct secrets *ret, struct lm_err *err);
/// Wipes and frees.
void secrets_finish(struct secrets *s);
#define lm_auto_secrets lm_auto(secrets_finish)
