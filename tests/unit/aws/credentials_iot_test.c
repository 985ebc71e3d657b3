// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <string.h>

#define GOOD                                                                                       \
	"HTTP/1.0 200 OK\r\n\r\n{\"credentials\":{\"accessKeyId\":\"ASIA\",\"secretAccessKey\":"   \
	"\"hunter2\",\"sessionToken\":\"t==\",\"expiration\":\"2030-01-01T00:00:00Z\"}}"

/// A server that wants the client's certificate, and the settings that fit.
struct provider {
	struct loopback *server;
	struct credentials_settings settings;
	char *ca, *client;
};

static void start(struct provider *p, const struct loopback_answer *answers, unsigned n)
{
	*p = (struct provider){
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

static void finish(struct provider *p)
{
	loopback_destroy(p->server);
	free(p->ca);
	free(p->client);
}

static void shows_its_certificate_and_names_its_thing(void **state)
{
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p;

	(void)state;
	start(&p, answers, 1);
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
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p;
	lm_auto_buf struct lm_buf text = LM_BUF(10000);

	(void)state;
	start(&p, answers, 1);
	assert_int_equal(lm_file_read(p.client, &text, NULL), LM_OK);
	p.settings.certificate = p.settings.private_key = "/nonexistent/client.pem";
	p.settings.certificate_text = p.settings.private_key_text = lm_buf_str(&text);
	fixture_load_with(&l, &p.settings);
	assert_loaded(&l, "ASIA", "hunter2", "t==");
}

static void names_the_file_of_a_text_that_is_no_key(void **state)
{
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p;

	(void)state;
	start(&p, answers, 1);
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
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p;

	(void)state;
	start(&p, answers, 1);
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
		lm_auto(finish) struct provider p;

		start(&p, answers, 1);
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
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load missing, wrong, ca;
	lm_auto(finish) struct provider p;

	(void)state;
	start(&p, answers, 1);
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
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p;

	(void)state;
	start(&p, answers, 1);
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
	const struct loopback_answer answers[] = {{GOOD}};
	lm_auto_load struct load l;
	lm_auto(finish) struct provider p, other;

	(void)state;
	start(&other, answers, 1); // its client's certificate is another
	lm_auto_free char *kept = lm_xstrdup(fixture_write("kept.pem", ""));
	assert_int_equal(rename(other.client, kept), 0);
	start(&p, answers, 1);
	p.settings.certificate = p.settings.private_key = kept;
	fixture_load_with(&l, &p.settings);
	assert_failed(&l, LM_E_DENIED,
		"does not know the authority that issued the device's certificate");
	loopback_stop(p.server);
	assert_int_equal(loopback_count(p.server), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
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
