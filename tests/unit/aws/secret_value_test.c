// SPDX-License-Identifier: Apache-2.0
#include "aws/secret_value.h"

#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static lm_rc parse(const char *text, struct secret_value *ret, struct lm_err *err)
{
	return secret_value_parse("greengrass-MySecret", lm_str(text), ret, err);
}

static void assert_mary(const char *text)
{
	lm_auto_secret_value struct secret_value v = {0};
	struct lm_err err = {0};

	if (parse(text, &v, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(v.username, "Mary_Major");
	assert_string_equal(v.password.data, "abc123xyz456");
	assert_string_equal(v.registry_url, "https://docker.io");
}

static void reads_one_object(void **state)
{
	(void)state;
	assert_mary("{\"username\":\"Mary_Major\",\"password\":\"abc123xyz456\","
		    "\"registryUrl\":\"https://docker.io\"}");
}

static void reads_an_array_of_objects_in_any_order(void **state)
{
	(void)state;
	// Greengrass V1 developer guide, "Docker application deployment connector": the CLI's
	// example.
	assert_mary("[{\"username\":\"Mary_Major\"},{\"password\":\"abc123xyz456\"},"
		    "{\"registryUrl\":\"https://docker.io\"}]");
	assert_mary("[{\"registryUrl\":\"https://docker.io\",\"note\":7},{},"
		    "{\"password\":\"abc123xyz456\",\"username\":\"Mary_Major\"}]\n");
}

static void keeps_a_password_as_it_is(void **state)
{
	lm_auto_secret_value struct secret_value v = {0};

	(void)state;
	assert_int_equal(parse("{\"username\":\"u\",\"password\":\" \\\\n\\n\\\"\xC3\xBC \","
			       "\"registryUrl\":\"r\"}",
				 &v, NULL),
		LM_OK);
	assert_string_equal(v.password.data, " \\n\n\"\xC3\xBC ");
}

static void says_what_is_wrong_and_never_shows_content(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "is not JSON"},
		{"hunter2", "is not JSON"},
		{"{\"username\":\"u\",\"password\":hunter2}", "is not JSON"},
		{"{\"password\":\"hunter2\"", "is not JSON"},
		{"{\"password\":\"hunter2\xFF\"}", "is not JSON"},
		{"{\"password\":\"hunter2\\u0000\"}", "is not JSON"},
		{"\"hunter2\"", "is a string; it must be an object"},
		{"null", "is null; it must be an object"},
		{"{\"password\":\"hunter2\",\"registryUrl\":\"r\"}", "has no key 'username'"},
		{"{\"username\":\"u\",\"registryUrl\":\"r\"}", "has no key 'password'"},
		{"{\"username\":\"u\",\"password\":\"hunter2\"}", "has no key 'registryUrl'"},
		{"[]", "has no key 'username'"},
		{"{\"username\":\"u\",\"password\":7,\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is a number, not a string"},
		{"{\"username\":\"u\",\"password\":[\"hunter2\"],\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is an array, not a string"},
		{"{\"username\":\"\",\"password\":\"hunter2\",\"registryUrl\":\"r\"}",
			"'username' of secret 'greengrass-MySecret' is empty"},
		{"{\"username\":\"u\",\"password\":\"\",\"registryUrl\":\"r\"}",
			"'password' of secret 'greengrass-MySecret' is empty"},
		{"{\"username\":\"u\",\"password\":\"hunter2\",\"registryUrl\":\"r\\nX: y\"}",
			"'registryUrl' of secret 'greengrass-MySecret' holds a line end"},
		{"{\"password\":\"hunter2\",\"password\":\"hunter2\"}", "has a key twice"},
		{"[{\"password\":\"hunter2\"},{\"password\":\"hunter2\"}]", "has 'password' twice"},
		{"[{\"password\":\"hunter2\"},\"hunter2\"]",
			"item 2 of secret 'greengrass-MySecret' is a string, not an object"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct secret_value v;
		struct lm_err err = {0};

		assert_int_equal(parse(cases[i].text, &v, &err), LM_E_INVALID);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("case %zu: '%s' is not in '%s'", i, cases[i].message, err.msg);
		assert_non_null(strstr(err.msg, "'greengrass-MySecret'"));
		assert_null(strstr(err.msg, "hunter2"));
	}
}

static void refuses_deep_nesting(void **state)
{
	enum { DEPTH = 60000 };
	lm_auto_free char *text = lm_xcalloc(1, DEPTH + 1);
	struct secret_value v;

	(void)state;
	memset(text, '[', DEPTH);
	assert_int_equal(parse(text, &v, NULL), LM_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_one_object),
		cmocka_unit_test(reads_an_array_of_objects_in_any_order),
		cmocka_unit_test(keeps_a_password_as_it_is),
		cmocka_unit_test(says_what_is_wrong_and_never_shows_content),
		cmocka_unit_test(refuses_deep_nesting),
	};

	secret_json_harden();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
