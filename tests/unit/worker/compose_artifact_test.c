// SPDX-License-Identifier: Apache-2.0
#include "worker/compose_artifact.h"

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/memory.h"
#include "loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER(status, headers, body) "HTTP/1.0 " status "\r\n" headers "\r\n" body
#define BASIC ANSWER("401 No", "WWW-Authenticate: Basic realm=\"r\"\r\n", "")
#define TEXT "services:\n  web:\n    image: a\n"

/// A registry with one artifact, and what was got of it.
struct shop {
	struct loopback *server;
	struct registry_credentials credentials;
	char manifest[600], answer[800];
	char digest[80], text_digest[80];
	struct stored_object object;
	struct lm_err err;
	lm_rc rc;
};

static void name_digest(struct lm_str bytes, char ret[80])
{
	memcpy(ret, "sha256:", 8);
	lm_sha256_hex(bytes, ret + 7);
}

static void prepare(struct shop *s)
{
	*s = (struct shop){.credentials = {.registry = lm_xstrdup("registry"),
				   .username = lm_xstrdup("alice")}};
	lm_secret_set(&s->credentials.password, LM_STR("s3cret"));
	name_digest(LM_STR(TEXT), s->text_digest);
	(void)snprintf(s->manifest, sizeof(s->manifest),
		"{\"artifactType\":\"application/vnd.docker.compose.project\",\"layers\":[{"
		"\"mediaType\":\"application/vnd.docker.compose.file+yaml\",\"digest\":\"%s\","
		"\"size\":%zu}]}",
		s->text_digest, strlen(TEXT));
	name_digest(lm_str(s->manifest), s->digest);
	(void)snprintf(s->answer, sizeof(s->answer), ANSWER("200 OK", "", "%s"), s->manifest);
}

/// `version` is ":tag" or "@digest".
static void get(struct shop *s, const struct loopback_answer *answers, unsigned n,
	const char *version, bool with_credentials)
{
	const struct wait_limit limit = WAIT_FOREVER;
	const struct compose_artifact_options options = {.attempts = 1,
		.certificates = "/nonexistent",
		.credentials = with_credentials ? &s->credentials : NULL};
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	s->server = loopback_start(answers, n);
	lm_auto_free char *address = lm_xasprintf(
		"oci://%s/boats/app%s", strstr(loopback_origin(s->server), "//") + 2, version);
	assert_int_equal(compose_artifact_parse(address, &ref, &s->err), LM_OK);
	s->rc = compose_artifact_get(&ref, &options, &limit, &s->object, &s->err);
	loopback_stop(s->server);
}

static void clear(struct shop *s)
{
	loopback_destroy(s->server);
	registry_credentials_finish(&s->credentials);
	stored_object_finish(&s->object);
}

static void assert_asked(const struct shop *s, unsigned i, const char *words, bool has)
{
	assert_true(i < loopback_count(s->server));
	if (!strstr(loopback_request(s->server, i), words) == has)
		fail_msg("request %u, '%s':\n%s", i, words, loopback_request(s->server, i));
}

static void gets_manifest_and_file_with_a_login(void **state)
{
	struct shop s;

	(void)state;
	prepare(&s);
	const struct loopback_answer answers[] = {{BASIC}, {s.answer},
		{ANSWER("307 There", "Location: /store?x=1\r\n", "")},
		{ANSWER("200 OK", "", TEXT)}};
	get(&s, answers, 4, ":1.2", true);
	if (s.rc)
		fail_msg("%s", s.err.msg);
	assert_true(lm_str_eq(lm_buf_str(&s.object.text), LM_STR(TEXT)));
	assert_string_equal(s.object.version, s.digest);
	assert_asked(&s, 0, "GET /v2/boats/app/manifests/1.2 ", true);
	assert_asked(&s, 0, "Authorization", false);
	assert_asked(&s, 1, "Authorization: Basic YWxpY2U6czNjcmV0\r\n", true);
	assert_asked(&s, 2, "GET /v2/boats/app/blobs/sha256", true);
	assert_asked(&s, 2, "Authorization: Basic", true);
	// The blob store gets no password.
	assert_asked(&s, 3, "GET /store?x=1 ", true);
	assert_asked(&s, 3, "Authorization", false);
	clear(&s);
}

static void a_pinned_digest_is_checked(void **state)
{
	static const char *const other =
		"@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct shop s;
		char own[90];

		prepare(&s);
		(void)snprintf(own, sizeof(own), "@%s", s.digest);
		const struct loopback_answer answers[] = {{s.answer}, {ANSWER("200 OK", "", TEXT)}};
		get(&s, answers, i ? 1 : 2, i ? other : own, false);
		assert_int_equal(s.rc, i ? LM_E_PROTOCOL : LM_OK);
		if (i) {
			assert_non_null(strstr(s.err.msg, "the digest of the manifest"));
			assert_non_null(strstr(s.err.msg, s.digest));
			assert_int_equal(s.object.text.len, 0);
		}
		clear(&s);
	}
}

static void fails_with(const char *blob, bool with_credentials, lm_rc rc, const char *words)
{
	struct shop s;

	prepare(&s);
	const struct loopback_answer answers[] = {{s.answer}, {blob}};
	get(&s, answers, 2, "", with_credentials);
	assert_int_equal(s.rc, rc);
	if (!strstr(s.err.msg, words))
		fail_msg("'%s' does not say '%s'", s.err.msg, words);
	assert_null(strstr(s.err.msg, "s3cret"));
	assert_int_equal(strstr(s.err.msg, "docker login") != NULL, strcmp(blob, BASIC) == 0);
	assert_int_equal(s.object.text.len, 0);
	clear(&s);
}

static void nothing_damaged_or_refused_is_taken(void **state)
{
	(void)state;
	fails_with(ANSWER("200 OK", "", TEXT "#"), true, LM_E_PROTOCOL,
		"the digest of the compose file");
	fails_with(ANSWER("200 OK", "", ""), true, LM_E_PROTOCOL, "the digest of the compose file");
	fails_with(BASIC, false, LM_E_DENIED, "run 'docker login' as the application's user");
	fails_with(ANSWER("403 No", "", ""), true, LM_E_DENIED, "refuses user alice");
	fails_with(ANSWER("404 No", "", ""), true, LM_E_NOT_FOUND, "does not have it");
	fails_with(ANSWER("503 No", "", ""), true, LM_E_NETWORK, "HTTP 503");
	fails_with(ANSWER("302 There", "Location: http://198.51.100.7/\r\n", ""), true, LM_E_DENIED,
		"is not secure");
	fails_with(ANSWER("302 There", "Location: http://198.51.100.7/\r\n", ""), false,
		LM_E_DENIED, "is not secure");
}

/// Whatever challenge it sends: our password is the registry's.
static void who_the_registry_redirects_to_gets_no_password(void **state)
{
	static const char *const challenges[] = {
		"Bearer realm=\"https://127.0.0.1:1/token\"", "Basic realm=\"r\""};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(challenges); i++) {
		lm_auto_free char *refuses = lm_xasprintf(
			ANSWER("401 No", "WWW-Authenticate: %s\r\n", ""), challenges[i]);
		for (int with_credentials = 0; with_credentials < 2; with_credentials++) {
			struct shop s;

			prepare(&s);
			const struct loopback_answer answers[] = {{s.answer},
				{ANSWER("307 There", "Location: /store\r\n", "")}, {refuses}};
			get(&s, answers, 3, "", with_credentials);
			assert_int_equal(s.rc, LM_E_DENIED);
			assert_non_null(strstr(s.err.msg, "redirects to refuses access"));
			assert_null(strstr(s.err.msg, "docker login")); // which would not help
			assert_int_equal(loopback_count(s.server), 3);
			clear(&s);
		}
	}
}

static void only_references_are_taken(void **state)
{
	static const struct {
		const char *address, *registry, *version;
	} cases[] = {
		{"oci://registry.example/a/b:1", "registry.example", "1"},
		{"oci://registry.example:5000/a", "registry.example:5000", "latest"},
		{"oci://boats/app", "docker.io", "latest"},
		{"oci://registry.example/a:1@sha512:"
		 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			NULL, NULL},
		{"oci://", NULL, NULL},
		{"oci://registry.example/A", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(image_ref_finish) struct image_ref ref = {0};
		struct lm_err err = {0};

		assert_int_equal(compose_artifact_parse(cases[i].address, &ref, &err),
			cases[i].registry ? LM_OK : LM_E_INVALID);
		if (!cases[i].registry)
			continue;
		assert_string_equal(ref.registry, cases[i].registry);
		assert_string_equal(image_ref_version(&ref), cases[i].version);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gets_manifest_and_file_with_a_login),
		cmocka_unit_test(a_pinned_digest_is_checked),
		cmocka_unit_test(nothing_damaged_or_refused_is_taken),
		cmocka_unit_test(who_the_registry_redirects_to_gets_no_password),
		cmocka_unit_test(only_references_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
