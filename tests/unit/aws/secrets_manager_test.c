// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"

#include "base/cleanup.h"
#include "base/memory.h"
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
		LM_E_DENIED, "cannot return secret '" ARN "': Not like this.");
}

static void tells_what_is_wrong_with_a_value(void **state)
{
	(void)state;
	assert_fails(VALUE("\"VersionId\":\"1\""), LM_E_PROTOCOL, "neither a SecretString nor");
	assert_fails(VALUE("\"SecretString\":1"), LM_E_PROTOCOL, "neither a SecretString nor");
	assert_fails(VALUE("\"SecretBinary\":\"s3cret!\""), LM_E_PROTOCOL, "is not base64");
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

static lm_rc parse(const char *text, struct secret_value *ret, struct lm_err *err)
{
	return secret_value_parse("greengrass-MySecret", lm_str(text), ret, err);
}

static void assert_mary(const char *text)
{
	lm_auto_secret_value struct secret_value v = {0};
	struct lm_err err = {0};

	if (parse(text, &v, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(v.username, "Mary_Major");
	assert_string_equal(v.password.data, "abc123xyz456");
	assert_string_equal(v.registry_url, "https://docker.io");
}

static void reads_one_object(void **state)
{
	(void)state;
	assert_mary("{\"username\":\"Mary_Major\",\"password\":\"abc123xyz456\","
		    "\"registryUrl\":\"https://docker.io\"}");
}

static void reads_an_array_of_objects_in_any_order(void **state)
{
	(void)state;
	// Greengrass V1 developer guide, "Docker application deployment connector": the CLI's
	// example.
	assert_mary("[{\"username\":\"Mary_Major\"},{\"password\":\"abc123xyz456\"},"
		    "{\"registryUrl\":\"https://docker.io\"}]");
	assert_mary("[{\"registryUrl\":\"https://docker.io\",\"note\":7},{},"
		    "{\"password\":\"abc123xyz456\",\"username\":\"Mary_Major\"}]\n");
}

static void keeps_a_password_as_it_is(void **state)
{
	lm_auto_secret_value struct secret_value v = {0};

	(void)state;
	assert_int_equal(parse("{\"username\":\"u\",\"password\":\" \\\\n\\n\\\"\xC3\xBC \","
			       "\"registryUrl\":\"r\"}",
				 &v, NULL),
		LM_OK);
	assert_string_equal(v.password.data, " \\n\n\"\xC3\xBC ");
}

static void says_what_is_wrong_and_never_shows_content(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "is not JSON"},
		{"hunter2", "is not JSON"},
		{"{\"username\":\"u\",\"password\":hunter2}", "is not JSON"},
		{"{\"password\":\"hunter2\"", "is not JSON"},
		{"{\"password\":\"hunter2\xFF\"}", "is not JSON"},
		{"{\"password\":\"hunter2\\u0000\"}", "is not JSON"},
		{"\"hunter2\"", "is a string; it must be an object"},
		{"null", "is null; it must be an object"},
		{"{\"password\":\"hunter2\",\"registryUrl\":\"r\"}", "has no key 'username'"},
		{"{\"username\":\"u\",\"registryUrl\":\"r\"}", "has no key 'password'"},
		{"{\"username\":\"u\",\"password\":\"hunter2\"}", "has no key 'registryUrl'"},
		{"[]", "has no key 'username'"},
		{"{\"username\":\"u\",\"password\":7,\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is a number, not a string"},
		{"{\"username\":\"u\",\"password\":[\"hunter2\"],\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is an array, not a string"},
		{"{\"username\":\"\",\"password\":\"hunter2\",\"registryUrl\":\"r\"}",
			"'username' of secret 'greengrass-MySecret' is empty"},
		{"{\"username\":\"u\",\"password\":\"\",\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is empty"},
		{"{\"username\":\"u\",\"password\":\"hunter2\",\"registryUrl\":\"r\\nX: y\"}",
			"'registryUrl' of secret 'greengrass-MySecret' holds a line end"},
		{"{\"password\":\"hunter2\",\"password\":\"hunter2\"}", "has a key twice"},
		{"[{\"password\":\"hunter2\"},{\"password\":\"hunter2\"}]", "has 'password' twice"},
		{"[{\"password\":\"hunter2\"},\"hunter2\"]",
			"item 2 of secret 'greengrass-MySecret' is a string, not an object"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct secret_value v;
		struct lm_err err = {0};

		assert_int_equal(parse(cases[i].text, &v, &err), LM_E_INVALID);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("case %zu: '%s' is not in '%s'", i, cases[i].message, err.msg);
		assert_non_null(strstr(err.msg, "'greengrass-MySecret'"));
		assert_null(strstr(err.msg, "hunter2"));
	}
}

static void refuses_deep_nesting(void **state)
{
	enum { DEPTH = 60000 };
	lm_auto_free char *text = lm_xcalloc(1, DEPTH + 1);
	struct secret_value v;

	(void)state;
	memset(text, '[', DEPTH);
	assert_int_equal(parse(text, &v, NULL), LM_E_INVALID);
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
		cmocka_unit_test(reads_one_object),
		cmocka_unit_test(reads_an_array_of_objects_in_any_order),
		cmocka_unit_test(keeps_a_password_as_it_is),
		cmocka_unit_test(says_what_is_wrong_and_never_shows_content),
		cmocka_unit_test(refuses_deep_nesting),
	};

	secret_json_harden();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
