// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void set(const char *id, const char *secret, const char *token)
{
	(void)(id ? setenv("AWS_ACCESS_KEY_ID", id, 1) : unsetenv("AWS_ACCESS_KEY_ID"));
	(void)(secret ? setenv("AWS_SECRET_ACCESS_KEY", secret, 1)
		      : unsetenv("AWS_SECRET_ACCESS_KEY"));
	(void)(token ? setenv("AWS_SESSION_TOKEN", token, 1) : unsetenv("AWS_SESSION_TOKEN"));
}

static void takes_lasting_keys_from_the_environment(void **state)
{
	lm_auto_credentials struct aws_credentials c = {0};

	(void)state;
	set("AKID", "s/e+c=ret", NULL);
	assert_int_equal(credentials_load(&c, NULL), LM_OK);
	assert_string_equal(c.access_key_id, "AKID");
	assert_string_equal(c.secret.data, "s/e+c=ret");
	assert_int_equal(c.session_token.len, 0);
}

static void takes_a_session_token(void **state)
{
	lm_auto_credentials struct aws_credentials c = {0};

	(void)state;
	set("ASIA", "secret", "token==");
	assert_int_equal(credentials_load(&c, NULL), LM_OK);
	assert_string_equal(c.session_token.data, "token==");
}

static void says_what_to_set_when_there_are_none(void **state)
{
	struct aws_credentials c;
	struct lm_err err = {0};

	(void)state;
	set(NULL, "", NULL);
	assert_int_equal(credentials_load(&c, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "AWS_ACCESS_KEY_ID"));
}

static void refuses_half_of_them(void **state)
{
	struct aws_credentials c;
	struct lm_err err = {0};

	(void)state;
	set("AKID", NULL, NULL);
	assert_int_equal(credentials_load(&c, &err), LM_E_INVALID);
	assert_string_equal(
		err.msg, "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both");
}

static void refuses_line_ends_without_showing_the_secret(void **state)
{
	struct aws_credentials c;
	struct lm_err err = {0};

	(void)state;
	set("AKID", "hunter2\n", NULL);
	assert_int_equal(credentials_load(&c, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "AWS_SECRET_ACCESS_KEY"));
	assert_null(strstr(err.msg, "hunter2"));
	set("AKID", "hunter2", "token\r\nX-Evil: 1");
	assert_int_equal(credentials_load(&c, &err), LM_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_lasting_keys_from_the_environment),
		cmocka_unit_test(takes_a_session_token),
		cmocka_unit_test(says_what_to_set_when_there_are_none),
		cmocka_unit_test(refuses_half_of_them),
		cmocka_unit_test(refuses_line_ends_without_showing_the_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
