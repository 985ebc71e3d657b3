// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS Security Token Service: a role's credentials, for other credentials or for a token that an
/// identity provider signed. (AWS STS API Reference: AssumeRole, AssumeRoleWithWebIdentity; the
/// answers are XML.)

#include "aws/credential_sources.h"

struct sts_role {
	const char *arn;
	const char *session_name;         ///< NULL: "lighterman".
	const char *external_id;          ///< NULL: none.
	unsigned duration_s;              ///< 0: the role's own default.
	struct lm_str web_identity_token; ///< Empty: the call is signed with `source`.
	const struct aws_credentials *source;
};

/// Asks STS in the settings' region (without one, in the partition's first). Signs once more with
/// the server's time if ours is wrong. LM_E_INVALID (the endpoint), LM_E_DENIED, LM_E_REFUSED
/// (STS's own code is in the sentence), LM_E_PROTOCOL, LM_E_NETWORK, LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc sts_assume_role(const struct credentials_context *c, const struct sts_role *role,
	struct aws_credentials *ret, struct lm_err *err);

/// The fields of an answer.
struct sts_answer {
	char access_key_id[256];
	char secret[256];
	char token[16 << 10];
	char expiration[40];
	char code[64]; ///< Of a refusal,
	char message[512];
};

/// Reads an answer of 200 or a refusal; whatever the text is, `ret` has what could be read of it.
/// The caller wipes it.
void sts_answer_parse(struct lm_str xml, struct sts_answer *ret);
