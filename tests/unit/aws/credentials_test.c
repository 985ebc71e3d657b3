// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

static void set(const char *id, const char *secret, const char *token)
{
	fixture_set("AWS_ACCESS_KEY_ID", id);
	fixture_set("AWS_SECRET_ACCESS_KEY", secret);
	fixture_set("AWS_SESSION_TOKEN", token);
}

static void takes_lasting_keys_from_the_environment(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	set("AKID", "s/e+c=ret", NULL);
	fixture_load(&l);
	assert_loaded(&l, "AKID", "s/e+c=ret", "");
	assert_string_equal(l.credentials.source, "the environment");
	assert_int_equal(l.credentials.expires_mono_ms, 0);
}

static void takes_a_session_token(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	set("ASIA", "secret", "token==");
	fixture_load(&l);
	assert_loaded(&l, "ASIA", "secret", "token==");
}

static void says_what_each_source_lacks_and_what_to_do(void **state)
{
	static const char *const parts[] = {
		"there are no AWS credentials (AWS_ACCESS_KEY_ID is not set; ",
		"; set 'credentials' in the host file",
		"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of lightermand",
		"/.aws/credentials'; there is no '", "/.aws/config'; AWS_CONTAINER",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; ",
		"AWS_EC2_METADATA_DISABLED is true);"};
	lm_auto_load struct load l;

	(void)state;
	set(NULL, "", NULL);
	fixture_load(&l);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		assert_failed(&l, LM_E_NOT_FOUND, parts[i]);
}

static void refuses_half_of_them(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	set("AKID", NULL, NULL);
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID,
		"AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both");
}

static void refuses_line_ends_without_showing_the_secret(void **state)
{
	lm_auto_load struct load l, other;

	(void)state;
	set("AKID", "hunter2\n", NULL);
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "AWS_SECRET_ACCESS_KEY");
	assert_null(strstr(l.err.msg, "hunter2"));
	set("AKID", "hunter2", "token\r\nX-Evil: 1");
	fixture_load(&other);
	assert_failed(&other, LM_E_INVALID, "AWS_SESSION_TOKEN");
}

#define JSON_ANSWER                                                                                \
	"HTTP/1.0 200 OK\r\n\r\n{\"AccessKeyId\":\"CONTAINER\",\"SecretAccessKey\":\"s\","         \
	"\"Token\":\"t\",\"Expiration\":\"2030-01-01T00:00:00Z\"}"

/// The order of the SDKs: each source is removed, and the next one answers.
static void asks_the_sources_in_the_order_of_the_sdks(void **state)
{
	const struct loopback_answer answers[] = {{JSON_ANSWER}};
	struct loopback *server = loopback_start(answers, 1);
	lm_auto_load struct load environment, credentials, config, container;

	(void)state;
	set("ENVIRONMENT", "s", NULL);
	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", loopback_origin(server));
	(void)fixture_write(".aws/config",
		"[default]\naws_access_key_id = CONFIG\naws_secret_access_key = s\n");
	const char *file = fixture_write(".aws/credentials",
		"[default]\naws_access_key_id = CREDENTIALS\naws_secret_access_key = s\n");
	fixture_load(&environment);
	assert_loaded(&environment, "ENVIRONMENT", "s", "");
	set(NULL, NULL, NULL);
	fixture_load(&credentials);
	assert_loaded(&credentials, "CREDENTIALS", "s", "");
	(void)remove(file);
	fixture_load(&config);
	assert_loaded(&config, "CONFIG", "s", "");
	(void)fixture_write(".aws/config", "[default]\nregion = eu-west-1\n");
	fixture_load(&container);
	assert_loaded(&container, "CONTAINER", "s", "t");
	loopback_destroy(server);
}

static void the_role_alias_comes_first_and_its_failure_is_the_last_word(void **state)
{
	struct credentials_settings settings = fixture_settings();
	lm_auto_load struct load l;

	(void)state;
	set("ENVIRONMENT", "s", NULL);
	settings.role_alias = "role";
	fixture_load_with(&l, &settings);
	assert_failed(&l, LM_E_INVALID, "credentials.endpoint is missing in the host file");
}

static void reads_times_in_utc_and_with_an_offset(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"2013-05-24T00:00:00Z", 1369353600000},
		{"2013-05-24T02:00:00+02:00", 1369353600000},
		{"2013-05-23T20:30:00-0330", 1369353600000},
		{"2013-05-24T00:00:00.25Z", 1369353600000},
		{"2013-05-24T00:00:00.25+00:00", 1369353600000},
		{"2013-05-24T00:00:00", 0},
		{"2013-05-24T00:00:00+2", 0},
		{"2013-05-24T00:00:00+02:0x", 0},
		{"2013-05-24T00:00:00Z+02:00", 0},
		{"1969-12-31T23:00:00Z", 0},
		{"soon", 0},
		{"+02:00", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(credentials_parse_time_ms(lm_str(cases[i].text)), cases[i].ms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(takes_lasting_keys_from_the_environment),
		TEST(reads_times_in_utc_and_with_an_offset),
		TEST(takes_a_session_token),
		TEST(says_what_each_source_lacks_and_what_to_do),
		TEST(refuses_half_of_them),
		TEST(refuses_line_ends_without_showing_the_secret),
		TEST(asks_the_sources_in_the_order_of_the_sdks),
		TEST(the_role_alias_comes_first_and_its_failure_is_the_last_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
