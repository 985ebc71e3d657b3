// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS credentials: where they come from, and their safe keeping.
///
/// Today's only source is the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for
/// temporary credentials, AWS_SESSION_TOKEN, with the meaning that the AWS SDKs give them.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"

#include <stdint.h>

struct aws_credentials {
	char *access_key_id;            ///< Not a secret: it may stand in messages.
	struct lm_secret secret;        ///< The secret access key.
	struct lm_secret session_token; ///< Empty for lasting credentials.
	int64_t expires_ms;             ///< Wall clock; 0: unknown or never.
	const char *source;             ///< For messages: "the environment". Static storage.
};

/// Loads credentials from the first source that has them.
/// LM_E_NOT_FOUND: no source has any. LM_E_INVALID: a source has half of them, or rubbish.
lm_rc credentials_load(struct aws_credentials *ret, struct lm_err *err);
/// Wipes and frees.
void credentials_finish(struct aws_credentials *c);
#define lm_auto_credentials lm_auto(credentials_finish)
