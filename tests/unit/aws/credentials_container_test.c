// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"

#include "base/clock.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#define OK(json) "HTTP/1.0 200 OK\r\n\r\n" json
#define KEYS "\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"hunter2\""
#define GOOD OK("{" KEYS ",\"Token\":\"t==\",\"Expiration\":\"2030-01-01T00:00:00Z\"}")

static struct loopback *start(const struct loopback_answer *answers, unsigned n, const char *path)
{
	struct loopback *l = loopback_start(answers, n);
	lm_auto_free char *url = lm_xasprintf("%s%s", loopback_origin(l), path);

	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	return l;
}

static void assert_asked(struct loopback *l, const char *what)
{
	loopback_stop(l);
	if (!strstr(loopback_request(l, 0), what))
		fail_msg("no '%s' in: %s", what, loopback_request(l, 0));
}

static void asks_the_full_uri_with_the_token(void **state)
{
	const struct loopback_answer answers[] = {{GOOD}};
	struct loopback *server = start(answers, 1, "/get%20it?id=a%2Fb&x=");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc==");
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_string_equal(l.credentials.source, "the container endpoint");
	assert_asked(server, "GET /get%20it?id=a%2Fb&x= HTTP/1.1\r\n");
	assert_asked(server, "\r\nAuthorization: Basic abc==\r\n");
	loopback_destroy(server);
}

static void prefers_the_token_file_and_trims_its_line_end(void **state)
{
	const struct loopback_answer answers[] = {{GOOD}};
	struct loopback *server = start(answers, 1, "");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "old");
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", fixture_write("token", "new\n"));
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_asked(server, "GET / HTTP/1.1\r\n");
	assert_asked(server, "\r\nAuthorization: new\r\n");
	loopback_destroy(server);
}

static void goes_through_no_proxy(void **state)
{
	const struct loopback_answer answers[] = {{GOOD}};
	struct loopback *server = start(answers, 1, "/x");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("http_proxy", "http://127.0.0.1:1");
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	loopback_destroy(server);
}

static void reckons_the_expiry_from_the_servers_clock(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.0 200 OK\r\nDate: Thu, 18 Jan 2018 08:18:06 GMT\r\n\r\n{" KEYS
		 ",\"Token\":\"t\",\"Expiration\":\"2018-01-18T09:18:06.5Z\"}"}};
	struct loopback *server = start(answers, 1, "/x");
	lm_auto_load struct load l;
	uint64_t before = lm_clock_mono_ms();

	(void)state;
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t");
	assert_int_equal(l.credentials.expires_ms, 1516267086000);
	assert_true(l.credentials.expires_mono_ms >= before + 3600 * 1000);
	assert_true(l.credentials.expires_mono_ms <= lm_clock_mono_ms() + 3600 * 1000);
	loopback_destroy(server);
}

static void needs_neither_token_nor_expiration(void **state)
{
	const struct loopback_answer answers[] = {{OK("{" KEYS ",\"Expiration\":null}")}};
	struct loopback *server = start(answers, 1, "/x");
	lm_auto_load struct load l;

	(void)state;
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "");
	assert_int_equal(l.credentials.expires_mono_ms, 0);
	loopback_destroy(server);
}

static void refuses_answers_that_are_none_without_showing_them(void **state)
{
	static const struct {
		const char *answer, *message;
	} cases[] = {
		{OK("hunter2"), "holds no usable credentials: it is not JSON"},
		{OK("{" KEYS ",\"Token\":\"hun"), "it is not JSON"},
		{OK("[\"hunter2\"]"), "it is an array, not an object"},
		{OK("{\"AccessKeyId\":\"hunter2\"}"), "it has no SecretAccessKey"},
		{OK("{\"AccessKeyId\":1,\"SecretAccessKey\":\"hunter2\"}"),
			"it has no AccessKeyId"},
		{OK("{" KEYS ",\"Token\":\"hunter2\\r\\nX-Evil: 1\"}"), "Token holds a space"},
		{OK("{" KEYS ",\"Expiration\":\"tomorrow\"}"), "its Expiration is no time"},
		{OK("{" KEYS ",\"Expiration\":\"2030-01-01T00:00:00\"}"),
			"its Expiration is no time"},
		{OK("{" KEYS ",\"Expiration\":1893456000}"), "its Expiration is no time"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const struct loopback_answer answers[] = {{cases[i].answer}};
		struct loopback *server = start(answers, 1, "/x");
		lm_auto_load struct load l;

		fixture_load(&l);
		assert_failed(&l, LM_E_PROTOCOL, cases[i].message);
		assert_null(strstr(l.err.msg, "hunter2"));
		loopback_destroy(server);
	}
}

static void says_what_the_endpoint_answers(void **state)
{
	const struct loopback_answer refused[] = {
		{"HTTP/1.0 403 Forbidden\r\n\r\n{\"code\":\"A\",\"message\":\"not you\"}"}};
	const struct loopback_answer broken[] = {{"HTTP/1.0 500 Oops\r\n\r\n<html>"}};
	struct loopback *server = start(refused, 1, "/x");
	lm_auto_load struct load l, other;

	(void)state;
	fixture_load(&l);
	assert_failed(&l, LM_E_DENIED, "answers HTTP 403: not you; check the variables");
	loopback_destroy(server);
	server = start(broken, 1, "/x");
	fixture_load(&other);
	assert_failed(&other, LM_E_REFUSED, "answers HTTP 500; check");
	loopback_stop(server);
	assert_int_equal(loopback_count(server), 2);
	loopback_destroy(server);
}

static void an_endpoint_that_fails_ends_the_search(void **state)
{
	const struct loopback_answer closed[] = {{NULL}};
	struct loopback *server = start(closed, 1, "/x");
	lm_auto_load struct load l;

	(void)state;
	fixture_load(&l);
	assert_failed(&l, LM_E_NETWORK, "the container endpoint for AWS credentials: after 2");
	loopback_destroy(server);
}

static void a_silent_endpoint_is_given_up(void **state)
{
	const struct loopback_answer silent[] = {{"HTTP/1.0 200 OK\r\n", .hold = true}};
	struct loopback *server = start(silent, 1, "/x");
	struct credentials_settings settings = fixture_settings();
	lm_auto_load struct load l;

	(void)state;
	settings.timeout_ms = 50;
	fixture_load_with(&l, &settings);
	assert_failed(&l, LM_E_TIMEOUT, "does not answer in time");
	loopback_destroy(server);
}

static void takes_only_addresses_that_are_safe(void **state)
{
	static const struct {
		const char *full, *relative, *message;
	} cases[] = {
		{"http://example.com/x", NULL, "names the host 'example.com' over http://"},
		{"http://169.254.170.3/x", NULL, "over http://"},
		{"http://127.0.0.1.example.com/x", NULL, "over http://"},
		{"http://[fd00:ec2::24]/x", NULL, "over http://"},
		{"http://localhost@example.com/x", NULL, "holds no address that can be asked"},
		{"ftp://localhost/x", NULL, "holds no address that can be asked"},
		{"http:///x", NULL, "holds no address that can be asked"},
		{"http://localhost/%zz", NULL, "holds no address that can be asked"},
		{"http://localhost/x#y", NULL, "holds no address that can be asked"},
		{"http://localhost/x", "evil.example/x",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with '/'"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_load struct load l;

		fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", cases[i].full);
		fixture_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", cases[i].relative);
		fixture_load(&l);
		assert_failed(&l, LM_E_INVALID, cases[i].message);
	}
}

static void refuses_a_token_that_is_no_header(void **state)
{
	lm_auto_load struct load l, missing;

	(void)state;
	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:1/x");
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2\r\nX-Evil: 1");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line end");
	assert_null(strstr(l.err.msg, "hunter2"));
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token");
	fixture_load(&missing);
	assert_failed(&missing, LM_E_INVALID, "cannot be read: '/nonexistent/token'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_the_full_uri_with_the_token),
		TEST(prefers_the_token_file_and_trims_its_line_end),
		TEST(goes_through_no_proxy),
		TEST(reckons_the_expiry_from_the_servers_clock),
		TEST(needs_neither_token_nor_expiration),
		TEST(refuses_answers_that_are_none_without_showing_them),
		TEST(says_what_the_endpoint_answers),
		TEST(an_endpoint_that_fails_ends_the_search),
		TEST(a_silent_endpoint_is_given_up),
		TEST(takes_only_addresses_that_are_safe),
		TEST(refuses_a_token_that_is_no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
