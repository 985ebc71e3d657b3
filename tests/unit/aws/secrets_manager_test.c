// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"

#include "base/cleanup.h"
#include "exchange.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARN "arn:aws:secretsmanager:eu-north-1:123456789012:secret:greengrass-hub-a1B2c3"

static struct secret_result run_arn(
	struct exchange *x, const char *arn, const struct loopback_answer *answers)
{
	struct secret_result r;

	exchange_begin(x, "AWS_ENDPOINT_URL_SECRETS_MANAGER", answers, 1);
	const struct secret_request request = {.arn = arn, .limits = x->limits};

	secrets_manager_start(x->https, &request, x->credentials, &r);
	exchange_run(x);
	return r;
}

static void assert_value(const char *body)
{
	lm_auto_secret_result struct secret_result r = {0};
	const struct loopback_answer answers[] = {{body}};
	struct exchange x;

	r = run_arn(&x, ARN, answers);
	assert_int_equal(r.rc, LM_OK);
	assert_string_equal(r.value.username, "alice");
	assert_string_equal(r.value.password.data, "s3cret");
	assert_string_equal(r.value.registry_url, "hub.example");
	exchange_assert_asked(&x, 0, "/eu-north-1/secretsmanager/aws4_request");
	exchange_assert_asked(&x, 0, "{\"SecretId\":\"" ARN "\",\"VersionStage\":\"AWSCURRENT\"}");
	exchange_finish(&x);
}

static void assert_fails(const char *answer, lm_rc rc, const char *says)
{
	lm_auto_secret_result struct secret_result r = {0};
	const struct loopback_answer answers[] = {{answer}};
	struct exchange x;

	r = run_arn(&x, ARN, answers);
	assert_int_equal(r.rc, rc);
	exchange_assert_says(&r.err, says);
	exchange_assert_says(&r.err, "secret '" ARN "'");
	assert_null(strstr(r.err.msg, "s3cret"));
	exchange_finish(&x);
}

#define VALUE(json) ANSWER("200 OK", "", "{\"ARN\":\"" ARN "\"," json "}")
#define FIELDS(more)                                                                               \
	"{\\\"username\\\":\\\"alice\\\",\\\"password\\\":\\\"s3cret\\\"" more                     \
	",\\\"registryUrl\\\":\\\"hub.example\\\"}"
/// base64 of [{"username":"alice"},{"password":"s3cret"},{"registryUrl":"hub.example"}]
#define BINARY                                                                                     \
	"W3sidXNlcm5hbWUiOiJhbGljZSJ9LHsicGFzc3dvcmQiOiJzM2NyZXQifSx7InJlZ2lzdHJ5VXJsIjoiaHViLmV4" \
	"YW1wbGUifV0="

static void reads_a_value_that_is_text(void **state)
{
	(void)state;
	assert_value(VALUE("\"SecretString\":\"" FIELDS("") "\""));
}

static void reads_a_value_that_is_bytes(void **state)
{
	(void)state;
	assert_value(VALUE("\"SecretBinary\":\"" BINARY "\""));
}

static void names_a_secret_that_is_missing_or_without_value(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "ResourceNotFoundException",
			     "Secrets Manager can't find the specified secret."),
		LM_E_NOT_FOUND, "there is no secret '" ARN "'");
	assert_fails(ERROR_ANSWER("400 Bad Request", "ResourceNotFoundException",
			     "Secrets Manager can't find the specified secret value for "
			     "staging label: AWSCURRENT"),
		LM_E_NOT_FOUND, "has no value yet");
}

static void says_which_right_is_missing(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "AccessDeniedException", "not authorized"),
		LM_E_DENIED, "the role needs secretsmanager:GetSecretValue on " ARN);
	assert_fails(ERROR_ANSWER("400 Bad Request", "AccessDeniedException",
			     "Access to KMS is not allowed"),
		LM_E_DENIED, "the role needs kms:Decrypt");
	assert_fails(ERROR_ANSWER("400 Bad Request", "DecryptionFailure", "can't decrypt"),
		LM_E_DENIED, "the role needs kms:Decrypt");
}

static void says_that_a_secret_is_scheduled_for_deletion(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "InvalidRequestException",
			     "You can't perform this operation on the secret because it was "
			     "marked for deletion."),
		LM_E_DENIED, "is scheduled for deletion; restore it");
	assert_fails(ERROR_ANSWER("400 Bad Request", "InvalidRequestException", "Not like this."),
		LM_E_DENIED, "cannot give out secret '" ARN "': Not like this.");
}

static void tells_what_is_wrong_with_a_value(void **state)
{
	(void)state;
	assert_fails(VALUE("\"VersionId\":\"1\""), LM_E_PROTOCOL, "neither a SecretString nor");
	assert_fails(VALUE("\"SecretString\":1"), LM_E_PROTOCOL, "neither a SecretString nor");
	assert_fails(VALUE("\"SecretBinary\":\"s3cret!\""), LM_E_PROTOCOL, "is no base64");
	assert_fails(VALUE("\"SecretString\":\"s3cret\""), LM_E_INVALID, "is not JSON");
	assert_fails(VALUE("\"SecretString\":\"\\\"s3cret\\\"\""), LM_E_INVALID, "is a string");
	assert_fails(VALUE("\"SecretString\":\"" FIELDS(",\\\"password\\\":1") "\""), LM_E_INVALID,
		"has a key twice");
}

static void refuses_what_is_no_arn_without_asking(void **state)
{
	static const char *const arns[] = {"", "greengrass-hub",
		"arn:aws:s3:eu-west-1:123456789012:secret:a-a1B2c3",
		"arn:aws:secretsmanager::123456789012:secret:a-a1B2c3",
		"arn:aws:secretsmanager:eu/west:123456789012:secret:a-a1B2c3",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:\xFF"};
	const struct loopback_answer answers[] = {{VALUE("\"x\":1")}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++) {
		lm_auto_secret_result struct secret_result r = {0};
		struct exchange x;

		r = run_arn(&x, arns[i], answers);
		assert_int_equal(r.rc, LM_E_INVALID);
		exchange_assert_says(&r.err, "is not the ARN of a secret");
		assert_int_equal(loopback_count(x.server), 0);
		exchange_finish(&x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_value_that_is_text),
		cmocka_unit_test(reads_a_value_that_is_bytes),
		cmocka_unit_test(names_a_secret_that_is_missing_or_without_value),
		cmocka_unit_test(says_which_right_is_missing),
		cmocka_unit_test(says_that_a_secret_is_scheduled_for_deletion),
		cmocka_unit_test(tells_what_is_wrong_with_a_value),
		cmocka_unit_test(refuses_what_is_no_arn_without_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
