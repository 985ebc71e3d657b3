// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include "base/cleanup.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

static struct profile find(const char *text, enum profile_file_kind kind, const char *name)
{
	struct profile p = {0};
	struct lm_err err = {0};

	if (profile_file_find(lm_str(text), kind, lm_str(name), &p, &err) != LM_OK)
		fail_msg("%s", err.msg);
	return p;
}

static void assert_text(struct lm_str s, const char *expected)
{
	if (!lm_str_eq(s, lm_str(expected)))
		fail_msg("'%.*s' is not '%s'", LM_STR_ARG(s), expected);
}

static void reads_the_keys_of_the_named_profile_only(void **state)
{
	static const char text[] = "# a comment\n"
				   "[default]\n"
				   "aws_access_key_id=DEFAULT\n"
				   "aws_secret_access_key=one\n"
				   "\n"
				   "[ship]\r\n"
				   "aws_access_key_id = SHIP\r\n"
				   "aws_secret_access_key\t=\tt/w+o=\r\n"
				   "aws_session_token = token==\r\n"
				   "; another\n"
				   "[other]\n"
				   "aws_access_key_id = OTHER\n";
	struct profile p = find(text, PROFILE_FILE_CREDENTIALS, "ship");

	(void)state;
	assert_true(p.found);
	assert_text(p.access_key_id, "SHIP");
	assert_text(p.secret_access_key, "t/w+o=");
	assert_text(p.session_token, "token==");
	p = find(text, PROFILE_FILE_CREDENTIALS, "other");
	assert_text(p.access_key_id, "OTHER");
	assert_text(p.secret_access_key, "");
	assert_false(find(text, PROFILE_FILE_CREDENTIALS, "none").found);
}

static void wants_the_word_profile_in_the_config_file(void **state)
{
	static const char text[] = "[default]\naws_access_key_id = A\n"
				   "[profile ship]\naws_access_key_id = B\n"
				   "[profile \"two words\"]\naws_access_key_id = C\n"
				   "[sso-session ship]\naws_access_key_id = D\n"
				   "[plain]\naws_access_key_id = E\n";

	(void)state;
	assert_text(find(text, PROFILE_FILE_CONFIG, "default").access_key_id, "A");
	assert_text(find(text, PROFILE_FILE_CONFIG, "ship").access_key_id, "B");
	assert_text(find(text, PROFILE_FILE_CONFIG, "two words").access_key_id, "C");
	assert_false(find(text, PROFILE_FILE_CONFIG, "plain").found);
	assert_false(find(text, PROFILE_FILE_CREDENTIALS, "two words").found);
}

static void takes_keys_that_people_write_in_other_ways(void **state)
{
	static const char text[] = "  [ default ] # mine\n"
				   "  AWS_Access_Key_Id = A;B#C  # old key\n"
				   "  aws_secret_access_key = one\n"
				   "  aws_secret_access_key = two ; newer\n"
				   "  s3 =\n"
				   "    aws_session_token = nested\n"
				   "    use_something\n"
				   "[default]\n"
				   "region = x";
	struct profile p = find(text, PROFILE_FILE_CREDENTIALS, "default");

	(void)state;
	assert_text(p.access_key_id, "A;B#C");
	assert_text(p.secret_access_key, "two");
	assert_text(p.session_token, "");
}

static void knows_keys_that_say_that_credentials_are_elsewhere(void **state)
{
	static const char text[] =
		"[profile a]\nsource_profile = b\nrole_arn = arn:aws:iam::1:role/x\n"
		"[profile b]\nsso_session = work\n"
		"[profile c]\ncredential_process = /bin/x\n"
		"[profile d]\nregion = eu-west-1\n";

	(void)state;
	assert_string_equal(find(text, PROFILE_FILE_CONFIG, "a").elsewhere, "role_arn");
	assert_string_equal(find(text, PROFILE_FILE_CONFIG, "b").elsewhere, "sso_session");
	assert_null(find(text, PROFILE_FILE_CONFIG, "c").elsewhere);
	assert_string_equal(find(text, PROFILE_FILE_CONFIG, "c").process, "credential_process");
	assert_null(find(text, PROFILE_FILE_CONFIG, "d").elsewhere);
}

static void names_the_line_that_makes_no_sense_without_showing_it(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[default]\n\nhunter2\n",
			"line 3 is neither [section] nor key = value nor a comment"},
		{"aws_secret_access_key = hunter2", "line 1 stands before the first [section]"},
		{"[hunter2\n", "line 1 begins a section with '[' but has no ']'"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct profile p;
		struct lm_err err = {0};

		assert_int_equal(profile_file_find(lm_str(cases[i].text), PROFILE_FILE_CREDENTIALS,
					 LM_STR("default"), &p, &err),
			LM_E_INVALID);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void an_empty_file_has_no_profile(void **state)
{
	(void)state;
	assert_false(find("", PROFILE_FILE_CREDENTIALS, "default").found);
	assert_false(find("\n \n#x", PROFILE_FILE_CREDENTIALS, "default").found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_keys_of_the_named_profile_only),
		cmocka_unit_test(wants_the_word_profile_in_the_config_file),
		cmocka_unit_test(takes_keys_that_people_write_in_other_ways),
		cmocka_unit_test(knows_keys_that_say_that_credentials_are_elsewhere),
		cmocka_unit_test(names_the_line_that_makes_no_sense_without_showing_it),
		cmocka_unit_test(an_empty_file_has_no_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
