// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
		&l, LM_E_INVALID, "AWS_PROFILE names the profile 'ship', which cannot be had");
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
		lm_auto_free char *quoted = lm_xasprintf("'%s', which needs a person", keys[i]);

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
