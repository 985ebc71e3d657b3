// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_provider.h"

#include "base/limits.h"
#include "base/memory.h"
#include "credentials_fixture.h"
#include "sys/wait.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// An answer with credentials that end so long after the server's clock of 08:00:00.
#define ANSWER(id, expiration)                                                                     \
	"HTTP/1.0 200 OK\r\nDate: Thu, 18 Jan 2018 08:00:00 GMT\r\n\r\n{\"AccessKeyId\":\"" id     \
	"\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2018-01-18T" expiration     \
	"Z\"}"
#define FAILURE "HTTP/1.0 400 Bad Request\r\n\r\n{\"message\":\"not now\"}"

struct kit {
	struct loopback *server;
	struct credentials_settings settings;
	struct credentials_provider *provider;
};

static void start(struct kit *k, const struct loopback_answer *answers, unsigned n)
{
	k->server = loopback_start(answers, n);
	k->settings = fixture_settings();
	fixture_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", loopback_origin(k->server));
	assert_int_equal(
		credentials_provider_create(&k->settings, &WAIT_FOREVER, &k->provider, NULL),
		LM_OK);
}

static void finish(struct kit *k)
{
	credentials_provider_destroy(k->provider);
	loopback_destroy(k->server);
}

static unsigned assert_gets(struct kit *k, const char *id)
{
	const struct aws_credentials *c = NULL;
	struct lm_err err = {0};

	if (credentials_get(k->provider, &c, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(c->access_key_id, id);
	return c->serial;
}

static void assert_fails(struct kit *k, const char *part)
{
	const struct aws_credentials *c = NULL;
	struct lm_err err = {0};

	assert_int_equal(credentials_get(k->provider, &c, &err), LM_E_REFUSED);
	assert_non_null(strstr(err.msg, part));
	assert_null(c);
}

static void assert_count(struct kit *k, unsigned n)
{
	loopback_stop(k->server);
	assert_int_equal(loopback_count(k->server), n);
}

static void loads_once_and_keeps_until_five_minutes_before_the_end(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:06:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 1);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_count(&k, 1);
}

static void renews_those_that_end_within_five_minutes(void **state)
{
	const struct loopback_answer answers[] = {
		{ANSWER("A", "08:04:59")}, {ANSWER("B", "09:00:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "B"), 2);
	assert_int_equal(assert_gets(&k, "B"), 2);
	assert_count(&k, 2);
}

static void uses_valid_ones_that_cannot_be_renewed_and_says_so_once(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:04:00")}, {FAILURE}};
	struct lm_err warning = {0};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	(void)assert_gets(&k, "A");
	assert_false(credentials_take_warning(k.provider, &warning));
	assert_int_equal(assert_gets(&k, "A"), 1);
	assert_int_equal(assert_gets(&k, "A"), 1); // without asking again at once
	assert_count(&k, 2);
	assert_true(credentials_take_warning(k.provider, &warning));
	assert_non_null(strstr(warning.msg, "HTTP 400: not now"));
	assert_false(credentials_take_warning(k.provider, &warning));
}

static void fails_if_those_that_are_over_cannot_be_renewed(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:00:00")}, {FAILURE}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	(void)assert_gets(&k, "A");
	assert_fails(&k, "not now");
}

static void loads_others_when_a_service_says_that_they_are_over(void **state)
{
	const struct loopback_answer answers[] = {
		{ANSWER("A", "10:00:00")}, {ANSWER("B", "10:00:00")}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	unsigned serial = assert_gets(&k, "A");
	assert_true(credentials_expire(k.provider, serial));
	(void)assert_gets(&k, "B");
	assert_true(credentials_expire(k.provider, serial)); // another request's, signed with A
	(void)assert_gets(&k, "B");
	assert_count(&k, 2);
}

static void never_returns_those_that_a_service_says_are_over(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "10:00:00")}, {FAILURE}};
	lm_auto(finish) struct kit k;

	(void)state;
	start(&k, answers, 2);
	assert_true(credentials_expire(k.provider, assert_gets(&k, "A")));
	assert_fails(&k, "not now");
	assert_fails(&k, "not now");
}

static void keeps_lasting_ones(void **state)
{
	lm_auto(finish) struct kit k = {.settings = fixture_settings()};

	(void)state;
	fixture_set("AWS_ACCESS_KEY_ID", "A");
	fixture_set("AWS_SECRET_ACCESS_KEY", "s");
	assert_int_equal(
		credentials_provider_create(&k.settings, &WAIT_FOREVER, &k.provider, NULL), LM_OK);
	(void)assert_gets(&k, "A");
	fixture_set("AWS_ACCESS_KEY_ID", "B");
	(void)assert_gets(&k, "A");
}

static void gives_what_it_is_made_of_and_nothing_else(void **state)
{
	struct aws_credentials given = {.access_key_id = lm_xstrdup("A"), .source = "a test"};
	lm_auto(finish) struct kit k = {.provider = credentials_provider_of(&given)};

	(void)state;
	assert_null(given.access_key_id);
	assert_false(credentials_expire(k.provider, assert_gets(&k, "A")));
	(void)assert_gets(&k, "A");
}

static void ends_when_it_is_told_to_stop(void **state)
{
	const struct loopback_answer answers[] = {{ANSWER("A", "08:04:00"), .hold = true}};
	const struct aws_credentials *c = NULL;
	lm_auto(finish) struct kit k;
	int stop[2];

	(void)state;
	start(&k, answers, 1);
	credentials_provider_destroy(k.provider);
	assert_int_equal(pipe(stop), 0);
	(void)close(stop[1]);
	const struct wait_limit limit = {.cancel_fd = stop[0]};
	assert_int_equal(
		credentials_provider_create(&k.settings, &limit, &k.provider, NULL), LM_OK);
	assert_int_equal(credentials_get(k.provider, &c, NULL), LM_E_CANCELLED);
	(void)close(stop[0]);
}

#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = hunter2\n"

static void takes_the_default_profile(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(
		".aws/credentials", "[default]\n" KEYS("AKID") "aws_session_token = t\n");
	fixture_load(&l);
	assert_loaded(&l, "AKID", "hunter2", "t");
	assert_string_equal(l.credentials.source, "the shared credentials file");
}

static void takes_the_profile_of_AWS_PROFILE(void **state)
{
	lm_auto_load struct load l, other;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\n" KEYS("DEFAULT") "[a]\n" KEYS("A"));
	(void)fixture_write(".aws/config", "[profile b]\n" KEYS("B"));
	fixture_set("AWS_PROFILE", "a");
	fixture_load(&l);
	assert_loaded(&l, "A", "hunter2", "");
	fixture_set("AWS_PROFILE", "b");
	fixture_load(&other);
	assert_loaded(&other, "B", "hunter2", "");
	assert_string_equal(other.credentials.source, "the AWS config file");
}

static void takes_the_files_that_the_variables_name(void **state)
{
	lm_auto_load struct load l, other;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\n" KEYS("USUAL"));
	fixture_set("AWS_SHARED_CREDENTIALS_FILE",
		fixture_write("elsewhere/keys", "[default]\n" KEYS("NAMED")));
	fixture_load(&l);
	assert_loaded(&l, "NAMED", "hunter2", "");
	fixture_set("AWS_SHARED_CREDENTIALS_FILE", "~/none");
	(void)fixture_write("settings", "[default]\n" KEYS("CONFIG"));
	fixture_set("AWS_CONFIG_FILE", "~/settings");
	fixture_load(&other);
	assert_loaded(&other, "CONFIG", "hunter2", "");
}

static void finds_the_home_of_the_user_without_HOME(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	fixture_set("HOME", NULL);
	fixture_set("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/a");
	fixture_set("AWS_PROFILE", "a profile that nobody has");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "/.aws/config'");
}

static void a_profile_that_nobody_has_is_named(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\n" KEYS("DEFAULT"));
	fixture_set("AWS_PROFILE", "ship");
	fixture_load(&l);
	assert_failed(
		&l, LM_E_INVALID, "AWS_PROFILE names the profile 'ship', which is not usable");
	assert_failed(&l, LM_E_INVALID, "/.aws/credentials' has no profile 'ship'; there is no '");
}

static void half_of_the_keys_is_a_failure(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\naws_access_key_id = AKID\n");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID,
		"aws_access_key_id is set but aws_secret_access_key is not in profile 'default'");
}

static void says_what_is_not_supported(void **state)
{
	static const char *const keys[] = {
		"sso_session", "sso_start_url", "sso_account_id", "login_session"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(keys); i++) {
		lm_auto_load struct load l;
		lm_auto_free char *config = lm_xasprintf("[default]\n%s = x\n", keys[i]);
		lm_auto_free char *quoted =
			lm_xasprintf("'%s', which needs an interactive login", keys[i]);

		(void)fixture_write(".aws/credentials", "[default]\n" KEYS("A"));
		(void)fixture_write(".aws/config", config);
		fixture_load(&l);
		assert_failed(&l, LM_E_INVALID, quoted);
	}
}

static void keys_of_the_credentials_file_come_before_a_process(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\n" KEYS("A"));
	(void)fixture_write(".aws/config", "[default]\ncredential_process = x\n");
	fixture_load(&l);
	assert_loaded(&l, "A", "hunter2", "");
}

static void a_broken_file_is_named_with_its_line_and_no_secret(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials", "[default]\naws_secret_access_key hunter2\n");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "/.aws/credentials': line 2 is neither");
	assert_null(strstr(l.err.msg, "hunter2"));
}

static void a_value_with_a_space_is_refused_without_showing_it(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials",
		"[default]\naws_access_key_id = A\naws_secret_access_key = hunter2 hunter3\n");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "aws_secret_access_key in profile 'default' of '");
	assert_null(strstr(l.err.msg, "hunter"));
}

static void a_file_over_its_ceiling_is_refused(void **state)
{
	lm_auto_free char *text = lm_xmalloc(LIMIT_PROFILE_FILE + 2);
	lm_auto_load struct load l;

	(void)state;
	memset(text, '\n', LIMIT_PROFILE_FILE + 1);
	text[LIMIT_PROFILE_FILE + 1] = '\0';
	(void)fixture_write(".aws/credentials", text);
	fixture_load(&l);
	assert_failed(&l, LM_E_TOO_LARGE, "/.aws/credentials'");
}

/// Root may read everything, so this is about what is no file at all.
static void a_directory_in_the_place_of_a_file_is_refused(void **state)
{
	lm_auto_load struct load l;

	(void)state;
	(void)fixture_write(".aws/credentials/x", "");
	fixture_load(&l);
	assert_failed(&l, LM_E_INVALID, "is a directory, not a regular file");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loads_once_and_keeps_until_five_minutes_before_the_end),
		TEST(renews_those_that_end_within_five_minutes),
		TEST(uses_valid_ones_that_cannot_be_renewed_and_says_so_once),
		TEST(fails_if_those_that_are_over_cannot_be_renewed),
		TEST(loads_others_when_a_service_says_that_they_are_over),
		TEST(never_returns_those_that_a_service_says_are_over),
		TEST(keeps_lasting_ones),
		TEST(gives_what_it_is_made_of_and_nothing_else),
		TEST(ends_when_it_is_told_to_stop),
		TEST(takes_the_default_profile),
		TEST(takes_the_profile_of_AWS_PROFILE),
		TEST(takes_the_files_that_the_variables_name),
		TEST(finds_the_home_of_the_user_without_HOME),
		TEST(a_profile_that_nobody_has_is_named),
		TEST(half_of_the_keys_is_a_failure),
		TEST(says_what_is_not_supported),
		TEST(keys_of_the_credentials_file_come_before_a_process),
		TEST(a_broken_file_is_named_with_its_line_and_no_secret),
		TEST(a_value_with_a_space_is_refused_without_showing_it),
		TEST(a_file_over_its_ceiling_is_refused),
		TEST(a_directory_in_the_place_of_a_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
