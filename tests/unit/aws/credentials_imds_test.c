// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"

#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#define OK(text) "HTTP/1.0 200 OK\r\n\r\n" text
#define CREDENTIALS                                                                                \
	OK("{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"hunter2\","       \
	   "\"Token\":\"t\",\"Expiration\":\"2030-01-01T00:00:00Z\"}")

static struct loopback *start(const struct loopback_answer *answers, unsigned n, const char *path)
{
	struct loopback *l = loopback_start(answers, n);
	lm_auto_free char *url = lm_xasprintf("%s%s", loopback_origin(l), path);

	fixture_set("AWS_EC2_METADATA_DISABLED", NULL);
	fixture_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
	return l;
}

static void assert_asked(struct loopback *l, unsigned i, const char *what)
{
	if (!strstr(loopback_request(l, i), what))
		fail_msg("no '%s' in: %s", what, loopback_request(l, i));
}

static void asks_for_a_session_then_the_role_then_its_credentials(void **state)
{
	const struct loopback_answer answers[] = {
		{OK("TOKEN==")}, {OK("ship-role\n")}, {CREDENTIALS}};
	struct loopback *server = start(answers, 3, "/base/");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("http_proxy", "http://127.0.0.1:1");
	fixture_load(&l);
	loopback_stop(server);
	assert_loaded(&l, "ASIA", "hunter2", "t");
	assert_string_equal(l.credentials.source, "the EC2 instance metadata");
	assert_true(l.credentials.expires_mono_ms > 0);
	assert_asked(server, 0, "PUT /base/latest/api/token HTTP/1.1\r\n");
	assert_asked(server, 0, "\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n");
	assert_asked(
		server, 1, "GET /base/latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n");
	assert_asked(server, 1, "\r\nX-aws-ec2-metadata-token: TOKEN==\r\n");
	assert_asked(server, 2,
		"GET /base/latest/meta-data/iam/security-credentials/ship-role HTTP/1.1\r\n");
	assert_asked(server, 2, "\r\nX-aws-ec2-metadata-token: TOKEN==\r\n");
	loopback_destroy(server);
}

static void what_fails_is_a_reason_of_having_no_credentials(void **state)
{
	static const struct {
		struct loopback_answer answers[3];
		const char *reason;
	} cases[] = {
		{{{"HTTP/1.0 403 Forbidden\r\n\r\n"}}, "answers HTTP 403 for /latest/api/token"},
		{{{OK("two words")}}, "gives no token"},
		{{{OK("T")}, {"HTTP/1.0 404 Not Found\r\n\r\n<html>"}},
			"EC2 instance metadata: the instance has no role"},
		{{{OK("T")}, {OK("<html> not a role")}}, "names no role"},
		{{{OK("T")}, {OK("r")},
			 {OK("{\"Code\":\"Failed\",\"Message\":\"EC2 cannot assume it\"}")}},
			"no credentials for role r: EC2 cannot assume it"},
		{{{OK("T")}, {OK("r")}, {OK("hunter2")}}, "it is not JSON"},
		{{{OK("T")}, {OK("r")},
			 {OK("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hunter2\"}")}},
			"it has no Token"},
		{{{NULL}}, "EC2 instance metadata: after 2 attempts: "},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct loopback *server = start(cases[i].answers, 3, "");
		lm_auto_load struct load l;

		fixture_load(&l);
		assert_failed(&l, LM_E_NOT_FOUND, cases[i].reason);
		assert_failed(&l, LM_E_NOT_FOUND, "there are no AWS credentials (");
		assert_null(strstr(l.err.msg, "hunter2"));
		loopback_destroy(server);
	}
}

static void is_not_asked_if_it_is_disabled(void **state)
{
	const struct loopback_answer answers[] = {{OK("T")}};
	struct loopback *server = start(answers, 1, "");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_EC2_METADATA_DISABLED", "True");
	fixture_load(&l);
	assert_failed(&l, LM_E_NOT_FOUND, "AWS_EC2_METADATA_DISABLED is true");
	loopback_stop(server);
	assert_int_equal(loopback_count(server), 0);
	loopback_destroy(server);
}

static void names_an_endpoint_that_is_none(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_EC2_METADATA_DISABLED", "false");
	fixture_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT holds no address that can be asked");
}

static void a_silent_host_is_given_up_soon(void **state)
{
	const struct loopback_answer silent[] = {{"HTTP/1.0 200 OK\r\n", .hold = true}};
	struct loopback *server = start(silent, 1, "");
	struct credentials_settings settings = fixture_settings();
	lm_auto_load struct load l;

	(void)state;
	settings.timeout_ms = 50;
	fixture_load_with(&l, &settings);
	assert_failed(&l, LM_E_NOT_FOUND, "does not answer in time");
	loopback_stop(server);
	assert_int_equal(loopback_count(server), 2);
	loopback_destroy(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_for_a_session_then_the_role_then_its_credentials),
		TEST(what_fails_is_a_reason_of_having_no_credentials),
		TEST(is_not_asked_if_it_is_disabled),
		TEST(names_an_endpoint_that_is_none),
		TEST(a_silent_host_is_given_up_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
