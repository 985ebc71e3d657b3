// SPDX-License-Identifier: Apache-2.0
#include "aws/credential_sources.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "credentials_fixture.h"

#include <openssl/pem.h>
#include <string.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK(json) "HTTP/1.0 200 OK\r\n\r\n" json
#define KEYS "\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"hunter2\""
#define CONTAINER_GOOD OK("{" KEYS ",\"Token\":\"t==\",\"Expiration\":\"2030-01-01T00:00:00Z\"}")

static struct loopback *start_container(
	const struct loopback_answer *answers, unsigned n, const char *path)
{
	struct loopback *l = loopback_start(answers, n);
	lm_auto_free char *url = lm_xasprintf("%s%s", loopback_origin(l), path);

	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	return l;
}

static void assert_container_asked(struct loopback *l, const char *what)
{
	loopback_stop(l);
	if (!strstr(loopback_request(l, 0), what))
		fail_msg("no '%s' in: %s", what, loopback_request(l, 0));
}

static void asks_the_full_uri_with_the_token(void **state)
{
	const struct loopback_answer answers[] = {{CONTAINER_GOOD}};
	struct loopback *server = start_container(answers, 1, "/get%20it?id=a%2Fb&x=");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc==");
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_string_equal(l.credentials.source, "the container endpoint");
	assert_container_asked(server, "GET /get%20it?id=a%2Fb&x= HTTP/1.1\r\n");
	assert_container_asked(server, "\r\nAuthorization: Basic abc==\r\n");
	loopback_destroy(server);
}

static void prefers_the_token_file_and_trims_its_line_end(void **state)
{
	const struct loopback_answer answers[] = {{CONTAINER_GOOD}};
	struct loopback *server = start_container(answers, 1, "");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "old");
	fixture_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", fixture_write("token", "new\n"));
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_container_asked(server, "GET / HTTP/1.1\r\n");
	assert_container_asked(server, "\r\nAuthorization: new\r\n");
	loopback_destroy(server);
}

static void goes_through_no_proxy(void **state)
{
	const struct loopback_answer answers[] = {{CONTAINER_GOOD}};
	struct loopback *server = start_container(answers, 1, "/x");
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
	struct loopback *server = start_container(answers, 1, "/x");
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
	struct loopback *server = start_container(answers, 1, "/x");
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
		{OK("{" KEYS ",\"Expiration\":\"tomorrow\"}"),
			"invalid timestamp in \"Expiration\""},
		{OK("{" KEYS ",\"Expiration\":\"2030-01-01T00:00:00\"}"),
			"invalid timestamp in \"Expiration\""},
		{OK("{" KEYS ",\"Expiration\":1893456000}"), "invalid timestamp in \"Expiration\""},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const struct loopback_answer answers[] = {{cases[i].answer}};
		struct loopback *server = start_container(answers, 1, "/x");
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
	struct loopback *server = start_container(refused, 1, "/x");
	lm_auto_load struct load l, other;

	(void)state;
	fixture_load(&l);
	assert_failed(&l, LM_E_DENIED, "answers HTTP 403: not you; check the variables");
	loopback_destroy(server);
	server = start_container(broken, 1, "/x");
	fixture_load(&other);
	assert_failed(&other, LM_E_REFUSED, "answers HTTP 500; check");
	loopback_stop(server);
	assert_int_equal(loopback_count(server), 2);
	loopback_destroy(server);
}

static void an_endpoint_that_fails_ends_the_search(void **state)
{
	const struct loopback_answer closed[] = {{NULL}};
	struct loopback *server = start_container(closed, 1, "/x");
	lm_auto_load struct load l;

	(void)state;
	fixture_load(&l);
	assert_failed(&l, LM_E_NETWORK, "the container endpoint for AWS credentials: after 2");
	loopback_destroy(server);
}

static void a_silent_endpoint_is_given_up(void **state)
{
	const struct loopback_answer silent[] = {{"HTTP/1.0 200 OK\r\n", .hold = true}};
	struct loopback *server = start_container(silent, 1, "/x");
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

#define CREDENTIALS                                                                                \
	OK("{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"hunter2\","       \
	   "\"Token\":\"t\",\"Expiration\":\"2030-01-01T00:00:00Z\"}")

static struct loopback *start_imds(
	const struct loopback_answer *answers, unsigned n, const char *path)
{
	struct loopback *l = loopback_start(answers, n);
	lm_auto_free char *url = lm_xasprintf("%s%s", loopback_origin(l), path);

	fixture_set("AWS_EC2_METADATA_DISABLED", NULL);
	fixture_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
	return l;
}

static void assert_imds_asked(struct loopback *l, unsigned i, const char *what)
{
	if (!strstr(loopback_request(l, i), what))
		fail_msg("no '%s' in: %s", what, loopback_request(l, i));
}

static void asks_for_a_session_then_the_role_then_its_credentials(void **state)
{
	const struct loopback_answer answers[] = {
		{OK("TOKEN==")}, {OK("ship-role\n")}, {CREDENTIALS}};
	struct loopback *server = start_imds(answers, 3, "/base/");
	lm_auto_load struct load l;

	(void)state;
	fixture_set("http_proxy", "http://127.0.0.1:1");
	fixture_load(&l);
	loopback_stop(server);
	assert_loaded(&l, "ASIA", "hunter2", "t");
	assert_string_equal(l.credentials.source, "the EC2 instance metadata");
	assert_true(l.credentials.expires_mono_ms > 0);
	assert_imds_asked(server, 0, "PUT /base/latest/api/token HTTP/1.1\r\n");
	assert_imds_asked(server, 0, "\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n");
	assert_imds_asked(
		server, 1, "GET /base/latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n");
	assert_imds_asked(server, 1, "\r\nX-aws-ec2-metadata-token: TOKEN==\r\n");
	assert_imds_asked(server, 2,
		"GET /base/latest/meta-data/iam/security-credentials/ship-role HTTP/1.1\r\n");
	assert_imds_asked(server, 2, "\r\nX-aws-ec2-metadata-token: TOKEN==\r\n");
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
		struct loopback *server = start_imds(cases[i].answers, 3, "");
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
	struct loopback *server = start_imds(answers, 1, "");
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
	struct loopback *server = start_imds(silent, 1, "");
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

#define IOT_GOOD                                                                                   \
	"HTTP/1.0 200 OK\r\n\r\n{\"credentials\":{\"accessKeyId\":\"ASIA\",\"secretAccessKey\":"   \
	"\"hunter2\",\"sessionToken\":\"t==\",\"expiration\":\"2030-01-01T00:00:00Z\"}}"

/// A server that wants the client's certificate, and the settings that fit.
struct iot_provider {
	struct loopback *server;
	struct credentials_settings settings;
	char *ca, *client;
};

static void start_iot(struct iot_provider *p, const struct loopback_answer *answers, unsigned n)
{
	*p = (struct iot_provider){
		.settings = fixture_settings(),
		.ca = lm_xstrdup(fixture_write("ca.pem", "")),
		.client = lm_xstrdup(fixture_write("client.pem", "")),
	};
	p->server = loopback_start_mutual_tls(answers, n, "IP:127.0.0.1", p->ca, p->client);
	p->settings.role_alias = "ship,role@=1";
	p->settings.endpoint = loopback_origin(p->server) + strlen("https://");
	p->settings.certificate = p->settings.private_key = p->client;
	p->settings.ca = p->ca;
	p->settings.thing_name = "lighter-1";
}

static void finish_iot(struct iot_provider *p)
{
	loopback_destroy(p->server);
	free(p->ca);
	free(p->client);
}

static void shows_its_certificate_and_names_its_thing(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p;

	(void)state;
	start_iot(&p, answers, 1);
	fixture_load_with(&l, &p.settings);
	loopback_stop(p.server);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_string_equal(l.credentials.source, "the AWS IoT credentials provider");
	assert_true(l.credentials.expires_mono_ms > 0);
	assert_ptr_equal(strstr(loopback_request(p.server, 0),
				 "GET /role-aliases/ship%2Crole%40%3D1/credentials HTTP/1.1\r\n"),
		loopback_request(p.server, 0));
	assert_non_null(
		strstr(loopback_request(p.server, 0), "\r\nx-amzn-iot-thingname: lighter-1\r\n"));
}

static void shows_a_certificate_and_a_key_that_it_was_given_as_texts(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p;
	lm_auto_buf struct lm_buf text = LM_BUF(10000);

	(void)state;
	start_iot(&p, answers, 1);
	assert_int_equal(lm_file_read(p.client, &text, NULL), LM_OK);
	p.settings.certificate = p.settings.private_key = "/nonexistent/client.pem";
	p.settings.certificate_text = p.settings.private_key_text = lm_buf_str(&text);
	fixture_load_with(&l, &p.settings);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
}

static void names_the_file_of_a_text_that_is_no_key(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p;

	(void)state;
	start_iot(&p, answers, 1);
	p.settings.private_key = "/nonexistent/key.pem";
	p.settings.private_key_text = LM_STR("hunter2");
	fixture_load_with(&l, &p.settings);
	assert_int_equal(l.rc, LM_E_INVALID);
	assert_non_null(
		strstr(l.err.msg, "with the private key '/nonexistent/key.pem' cannot be used"));
	assert_null(strstr(l.err.msg, "hunter2"));
}

static void names_no_thing_if_there_is_none(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p;

	(void)state;
	start_iot(&p, answers, 1);
	p.settings.thing_name = NULL;
	fixture_load_with(&l, &p.settings);
	loopback_stop(p.server);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
	assert_null(strcasestr(loopback_request(p.server, 0), "thingname"));
}

static void says_why_there_are_none(void **state)
{
	static const struct {
		const char *answer;
		lm_rc rc;
		const char *message;
	} cases[] = {
		{"HTTP/1.0 403 F\r\n\r\n{\"message\":\"Access Denied\"}", LM_E_DENIED,
			"AWS IoT gives thing 'lighter-1' no credentials for role alias "
			"'ship,role@=1' (HTTP 403: Access Denied); check that the certificate"},
		{"HTTP/1.0 404 N\r\n\r\n{\"message\":\"Role alias does not exist\"}",
			LM_E_NOT_FOUND, "AWS IoT has no role alias 'ship,role@=1' at 127.0.0.1:"},
		{"HTTP/1.0 429 T\r\n\r\n{\"message\":\"Rate exceeded\"}", LM_E_REFUSED,
			"answers HTTP 429: Rate exceeded, after 2 attempts"},
		{"HTTP/1.0 500 T\r\n\r\n<html>", LM_E_REFUSED, "answers HTTP 500, after 2"},
		{"HTTP/1.0 200 OK\r\n\r\n{\"credentials\":{\"accessKeyId\":\"hunter2\"}}",
			LM_E_PROTOCOL, "it has no secretAccessKey"},
		{"HTTP/1.0 200 OK\r\n\r\n{\"credentials\":\"hunter2\"}", LM_E_PROTOCOL,
			"it has no accessKeyId"},
		{"HTTP/1.0 200 OK\r\nContent-Length: 500\r\n\r\n{\"hunter2", LM_E_NETWORK,
			"the connection to 127.0.0.1:"},
		{NULL, LM_E_NETWORK, "after 2 attempts"},
	};

	(void)state;
	fixture_set("AWS_ACCESS_KEY_ID", "ENVIRONMENT");
	fixture_set("AWS_SECRET_ACCESS_KEY", "s");
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const struct loopback_answer answers[] = {{cases[i].answer}};
		lm_auto_load struct load l;
		lm_auto(finish_iot) struct iot_provider p;

		start_iot(&p, answers, 1);
		fixture_load_with(&l, &p.settings);
		assert_failed(&l, cases[i].rc, cases[i].message);
		assert_null(strstr(l.err.msg, "hunter2"));
	}
}

static void refuses_settings_that_cannot_work(void **state)
{
	static const struct {
		const char *alias, *endpoint, *thing, *message;
	} cases[] = {
		{"two words", "h", NULL, "cannot be the name of a role alias"},
		{"", "h", NULL, "cannot be the name of a role alias"},
		{"r", NULL, NULL, "credentials.endpoint is missing in the host file"},
		{"r", "https://h/x", NULL, "must be a host's name"},
		{"r", "a1-ats.iot.eu-west-1.amazonaws.com", NULL,
			"is an endpoint of AWS IoT, but not of its credentials provider"},
		{"r", "h", "a\r\nb", "cannot be the name of a thing"},
		{"r", "h", NULL, "credentials.certificate is missing"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct credentials_settings settings = fixture_settings();
		lm_auto_load struct load l;

		settings.role_alias = cases[i].alias;
		settings.endpoint = cases[i].endpoint;
		settings.thing_name = cases[i].thing;
		fixture_load_with(&l, &settings);
		assert_failed(&l, LM_E_INVALID, cases[i].message);
	}
}

static void names_files_that_cannot_be_used(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load missing, wrong, ca;
	lm_auto(finish_iot) struct iot_provider p;

	(void)state;
	start_iot(&p, answers, 1);
	p.settings.private_key = "/nonexistent/key.pem";
	fixture_load_with(&missing, &p.settings);
	assert_failed(&missing, LM_E_INVALID,
		"credentials.privateKey of the host file names '/nonexistent/key.pem': No such");
	p.settings.private_key = p.ca; // a certificate
	fixture_load_with(&wrong, &p.settings);
	assert_failed(&wrong, LM_E_INVALID, "/ca.pem' cannot be used");
	p.settings.private_key = p.client;
	p.settings.ca = p.client; // not who signed the server's
	fixture_load_with(&ca, &p.settings);
	assert_failed(&ca, LM_E_NETWORK, "check the CA file '");
}

/// It must not be asked for at a terminal either.
static void a_key_with_a_passphrase_is_refused(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p;

	(void)state;
	start_iot(&p, answers, 1);
	p.settings.private_key = fixture_write("locked.pem", "");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = fopen(p.settings.private_key, "w");
	assert_int_equal(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(),
				 (const unsigned char *)"secret", 6, NULL, NULL),
		1);
	EVP_PKEY_free(key);
	(void)fclose(file);
	fixture_load_with(&l, &p.settings);
	assert_failed(&l, LM_E_INVALID, "the key without a passphrase");
}

static void a_server_that_does_not_take_the_certificate_gives_none(void **state)
{
	const struct loopback_answer answers[] = {{IOT_GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish_iot) struct iot_provider p, other;

	(void)state;
	start_iot(&other, answers, 1); // its client's certificate is another
	lm_auto_free char *kept = lm_xstrdup(fixture_write("kept.pem", ""));
	assert_int_equal(rename(other.client, kept), 0);
	start_iot(&p, answers, 1);
	p.settings.certificate = p.settings.private_key = kept;
	fixture_load_with(&l, &p.settings);
	assert_failed(&l, LM_E_DENIED,
		"does not trust the authority that issued the device's certificate");
	loopback_stop(p.server);
	assert_int_equal(loopback_count(p.server), 0);
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
		TEST(asks_for_a_session_then_the_role_then_its_credentials),
		TEST(what_fails_is_a_reason_of_having_no_credentials),
		TEST(is_not_asked_if_it_is_disabled),
		TEST(names_an_endpoint_that_is_none),
		TEST(a_silent_host_is_given_up_soon),
		TEST(shows_its_certificate_and_names_its_thing),
		TEST(shows_a_certificate_and_a_key_that_it_was_given_as_texts),
		TEST(names_the_file_of_a_text_that_is_no_key),
		TEST(names_no_thing_if_there_is_none),
		TEST(says_why_there_are_none),
		TEST(refuses_settings_that_cannot_work),
		TEST(names_files_that_cannot_be_used),
		TEST(a_key_with_a_passphrase_is_refused),
		TEST(a_server_that_does_not_take_the_certificate_gives_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
