// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <string.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// A file, parsed.
struct view {
	struct profile_file file;
};

static struct view find(const char *text, enum profile_file_kind kind)
{
	struct view v = {0};
	struct lm_err err = {0};

	if (profile_file_parse(lm_str(text), kind, &v.file, &err) != LM_OK)
		fail_msg("%s", err.msg);
	return v;
}

static void view_finish(struct view *v)
{
	profile_file_finish(&v->file);
}
#define lm_auto_view lm_auto(view_finish)

static void assert_text(struct lm_str s, const char *expected)
{
	if (!lm_str_eq(s, lm_str(expected)))
		fail_msg("'%.*s' is not '%s'", LM_STR_ARG(s), expected);
}

static void assert_key(
	const struct view *v, const char *profile, const char *key, const char *value)
{
	assert_text(profile_file_get(&v->file, lm_str(profile), key), value);
}

static bool has(const struct view *v, const char *profile)
{
	return profile_file_has(&v->file, PROFILE_SECTION_PROFILE, lm_str(profile));
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
	lm_auto_view struct view v = find(text, PROFILE_FILE_CREDENTIALS);

	(void)state;
	assert_true(has(&v, "ship"));
	assert_key(&v, "ship", "aws_access_key_id", "SHIP");
	assert_key(&v, "ship", "aws_secret_access_key", "t/w+o=");
	assert_key(&v, "ship", "aws_session_token", "token==");
	assert_key(&v, "other", "aws_access_key_id", "OTHER");
	assert_key(&v, "other", "aws_secret_access_key", "");
	assert_false(has(&v, "none"));
}

static void wants_the_word_profile_in_the_config_file(void **state)
{
	static const char text[] = "[default]\naws_access_key_id = A\n"
				   "[profile ship]\naws_access_key_id = B\n"
				   "[profile \"two words\"]\naws_access_key_id = C\n"
				   "[sso-session ship]\naws_access_key_id = D\n"
				   "[plain]\naws_access_key_id = E\n";
	lm_auto_view struct view v = find(text, PROFILE_FILE_CONFIG);
	lm_auto_view struct view other = find(text, PROFILE_FILE_CREDENTIALS);

	(void)state;
	assert_key(&v, "default", "aws_access_key_id", "A");
	assert_key(&v, "ship", "aws_access_key_id", "B");
	assert_key(&v, "two words", "aws_access_key_id", "C");
	assert_false(has(&v, "plain"));
	assert_false(has(&other, "two words"));
	assert_true(has(&other, "plain"));
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
	lm_auto_view struct view v = find(text, PROFILE_FILE_CREDENTIALS);

	(void)state;
	assert_key(&v, "default", "aws_access_key_id", "A;B#C");
	assert_key(&v, "default", "aws_secret_access_key", "two");
	assert_key(&v, "default", "aws_session_token", "");
	assert_key(&v, "default", "region", "x");
}

static void reads_what_is_nested_in_a_key_without_a_value(void **state)
{
	static const char text[] = "[profile ship]\n"
				   "services = dev\n"
				   "s3 =\n"
				   "  Addressing_Style = path # old\n"
				   "region = x\n"
				   "  endpoint_url = of no key\n"
				   "[services dev]\n"
				   "s3 =\n"
				   "\tendpoint_url = http://localhost:1\n"
				   "ecr =\n"
				   "  endpoint_url = https://ecr\n"
				   "[services other]\n"
				   "ecr =\n"
				   "  endpoint_url = https://other\n";
	lm_auto_view struct view v = find(text, PROFILE_FILE_CONFIG);
	const struct profile_file *f = &v.file;

	(void)state;
	assert_text(profile_file_get_nested(
			    f, PROFILE_SECTION_PROFILE, LM_STR("ship"), "s3", "addressing_style"),
		"path");
	assert_text(profile_file_get_nested(
			    f, PROFILE_SECTION_PROFILE, LM_STR("ship"), "region", "endpoint_url"),
		"");
	assert_text(profile_file_get_nested(
			    f, PROFILE_SECTION_SERVICES, LM_STR("dev"), "s3", "endpoint_url"),
		"http://localhost:1");
	assert_text(profile_file_get_nested(
			    f, PROFILE_SECTION_SERVICES, LM_STR("dev"), "ecr", "endpoint_url"),
		"https://ecr");
	assert_text(profile_file_get_nested(
			    f, PROFILE_SECTION_SERVICES, LM_STR("ship"), "ecr", "endpoint_url"),
		"");
}

static void a_colon_may_end_a_key(void **state)
{
	lm_auto_view struct view v = find("[default]\n"
					  "aws_access_key_id: A=B:C\n"
					  "endpoint_url = http://localhost:1\n"
					  "region :\n",
		PROFILE_FILE_CREDENTIALS);

	(void)state;
	assert_key(&v, "default", "aws_access_key_id", "A=B:C");
	assert_key(&v, "default", "endpoint_url", "http://localhost:1");
	assert_key(&v, "default", "region", "");
}

static void a_command_goes_on_in_lines_that_are_indented(void **state)
{
	static const char text[] = "[default]\n"
				   "credential_process = sign # 1\r\n"
				   "\n"
				   "  --key a=b\r\n"
				   "\t--more\n"
				   "region = x\n"
				   "output = a\n"
				   "  b\n"
				   "# a comment\n"
				   "  c\n";
	lm_auto_view struct view v = find(text, PROFILE_FILE_CONFIG);

	(void)state;
	assert_text(profile_file_get_whole(&v.file, LM_STR("default"), "credential_process"),
		"sign # 1\r\n\n  --key a=b\r\n\t--more");
	assert_key(&v, "default", "credential_process", "sign");
	assert_key(&v, "default", "region", "x");
	assert_text(profile_file_get_whole(&v.file, LM_STR("default"), "output"), "a\n  b");
}

static void names_the_line_that_makes_no_sense_without_showing_it(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[default]\n\nhunter2\n",
			"line 3 is neither [section] nor key = value nor a comment"},
		{"aws_secret_access_key = hunter2", "line 1 is before the first [section]"},
		{"[hunter2\n", "line 1 begins a section with '[' but has no ']'"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct profile_file f = {0};
		struct lm_err err = {0};

		assert_int_equal(profile_file_parse(
					 lm_str(cases[i].text), PROFILE_FILE_CREDENTIALS, &f, &err),
			LM_E_INVALID);
		assert_null(f.entries);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void an_empty_file_has_no_profile(void **state)
{
	(void)state;
	assert_int_equal(find("", PROFILE_FILE_CREDENTIALS).file.n, 0);
	assert_int_equal(find("\n \n#x", PROFILE_FILE_CREDENTIALS).file.n, 0);
}

/// The words, each in brackets.
static void assert_words(const char *text, const char *expected)
{
	lm_auto_profile_command struct profile_command w = {0};
	lm_auto_buf struct lm_buf shown = LM_BUF(4096);
	const char *why = NULL;

	if (!profile_command_split(lm_str(text), &w, &why))
		fail_msg("'%s' %s", text, why);
	for (size_t i = 0; i < w.n; i++)
		(void)lm_buf_printf(&shown, "[%s]", w.items[i]);
	assert_string_equal(lm_buf_cstr(&shown), expected);
	assert_null(w.items[w.n]);
}

static void splits_as_a_shell_does(void **state)
{
	(void)state;
	assert_words("", "");
	assert_words("  \t\r\n", "");
	assert_words("/usr/bin/x --a  b\t-c\n", "[/usr/bin/x][--a][b][-c]");
	assert_words("x 'a b' \"c d\" e\\ f", "[x][a b][c d][e f]");
	assert_words("x '' \"\"", "[x][][]");
	assert_words("a'b'\"c\"d", "[abcd]");
	assert_words("'a\\b' \"a\\b\" \"a\\\"b\" \"a\\\\b\" a\\\\b a\\b",
		"[a\\b][a\\b][a\"b][a\\b][a\\b][ab]");
}

static void does_nothing_else_that_a_shell_does(void **state)
{
	(void)state;
	assert_words("a;b|c $HOME `id` *.c #x ~ > y", "[a;b|c][$HOME][`id`][*.c][#x][~][>][y]");
}

static void refuses_what_is_not_closed(void **state)
{
	static const struct {
		struct lm_str text;
		const char *why;
	} cases[] = {
		{LM_STR("x 'a"), "has a quote that is not closed"},
		{LM_STR("x \"a"), "has a quote that is not closed"},
		{LM_STR("x \"a\\"), "ends with a backslash"},
		{LM_STR("x \\"), "ends with a backslash"},
		{LM_STR("x \0 y"), "holds a NUL"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct profile_command w = {0};
		const char *why = NULL;

		assert_false(profile_command_split(cases[i].text, &w, &why));
		assert_string_equal(why, cases[i].why);
		assert_null(w.items);
	}
}

static void has_a_ceiling(void **state)
{
	char text[2 * PROFILE_COMMAND_WORDS_MAX + 3];
	struct profile_command w = {0};
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "a ", 2);
	assert_true(profile_command_split(
		(struct lm_str){text, 2 * PROFILE_COMMAND_WORDS_MAX}, &w, &why));
	assert_int_equal(w.n, PROFILE_COMMAND_WORDS_MAX);
	profile_command_finish(&w);
	assert_false(profile_command_split(
		(struct lm_str){text, 2 * PROFILE_COMMAND_WORDS_MAX + 1}, &w, &why));
	assert_string_equal(why, "has too many words");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_keys_of_the_named_profile_only),
		cmocka_unit_test(wants_the_word_profile_in_the_config_file),
		cmocka_unit_test(takes_keys_that_people_write_in_other_ways),
		cmocka_unit_test(reads_what_is_nested_in_a_key_without_a_value),
		cmocka_unit_test(a_colon_may_end_a_key),
		cmocka_unit_test(a_command_goes_on_in_lines_that_are_indented),
		cmocka_unit_test(names_the_line_that_makes_no_sense_without_showing_it),
		cmocka_unit_test(an_empty_file_has_no_profile),
		cmocka_unit_test(splits_as_a_shell_does),
		cmocka_unit_test(does_nothing_else_that_a_shell_does),
		cmocka_unit_test(refuses_what_is_not_closed),
		cmocka_unit_test(has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
