// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_priv.h"

lm_rc credentials_from_environment(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	// As botocore: the name of old counts first.
	const char *old = credentials_variable("AWS_SECURITY_TOKEN");
	const struct credentials_parts parts = {
		.id = lm_str(credentials_variable("AWS_ACCESS_KEY_ID")),
		.secret = lm_str(credentials_variable("AWS_SECRET_ACCESS_KEY")),
		.token = lm_str(old ? old : credentials_variable("AWS_SESSION_TOKEN")),
		.id_name = "AWS_ACCESS_KEY_ID",
		.secret_name = "AWS_SECRET_ACCESS_KEY",
		.token_name = old ? "AWS_SECURITY_TOKEN" : "AWS_SESSION_TOKEN",
		.where = "",
		.source = "the environment",
	};

	(void)c;
	return credentials_assemble(&parts, ret, err);
}
