// SPDX-License-Identifier: Apache-2.0
#include "registry/challenge.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void reads_challenges_however_written(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		enum challenge_scheme scheme;
		const char *realm, *service, *scope;
	} cases[] = {
		{"Basic realm=\"tests\"", CHALLENGE_BASIC, "tests", "", ""},
		{"basic", CHALLENGE_BASIC, "", "", ""},
		{"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		 "scope=\"repository:a/b:pull,push\"",
			CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io",
			"repository:a/b:pull,push"},
		{"BEARER service=reg , realm=\"https://a\\\"b\"", CHALLENGE_BEARER, "https://a\"b",
			"reg", ""},
		{"Negotiate, Digest realm=\"x\", Bearer realm=\"https://t\"", CHALLENGE_BEARER,
			"https://t", "", ""},
		{"Bearer service=\"no realm\", Basic realm=\"b\"", CHALLENGE_BASIC, "b", "", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(challenge_finish) struct challenge c = {0};
		challenge_parse(lm_str(cases[i].header), &c);
		assert_int_equal(c.scheme, cases[i].scheme);
		assert_string_equal(c.realm, cases[i].realm);
		assert_string_equal(c.service, cases[i].service);
		assert_string_equal(c.scope, cases[i].scope);
	}
}

static void knows_no_challenge_in_anything_else(void **state)
{
	(void)state;
	static const char *const none[] = {"", " ", ",,", "=", "\"", "Digest realm=\"x\"",
		"Bearer realm=\"\"", "Bearer realm", "Bearer \"realm\"=x"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(none); i++) {
		lm_auto(challenge_finish) struct challenge c = {0};
		challenge_parse(lm_str(none[i]), &c);
		assert_int_equal(c.scheme, CHALLENGE_NONE);
	}
}

static void takes_the_token_under_either_name(void **state)
{
	(void)state;
	static const char *const answers[] = {"{\"token\":\"t0k\"}", "{\"access_token\":\"t0k\"}",
		"{\"token\":\"t0k\",\"access_token\":\"other\"}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(answers); i++) {
		lm_auto_secret struct lm_secret token = {0};
		lm_auto_secret struct lm_secret header = {0};
		struct lm_err err = {0};
		assert_int_equal(challenge_token_parse(lm_str(answers[i]), &token, &err), LM_OK);
		challenge_bearer(&token, &header);
		assert_string_equal(header.data, "Bearer t0k");
	}
}

static void refuses_an_answer_without_a_token_without_quoting_it(void **state)
{
	(void)state;
	static const char *const answers[] = {"s3cret", "{\"token\":3}", "{}",
		"{\"token\":\"s3cret\\r\\nX-Evil: 1\"}", "{\"token\":\"\"}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(answers); i++) {
		struct lm_secret token = {0};
		struct lm_err err = {0};
		assert_int_equal(
			challenge_token_parse(lm_str(answers[i]), &token, &err), LM_E_PROTOCOL);
		assert_null(token.data);
		assert_null(strstr(err.msg, "s3cret"));
	}
}

static void a_name_and_a_password_become_a_header(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret value = {0};

	assert_true(challenge_basic(LM_STR("alice"), LM_STR("s3cret"), &value));
	assert_string_equal(value.data, "Basic YWxpY2U6czNjcmV0");
}

static void takes_addresses_apart_and_decodes_them(void **state)
{
	(void)state;
	lm_auto(registry_url_finish) struct registry_url a = {0};
	struct lm_err err = {0};

	assert_int_equal(
		registry_url_parse(LM_STR("https://store.example:8443/a%20b/c?sig=x%2By%3D&n=a+"
					  "b&flag#part"),
			NULL, &a, &err),
		LM_OK);
	assert_true(a.https);
	assert_string_equal(a.origin, "https://store.example:8443");
	assert_string_equal(a.path, "/a b/c");
	assert_int_equal(a.query_n, 3);
	assert_string_equal(a.query[0].name, "sig");
	assert_string_equal(a.query[0].value, "x+y=");
	assert_string_equal(a.query[1].value, "a b");
	assert_string_equal(a.query[2].name, "flag");
	assert_string_equal(a.query[2].value, "");
}

static void an_address_without_a_host_is_of_the_same_host(void **state)
{
	(void)state;
	lm_auto(registry_url_finish) struct registry_url a = {0};
	lm_auto(registry_url_finish) struct registry_url bare = {0};
	struct lm_err err = {0};

	assert_int_equal(
		registry_url_parse(LM_STR("/v2/x"), "http://localhost:5000", &a, &err), LM_OK);
	assert_false(a.https);
	assert_string_equal(a.origin, "http://localhost:5000");
	assert_string_equal(a.path, "/v2/x");
	assert_int_equal(registry_url_parse(LM_STR("https://h?x=1"), NULL, &bare, &err), LM_OK);
	assert_string_equal(bare.origin, "https://h");
	assert_string_equal(bare.path, "/");
}

static void refuses_what_is_no_address_without_showing_its_query(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "ftp://h/x", "//evil/x", "https://", "https:///x",
		"https://u:p@h/", "https://h/%zz?sig=s3cret", "https://h/%00", "https://a b/",
		"h/x"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct registry_url a = {0};
		struct lm_err err = {0};
		assert_int_equal(
			registry_url_parse(lm_str(bad[i]), "https://base", &a, &err), LM_E_INVALID);
		assert_null(a.origin);
		assert_null(strstr(err.msg, "s3cret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_challenges_however_written),
		cmocka_unit_test(knows_no_challenge_in_anything_else),
		cmocka_unit_test(takes_the_token_under_either_name),
		cmocka_unit_test(refuses_an_answer_without_a_token_without_quoting_it),
		cmocka_unit_test(a_name_and_a_password_become_a_header),
		cmocka_unit_test(takes_addresses_apart_and_decodes_them),
		cmocka_unit_test(an_address_without_a_host_is_of_the_same_host),
		cmocka_unit_test(refuses_what_is_no_address_without_showing_its_query),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
