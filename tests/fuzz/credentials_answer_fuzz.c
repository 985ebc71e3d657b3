// SPDX-License-Identifier: Apache-2.0
#include "aws/credential_sources.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// The output of a credential_process.
static void parse_output(struct lm_str text)
{
	static const struct credentials_names names = {
		.version = 1,
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "SessionToken",
		.expiration = "Expiration",
		.source = "a test",
	};
	lm_auto_credentials struct aws_credentials c = {0};
	struct lm_err err = {0};
	lm_rc rc = credentials_parse(text, &names, 0, &c, &err);

	if (rc == LM_OK ? !c.access_key_id[0] || !c.secret.len : c.access_key_id || !err.msg[0])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct credentials_names names = {
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "Token",
		.expiration = "Expiration",
		.source = "a test",
	};
	lm_auto_credentials struct aws_credentials c = {0};
	lm_auto_address struct credentials_address address = {0};
	struct https_answer answer = {.status = 200, .body = LM_BUF_SECRET(size)};
	char message[CREDENTIALS_MESSAGE_SIZE];
	struct lm_err err = {0};

	(void)lm_buf_add(&answer.body, data, size);
	lm_rc rc = credentials_parse_answer(&answer, &names, LM_STR("h"), &c, &err);
	if (rc == LM_OK ? !c.access_key_id[0] || !c.secret.len : c.access_key_id || !err.msg[0])
		abort();
	parse_output(lm_buf_str(&answer.body));
	(void)credentials_error_message(&answer, message);
	if (credentials_parse_address("V", lm_buf_str(&answer.body), &address, NULL) == LM_OK &&
		(!address.host.n || !address.path[0]))
		abort();
	https_answer_finish(&answer);
	return 0;
}
