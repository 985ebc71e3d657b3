// SPDX-License-Identifier: Apache-2.0
#include "aws/request.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "exchange.h"

#include <time.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// What a call ended with.
struct outcome {
	unsigned ended;
	lm_rc rc;
	struct lm_err err;
	struct service_error error;
	int64_t clock_offset_ms;
	char text[64]; ///< The member "Text" of the answer.
};

static void keep(void *ctx, const struct service_outcome *o)
{
	struct outcome *kept = ctx;
	const char *text = json_get_text(o->answer, "Text");

	kept->ended++;
	kept->rc = o->rc;
	kept->err = o->err;
	kept->error = o->error;
	kept->clock_offset_ms = o->clock_offset_ms;
	(void)snprintf(kept->text, sizeof(kept->text), "%s", text ? text : "");
}

static void start(struct exchange *x, const char *region, struct outcome *o)
{
	lm_auto_json json_t *input = json_pack("{ss}", "SecretId", "a");
	const struct service_call call = {
		.service = AWS_SECRETS_MANAGER,
		.region = region,
		.operation = "GetSecretValue",
		.subject = "secret 'a'",
		.permission = "secretsmanager:GetSecretValue on a",
		.input = input,
		.answer_max = 100,
		.limits = x->limits,
		.done = keep,
		.ctx = o,
	};

	request_start_call(x->https, &call, x->credentials);
}

/// One call to a server with these answers.
static struct outcome run(struct exchange *x, const struct loopback_answer *answers, unsigned n)
{
	struct outcome o = {0};

	exchange_begin(x, "AWS_ENDPOINT_URL_SECRETS_MANAGER", answers, n);
	start(x, "eu-west-1", &o);
	exchange_run(x);
	assert_int_equal(o.ended, 1);
	return o;
}

#define OK_ANSWER ANSWER("200 OK", "", "{\"Text\":\"hello\"}")

/// How a call ends that is answered with this.
static void assert_fails(const char *answer, lm_rc rc, const char *says)
{
	const struct loopback_answer answers[] = {{answer}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	assert_int_equal(o.rc, rc);
	exchange_assert_says(&o.err, says);
	exchange_assert_says(&o.err, "secret 'a'");
	exchange_finish(&x);
}

static void sends_a_signed_post_with_its_target(void **state)
{
	const struct loopback_answer answers[] = {{OK_ANSWER}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_string_equal(o.text, "hello");
	assert_int_equal(o.clock_offset_ms, 0);
	exchange_assert_asked(&x, 0, "POST / HTTP/1.1\r\n");
	exchange_assert_asked(&x, 0, "\r\nContent-Type: application/x-amz-json-1.1\r\n");
	exchange_assert_asked(&x, 0, "\r\nX-Amz-Target: secretsmanager.GetSecretValue\r\n");
	exchange_assert_asked(&x, 0,
		"/eu-west-1/secretsmanager/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=");
	exchange_assert_asked(&x, 0, "\r\n\r\n{\"SecretId\":\"a\"}");
	exchange_finish(&x);
}

static void takes_an_empty_answer_as_an_empty_object(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("200 OK", "", "")}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_string_equal(o.text, "");
	exchange_finish(&x);
}

static void retries_throttling_though_it_comes_as_400(void **state)
{
	static const char *const throttled[] = {
		ERROR_ANSWER("400 Bad Request", "ThrottlingException", "Rate exceeded"),
		ANSWER("400 Bad Request", "x-amzn-ErrorType: ThrottlingException:\r\n", "")};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(throttled); i++) {
		const struct loopback_answer answers[] = {{throttled[i]}, {OK_ANSWER}};
		struct exchange x;
		struct outcome o = run(&x, answers, 2);

		assert_int_equal(o.rc, LM_OK);
		assert_int_equal(loopback_count(x.server), 2);
		exchange_finish(&x);
	}
}

static void reports_throttling_that_does_not_end(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "ThrottlingException", "Rate exceeded"),
		LM_E_REFUSED, "ThrottlingException, Rate exceeded (HTTP 400, after 2 attempts)");
}

static void does_not_retry_what_is_wrong_for_good(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR_ANSWER("400 Bad Request", "ns#InvalidParameterException", "no")}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	(void)state;
	assert_int_equal(o.rc, LM_E_DENIED);
	assert_string_equal(o.error.code, "InvalidParameterException");
	assert_int_equal(loopback_count(x.server), 1);
	exchange_finish(&x);
}

static void says_which_right_the_role_lacks(void **state)
{
	(void)state;
	assert_fails(ERROR_ANSWER("400 Bad Request", "AccessDeniedException", "User x may not"),
		LM_E_DENIED,
		"access to secret 'a' is denied: the role needs secretsmanager:GetSecretValue on a "
		"(Secrets Manager: User x may not)");
}

static void says_that_the_key_is_unknown_or_its_secret_wrong(void **state)
{
	(void)state;
	assert_fails(
		ERROR_ANSWER("400 Bad Request", "UnrecognizedClientException", "invalid token"),
		LM_E_DENIED,
		"Secrets Manager does not recognize access key AKIDEXAMPLE from the environment");
	assert_fails(ERROR_ANSWER("400 Bad Request", "InvalidSignatureException", "no match"),
		LM_E_DENIED,
		"the secret access key from the environment does not belong to access key "
		"AKIDEXAMPLE");
}

static void tells_that_credentials_are_over(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR_ANSWER("400 Bad Request", "ExpiredTokenException", "expired")}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	(void)state;
	assert_int_equal(o.rc, LM_E_DENIED);
	exchange_assert_says(&o.err, "the temporary credentials from the environment have expired");
	exchange_finish(&x);
}

#define CONTAINER(id)                                                                              \
	"HTTP/1.0 200 OK\r\n\r\n{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s\","            \
	"\"Token\":\"t\"}"
#define OVER ERROR_ANSWER("400 Bad Request", "ExpiredTokenException", "expired")

/// One call with credentials of a container endpoint that gives these, in turn.
static struct outcome run_with_container(struct exchange *x, const struct loopback_answer *answers,
	unsigned n, const struct loopback_answer *container, unsigned container_n)
{
	struct loopback *endpoint = loopback_start(container, container_n);
	const struct credentials_settings settings = {.attempts = 1};
	struct outcome o = {0};

	(void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", loopback_origin(endpoint), 1);
	(void)setenv("HOME", "/nonexistent", 1);
	exchange_begin(x, "AWS_ENDPOINT_URL_SECRETS_MANAGER", answers, n);
	credentials_provider_destroy(x->credentials);
	assert_int_equal(
		credentials_provider_create(&settings, &WAIT_FOREVER, &x->credentials, NULL),
		LM_OK);
	start(x, "eu-west-1", &o);
	exchange_run(x);
	loopback_destroy(endpoint);
	credentials_provider_destroy(lm_take(x->credentials)); // before `settings` goes
	return o;
}

static void signs_again_with_other_credentials_once_they_are_over(void **state)
{
	const struct loopback_answer answers[] = {{OVER}, {OK_ANSWER}};
	const struct loopback_answer container[] = {{CONTAINER("FIRST")}, {CONTAINER("SECOND")}};
	struct exchange x;
	struct outcome o = run_with_container(&x, answers, 2, container, 2);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	exchange_assert_asked(&x, 0, "Credential=FIRST/");
	exchange_assert_asked(&x, 1, "Credential=SECOND/");
	exchange_finish(&x);
}

static void asks_for_other_credentials_once(void **state)
{
	const struct loopback_answer answers[] = {{OVER}, {OVER}};
	const struct loopback_answer container[] = {{CONTAINER("FIRST")}, {CONTAINER("SECOND")}};
	struct exchange x;
	struct outcome o = run_with_container(&x, answers, 2, container, 2);

	(void)state;
	assert_int_equal(o.rc, LM_E_DENIED);
	exchange_assert_says(
		&o.err, "the temporary credentials from the container endpoint have expired");
	assert_int_equal(loopback_count(x.server), 2);
	exchange_finish(&x);
}

static void says_why_there_are_no_other_credentials(void **state)
{
	const struct loopback_answer answers[] = {{OVER}};
	const struct loopback_answer container[] = {
		{CONTAINER("FIRST")}, {"HTTP/1.0 403 F\r\n\r\n{\"message\":\"no more\"}"}};
	struct exchange x;
	struct outcome o = run_with_container(&x, answers, 1, container, 2);

	(void)state;
	assert_int_equal(o.rc, LM_E_DENIED);
	exchange_assert_says(&o.err, "HTTP 403: no more");
	exchange_finish(&x);
}

#define SKEWED(date)                                                                               \
	ANSWER("400 Bad Request", "Date: " date "\r\n",                                            \
		"{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}")

static void signs_once_more_with_the_servers_time(void **state)
{
	const struct loopback_answer answers[] = {
		{SKEWED("Wed, 01 Jan 2070 00:00:00 GMT")}, {OK_ANSWER}};
	struct exchange x;
	struct outcome o = run(&x, answers, 2);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_true(o.clock_offset_ms > 0);
	exchange_assert_asked(&x, 1, "\r\nX-Amz-Date: 20700101T0000");
	exchange_finish(&x);
}

static void gives_up_when_the_clocks_stay_apart(void **state)
{
	const struct loopback_answer answers[] = {{SKEWED("Wed, 01 Jan 2070 00:00:00 GMT")},
		{SKEWED("Wed, 01 Jan 2060 00:00:00 GMT")}};
	struct exchange x;
	struct outcome o = run(&x, answers, 2);

	(void)state;
	assert_int_equal(o.rc, LM_E_DENIED);
	assert_int_equal(loopback_count(x.server), 2);
	exchange_assert_says(&o.err, "the server's time is Wed, 01 Jan 2060 00:00:00 GMT");
	exchange_finish(&x);
}

static void does_not_blame_the_clock_for_a_few_minutes(void **state)
{
	char date[64], answer[512];
	time_t soon = time(NULL) + 4 * 60;
	struct tm tm;

	(void)state;
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm));
	(void)snprintf(answer, sizeof(answer), SKEWED("%s"), date);
	assert_fails(answer, LM_E_DENIED, "does not accept our signature");
}

static void tells_rubbish_from_an_answer(void **state)
{
	(void)state;
	assert_fails(ANSWER("200 OK", "", "<html>hunter3</html>"), LM_E_PROTOCOL,
		"did not answer with a JSON object");
	assert_fails(
		ANSWER("200 OK", "", "[1]"), LM_E_PROTOCOL, "did not answer with a JSON object");
	assert_fails(ANSWER("403 Forbidden", "", "<html></html>"), LM_E_PROTOCOL,
		"answers HTTP 403, and not as Secrets Manager does");
	assert_fails(ANSWER("302 Found", "Location: http://x/\r\n", ""), LM_E_PROTOCOL, "HTTP 302");
}

static void never_quotes_an_answer_that_is_not_json(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("200 OK", "", "{\"a\":hunter3}")}};
	struct exchange x;
	struct outcome o = run(&x, answers, 1);

	(void)state;
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	assert_null(strstr(o.err.msg, "hunter3"));
	exchange_finish(&x);
}

static void reports_a_server_that_stays_in_trouble(void **state)
{
	(void)state;
	assert_fails(
		ANSWER("500 Oops", "", ""), LM_E_REFUSED, "answers HTTP 500, after 2 attempts");
	assert_fails(ERROR_ANSWER("500 Oops", "InternalServiceError", "sorry"), LM_E_REFUSED,
		"InternalServiceError, sorry (HTTP 500, after 2 attempts)");
	assert_fails(
		ANSWER("200 OK", "Content-Length: 99\r\n", "{"), LM_E_NETWORK, "after 2 attempts");
	assert_fails(NULL, LM_E_NETWORK, "after 2 attempts");
}

static void refuses_an_answer_over_its_ceiling(void **state)
{
	lm_auto_free char *answer =
		lm_xasprintf(ANSWER("200 OK", "", "{\"Text\":\"%0*d\"}"), 100, 0);

	(void)state;
	assert_fails(answer, LM_E_TOO_LARGE, "is larger than 100 bytes");
}

static void ends_at_once_for_a_region_that_cannot_be(void **state)
{
	const struct loopback_answer answers[] = {{OK_ANSWER}};
	struct exchange x;
	struct outcome o = {0};

	(void)state;
	exchange_begin(&x, "AWS_ENDPOINT_URL_SECRETS_MANAGER", answers, 1);
	start(&x, "eu/west", &o);
	assert_int_equal(o.ended, 1);
	assert_int_equal(o.rc, LM_E_INVALID);
	exchange_run(&x);
	assert_int_equal(loopback_count(x.server), 0);
	exchange_finish(&x);
}

static void names_the_subject_when_told_to_stop(void **state)
{
	const struct loopback_answer answers[] = {{NULL, .hold = true}};
	const struct wait_limit limit = {.deadline_ms = 1, .cancel_fd = -1};
	struct exchange x;
	struct outcome o = {0};

	(void)state;
	exchange_begin(&x, "AWS_ENDPOINT_URL_SECRETS_MANAGER", answers, 1);
	start(&x, "eu-west-1", &o);
	assert_int_equal(https_run(x.https, &limit, NULL), LM_E_TIMEOUT);
	assert_int_equal(o.rc, LM_E_TIMEOUT);
	assert_string_equal(o.err.msg, "secret 'a': time limit reached");
	exchange_finish(&x);
}

static void assert_code(const char *body, const char *header, const char *expected)
{
	struct service_error e;

	service_error_parse(lm_str(body), lm_str(header), &e);
	assert_string_equal(e.code, expected);
}

static void assert_message(const char *body, const char *expected)
{
	struct service_error e;

	service_error_parse(lm_str(body), LM_STR(""), &e);
	assert_string_equal(e.message, expected);
}

static void reads_the_type_without_namespace_and_address(void **state)
{
	(void)state;
	assert_code("{\"__type\":\"ThrottlingException\"}", "", "ThrottlingException");
	assert_code("{\"__type\":\"com.amazonaws.secretsmanager#DecryptionFailure\"}", "",
		"DecryptionFailure");
	assert_code("{\"__type\":\"a.b#c#Code:http://internal.example/coral#x\"}", "", "Code");
	assert_code("{\"code\":\"ServerException\"}", "", "ServerException");
}

static void reads_both_spellings_of_message(void **state)
{
	(void)state;
	assert_message("{\"__type\":\"X\",\"message\":\"small\"}", "small");
	assert_message("{\"__type\":\"X\",\"Message\":\"large\"}", "large");
}

static void takes_the_header_where_the_body_has_no_type(void **state)
{
	(void)state;
	assert_code("{\"message\":\"no\"}", "UnrecognizedClientException:http://x.example/", //
		"UnrecognizedClientException");
	assert_code("", "ThrottlingException", "ThrottlingException");
	assert_code("{\"__type\":\"Body\"}", "Header", "Body");
}

static void is_not_fooled_by_rubbish(void **state)
{
	static const char *const rubbish[] = {"", "{", "[]", "null", "\"__type\"", "<html></html>",
		"{\"__type\":1}", "{\"__type\":[\"X\"],\"message\":{}}", "{\"__type\":\"\"}",
		"{\"__type\":\"#\"}", "{\"__type\":\":http\"}",
		"{\"__type\":\"A\",\"__type\":\"B\"}"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(rubbish); i++) {
		assert_code(rubbish[i], "", "");
		assert_message(rubbish[i], "");
	}
}

static void cuts_long_texts_between_characters(void **state)
{
	lm_auto_free char *body =
		lm_xasprintf("{\"__type\":\"%0*d\",\"message\":\"%0*d\xC3\xBC\"}", 5000, 7, 510, 7);
	struct service_error e;

	(void)state;
	service_error_parse(lm_str(body), LM_STR(""), &e);
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_int_equal(strlen(e.message), 510);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_a_signed_post_with_its_target),
		cmocka_unit_test(takes_an_empty_answer_as_an_empty_object),
		cmocka_unit_test(retries_throttling_though_it_comes_as_400),
		cmocka_unit_test(reports_throttling_that_does_not_end),
		cmocka_unit_test(does_not_retry_what_is_wrong_for_good),
		cmocka_unit_test(says_which_right_the_role_lacks),
		cmocka_unit_test(says_that_the_key_is_unknown_or_its_secret_wrong),
		cmocka_unit_test(tells_that_credentials_are_over),
		cmocka_unit_test(signs_again_with_other_credentials_once_they_are_over),
		cmocka_unit_test(asks_for_other_credentials_once),
		cmocka_unit_test(says_why_there_are_no_other_credentials),
		cmocka_unit_test(signs_once_more_with_the_servers_time),
		cmocka_unit_test(gives_up_when_the_clocks_stay_apart),
		cmocka_unit_test(does_not_blame_the_clock_for_a_few_minutes),
		cmocka_unit_test(tells_rubbish_from_an_answer),
		cmocka_unit_test(never_quotes_an_answer_that_is_not_json),
		cmocka_unit_test(reports_a_server_that_stays_in_trouble),
		cmocka_unit_test(refuses_an_answer_over_its_ceiling),
		cmocka_unit_test(ends_at_once_for_a_region_that_cannot_be),
		cmocka_unit_test(names_the_subject_when_told_to_stop),
		cmocka_unit_test(reads_the_type_without_namespace_and_address),
		cmocka_unit_test(reads_both_spellings_of_message),
		cmocka_unit_test(takes_the_header_where_the_body_has_no_type),
		cmocka_unit_test(is_not_fooled_by_rubbish),
		cmocka_unit_test(cuts_long_texts_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
