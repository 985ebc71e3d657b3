// SPDX-License-Identifier: Apache-2.0
#include "docker/client_config.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct client_config parse(const char *text)
{
	struct client_config c = {0};
	struct lm_err err = {0};
	if (client_config_parse(lm_str(text), &c, &err) != LM_OK)
		fail_msg("%s", err.msg);
	return c;
}

static void assert_login(const struct client_config *c, size_t i, const char *registry,
	const char *username, const char *password)
{
	assert_in_range(i, 0, c->logins.n - 1);
	assert_string_equal(c->logins.items[i].registry, registry);
	assert_string_equal(c->logins.items[i].username, username);
	assert_string_equal(lm_secret_str(&c->logins.items[i].password).p, password);
}

static void reads_the_logins_in_every_form(void **state)
{
	(void)state;
	// base64 of alice:s3:cret and bob:pw\0\0
	lm_auto_client_config struct client_config c = parse(
		"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YWxpY2U6czM6Y3JldA==\"},"
		"\"r:5000\":{\"auth\":\"Ym9iOnB3AAA=\",\"email\":\"b@x\"},"
		"\"plain.example\":{\"username\":\"carol\",\"password\":\"pw\"},"
		"\"token.example\":{\"auth\":\"eDo=\",\"identitytoken\":\"t0ken\"}},"
		"\"HttpHeaders\":{}}");
	assert_int_equal(c.logins.n, 4);
	assert_login(&c, 0, "https://index.docker.io/v1/", "alice", "s3:cret");
	assert_login(&c, 1, "r:5000", "bob", "pw");
	assert_login(&c, 2, "plain.example", "carol", "pw");
	assert_login(&c, 3, "token.example", REGISTRY_TOKEN_USER, "t0ken");
	assert_int_equal(c.entrusted_n, 0);
	assert_null(client_config_helper_of(&c, "docker.io"));
}

static void knows_which_helper_a_registry_has(void **state)
{
	(void)state;
	lm_auto_client_config struct client_config c = parse(
		"{\"auths\":{\"https://index.docker.io/v1/\":{},\"r:5000\":{\"auth\":\"\"}},"
		"\"credsStore\":\"secretservice\","
		"\"credHelpers\":{\"R:5000\":\"pass\",\"https://index.docker.io/v1/\":\"hub\"}}");
	assert_int_equal(c.logins.n, 0);
	assert_int_equal(c.entrusted_n, 2);
	assert_string_equal(c.entrusted[1], "r:5000");
	assert_string_equal(client_config_helper_of(&c, "r:5000"), "pass");
	assert_string_equal(client_config_helper_of(&c, "docker.io"), "hub");
	assert_string_equal(client_config_helper_of(&c, "other.example"), "secretservice");
}

static void what_it_does_not_know_is_left_alone(void **state)
{
	(void)state;
	static const char *const texts[] = {"{}", "{\"auths\":null,\"credsStore\":\"\"}",
		"{\"auths\":{\"a b\":{\"auth\":\"!\"},\"r\":7},\"credHelpers\":{\"r\":1}}",
		"{\"auths\":[],\"credsStore\":7,\"credHelpers\":\"x\"}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		lm_auto_client_config struct client_config c = parse(texts[i]);
		assert_int_equal(c.logins.n + c.entrusted_n + c.helpers_n, 0);
		assert_null(c.store);
	}
}

static void reports_the_problem_and_nothing_of_the_content(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "not a JSON object (line 1"},
		{"[\"s3cret\"]", "not a JSON object"},
		{"{\"auths\":{\"r\":{\"auth\":\"x\"s3cret}}}", "not a JSON object (line 1"},
		{"{\"auths\":{\"r\":{\"auth\":\"s3cret!\"}}}", "cannot read the login for 'r': "},
		{"{\"auths\":{\"r\":{\"auth\":\"czNjcmV0\"}}}", "the login for 'r'"}, // s3cret
		{"{\"auths\":{\"r\":{\"auth\":\"OnB3\"}}}", "the login for 'r'"},     // :pw
		{"{\"credsStore\":\"../../tmp/x\"}", "'../../tmp/x' is not the name of a"},
		{"{\"credHelpers\":{\"r\":\"a b\"}}", "'a b' is not the name of a"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct client_config c = {0};
		struct lm_err err = {0};
		assert_int_equal(
			client_config_parse(lm_str(cases[i].text), &c, &err), LM_E_INVALID);
		assert_non_null(strstr(err.msg, cases[i].says));
		assert_null(strstr(err.msg, "s3cret"));
		assert_int_equal(c.logins.n, 0);
	}
}

static void refuses_more_logins_than_can_be(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_DOCKER_CONFIG);
	struct client_config c = {0};
	struct lm_err err = {0};
	(void)lm_buf_puts(&text, "{\"auths\":{\"r\":{}");
	for (unsigned i = 0; i < LIMIT_DOCKER_LOGINS; i++)
		(void)lm_buf_printf(&text, ",\"r%u\":{}", i);
	(void)lm_buf_puts(&text, "}}");
	assert_int_equal(client_config_parse(lm_buf_str(&text), &c, &err), LM_E_TOO_LARGE);
}

static void only_logins_and_the_context_are_replaced(void **state)
{
	(void)state;
	static const struct {
		const char *own, *expected;
	} cases[] = {
		{"", "{\"auths\":{}}"},
		{"[]", "{\"auths\":{}}"},
		{"{\"auths\":{\"a.example\":{\"auth\":\"eDp5\"}},\"credsStore\":\"pass\","
		 "\"credHelpers\":{\"b.example\":\"x\"},\"currentContext\":\"far\","
		 "\"proxies\":{\"default\":{\"httpProxy\":\"http://p:1\"}},"
		 "\"cliPluginsExtraDirs\":[\"/opt\"]}",
			"{\"proxies\":{\"default\":{\"httpProxy\":\"http://p:1\"}},"
			"\"cliPluginsExtraDirs\":[\"/opt\"],\"auths\":{}}"},
	};
	const struct registry_list none = {0};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_secret struct lm_secret text = {0};
		struct lm_err err = {0};
		assert_int_equal(
			client_config_with_logins(lm_str(cases[i].own), &none, &text, &err), LM_OK);
		assert_true(lm_str_eq(lm_secret_str(&text), lm_str(cases[i].expected)));
	}
}

static void the_logins_are_those_of_the_task(void **state)
{
	(void)state;
	lm_auto_registry_list struct registry_list logins = {0};
	struct registry_credentials login = {
		.registry = lm_xstrdup("ships.example"), .username = lm_xstrdup("alice")};
	lm_auto_secret struct lm_secret text = {0};
	struct lm_err err = {0};
	lm_secret_set(&login.password, LM_STR("s3cret"));
	registry_list_add(&logins, &login);
	assert_int_equal(client_config_with_logins(
				 LM_STR("{\"auths\":{\"old.example\":{}}}"), &logins, &text, &err),
		LM_OK);
	lm_auto_client_config struct client_config read = {0};
	assert_int_equal(client_config_parse(lm_secret_str(&text), &read, &err), LM_OK);
	assert_int_equal(read.logins.n, 1);
	assert_string_equal(read.logins.items[0].username, "alice");
	assert_int_equal(read.entrusted_n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_logins_in_every_form),
		cmocka_unit_test(knows_which_helper_a_registry_has),
		cmocka_unit_test(what_it_does_not_know_is_left_alone),
		cmocka_unit_test(reports_the_problem_and_nothing_of_the_content),
		cmocka_unit_test(refuses_more_logins_than_can_be),
		cmocka_unit_test(only_logins_and_the_context_are_replaced),
		cmocka_unit_test(the_logins_are_those_of_the_task),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
