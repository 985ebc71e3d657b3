// SPDX-License-Identifier: Apache-2.0
#include "docker/registry_auth.h"

#include "base/encoding.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void finds_host_and_path_however_written(void **state)
{
	(void)state;
	static const struct {
		const char *given, *host, *path;
	} cases[] = {
		{"https://docker.io", "docker.io", ""},
		{"https://index.docker.io/v1/", "docker.io", ""},
		{"registry-1.docker.io", "docker.io", ""},
		{"docker.io/myorg/", "docker.io", "myorg"},
		{"localhost:5000", "localhost:5000", ""},
		{"http://localhost:5000/", "localhost:5000", ""},
		{"HTTPS://Reg.Example.COM/v2/", "reg.example.com", ""},
		{"reg.example.com/team/a", "reg.example.com", "team/a"},
		{" https://reg.example.com \n", "reg.example.com", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(registry_address_finish) struct registry_address a = {0};
		struct lm_err err = {0};
		assert_int_equal(registry_address_parse(lm_str(cases[i].given), &a, &err), LM_OK);
		assert_string_equal(a.host, cases[i].host);
		assert_string_equal(a.path, cases[i].path);
	}
}

static void refuses_what_is_no_registry(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "https://", "ftp://a", "/x", "a b", "user:pw@reg", ":5000"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct registry_address a = {0};
		struct lm_err err = {0};
		assert_int_equal(registry_address_parse(lm_str(bad[i]), &a, &err), LM_E_INVALID);
		assert_null(a.host);
	}
}

static struct registry_credentials make(
	const char *registry, const char *username, const char *password)
{
	struct registry_credentials c = {
		.registry = lm_xstrdup(registry), .username = lm_xstrdup(username)};
	lm_secret_set(&c.password, lm_str(password));
	return c;
}

static void assert_match(
	const struct registry_credentials *list, size_t n, const char *image, const char *username)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	struct lm_err err = {0};
	assert_int_equal(image_ref_parse(lm_str(image), &ref, &err), LM_OK);
	const struct registry_credentials *c = registry_match(list, n, &ref);
	if (!username) {
		assert_null(c);
		return;
	}
	assert_non_null(c);
	assert_string_equal(c->username, username);
}

static void the_most_specific_credentials_match(void **state)
{
	(void)state;
	struct registry_credentials list[] = {
		make("https://reg.example.com/", "whole", "1"),
		make("reg.example.com/team", "team", "2"),
		make("reg.example.com/team/inner", "inner", "3"),
		make("https://docker.io", "hub", "4"),
		make("https://other.example/ui/page", "other", "5"),
		make("https://tls.example:443", "tls", "6"),
	};
	size_t n = LM_ARRAY_SIZE(list);
	assert_match(list, n, "reg.example.com/app", "whole");
	assert_match(list, n, "reg.example.com/team/app:1", "team");
	assert_match(list, n, "reg.example.com/team", "team");
	assert_match(list, n, "reg.example.com/team/inner/app", "inner");
	assert_match(list, n, "reg.example.com/teammate/app", "whole");
	assert_match(list, n, "nginx", "hub");
	assert_match(list, n, "docker.io/org/app", "hub");
	assert_match(list, n, "registry-1.docker.io/org/app", "hub");
	// A path that fits nothing still names the registry.
	assert_match(list, n, "other.example/app", "other");
	assert_match(list, n, "tls.example/app", "tls");
	assert_match(list, n, "localhost:5000/app", NULL);
	assert_match(list, n, "reg.example.com:5000/app", NULL);
	for (size_t i = 0; i < n; i++)
		registry_credentials_finish(&list[i]);
}

static void every_name_of_docker_hub_is_docker_hub(void **state)
{
	(void)state;
	static const char *const names[] = {"docker.io", "https://docker.io", "http://docker.io/",
		"https://index.docker.io/v1/", "index.docker.io", "https://index.docker.io/v2/",
		"registry-1.docker.io", "https://registry-1.docker.io/v2/", "Docker.IO",
		"https://hub.docker.com", "https://hub.docker.com/", "registry.hub.docker.com"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		struct registry_credentials c = make(names[i], "hub", "1");
		lm_auto_free char *address = NULL;
		assert_match(&c, 1, "nginx", "hub");
		assert_match(&c, 1, "org/app:2", "hub");
		assert_match(&c, 1, "docker.io/org/app", "hub");
		assert_match(&c, 1, "index.docker.io/org/app", "hub");
		assert_match(&c, 1, "quay.io/org/app", NULL);
		assert_match(&c, 1, "localhost/app", NULL);
		assert_int_equal(registry_server_address(&c, &address, NULL), LM_OK);
		assert_string_equal(address, "https://index.docker.io/v1/");
		registry_credentials_finish(&c);
	}
}

static void an_identity_token_is_no_password(void **state)
{
	(void)state;
	struct registry_credentials c = make("r:5000", REGISTRY_TOKEN_USER, "t\"ken");
	lm_auto_secret struct lm_secret json = {0}, config = {0};
	assert_int_equal(registry_auth_json(&c, &json, NULL), LM_OK);
	assert_string_equal(
		json.data, "{\"identitytoken\":\"t\\\"ken\",\"serveraddress\":\"r:5000\"}");
	assert_int_equal(registry_config_json(&c, 1, &config, NULL), LM_OK);
	assert_string_equal(
		config.data, "{\"auths\":{\"r:5000\":{\"identitytoken\":\"t\\\"ken\"}}}");
	registry_credentials_finish(&c);
}

static void writes_the_auth_document(void **state)
{
	(void)state;
	struct registry_credentials c = make("docker.io", "al\"ice", "p\\w\n\x01\xc3\xbc");
	lm_auto_secret struct lm_secret json = {0};
	lm_auto_secret struct lm_secret header = {0};
	struct lm_err err = {0};
	const char *expected =
		"{\"username\":\"al\\\"ice\",\"password\":\"p\\\\w\\u000a\\u0001\xc3\xbc\","
		"\"serveraddress\":\"https://index.docker.io/v1/\"}";
	assert_int_equal(registry_auth_json(&c, &json, &err), LM_OK);
	assert_string_equal(json.data, expected);
	assert_int_equal(registry_auth_header(&c, &header, &err), LM_OK);
	assert_null(strpbrk(header.data, "+/\n"));
	lm_auto_buf struct lm_buf decoded = LM_BUF(4096);
	assert_true(lm_base64_decode(&decoded, lm_secret_str(&header)));
	assert_string_equal(lm_buf_cstr(&decoded), expected);
	registry_credentials_finish(&c);
}

static void writes_one_entry_a_host_into_config_json(void **state)
{
	(void)state;
	struct registry_credentials list[] = {
		make("reg.example.com/team", "team", "2"),
		make("https://reg.example.com/", "whole", "1"),
		make("https://index.docker.io/v1/", "hub", "h"),
		make("docker.io", "later", "l"),
	};
	lm_auto_secret struct lm_secret json = {0};
	struct lm_err err = {0};
	assert_int_equal(registry_config_json(list, LM_ARRAY_SIZE(list), &json, &err), LM_OK);
	// base64 of whole:1 and hub:h
	assert_string_equal(json.data,
		"{\"auths\":{\"reg.example.com\":{\"auth\":\"d2hvbGU6MQ==\"},"
		"\"https://index.docker.io/v1/\":{\"auth\":\"aHViOmg=\"}}}");
	for (size_t i = 0; i < LM_ARRAY_SIZE(list); i++)
		registry_credentials_finish(&list[i]);
	lm_auto_secret struct lm_secret empty = {0};
	assert_int_equal(registry_config_json(NULL, 0, &empty, &err), LM_OK);
	assert_string_equal(empty.data, "{\"auths\":{}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_host_and_path_however_written),
		cmocka_unit_test(refuses_what_is_no_registry),
		cmocka_unit_test(the_most_specific_credentials_match),
		cmocka_unit_test(every_name_of_docker_hub_is_docker_hub),
		cmocka_unit_test(an_identity_token_is_no_password),
		cmocka_unit_test(writes_the_auth_document),
		cmocka_unit_test(writes_one_entry_a_host_into_config_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
