// SPDX-License-Identifier: Apache-2.0
#include "http/url.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_origin(const char *url, const char *origin, const char *host, const char *rest)
{
	lm_auto_url struct url a = {0};
	const char *why = NULL;

	if (!url_parse(lm_str(url), &a, &why))
		fail_msg("'%s' %s", url, why);
	assert_string_equal(a.origin, origin);
	assert_true(lm_str_eq(a.host, lm_str(host)));
	assert_true(lm_str_eq(a.rest, lm_str(rest)));
	assert_int_equal(a.plain_http, strncmp(origin, "http:", 5) == 0);
}

static void leaves_out_the_schemes_own_port(void **state)
{
	(void)state;
	assert_origin("https://host:443", "https://host", "host", "");
	assert_origin("https://host:0443/a", "https://host", "host", "/a");
	assert_origin("https://host:/a?b", "https://host", "host", "/a?b");
	assert_origin("http://host:80", "http://host", "host", "");
	assert_origin("http://host:", "http://host", "host", "");
	assert_origin("https://[::1]:443", "https://[::1]", "::1", "");
	assert_origin("https://[::1]", "https://[::1]", "::1", "");
}

static void keeps_any_other_port_as_a_number(void **state)
{
	(void)state;
	assert_origin("https://host:80", "https://host:80", "host", "");
	assert_origin("http://host:443?x", "http://host:443", "host", "?x");
	assert_origin("http://127.0.0.1:09000/", "http://127.0.0.1:9000", "127.0.0.1", "/");
	assert_origin("https://[FD00:EC2::254]:08443/", "https://[fd00:ec2::254]:8443",
		"fd00:ec2::254", "/");
}

static void writes_scheme_and_host_in_lower_case(void **state)
{
	(void)state;
	assert_origin("HTTPS://S3.EU-West-1.Amazonaws.COM/Base",
		"https://s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "/Base");
	assert_origin("Http://A_b:80", "http://a_b", "a_b", "");
}

static void refuses_what_is_no_address(void **state)
{
	static const char *const wrong[] = {"", "host", "ftp://host", "https://", "https:///x",
		"https://:443", "https://a@b", "https://a:b@c", "https://a b", "https://a%41",
		"https://host:x", "https://host:0", "https://host:000", "https://host:65536",
		"https://host:99999999999999999999", "https://host:4 43", "https://host:-1",
		"https://[::1", "https://[]", "https://[::1]x", "https://[g::1]", "https://a:1:2",
		"https://host\r\nX: y", "https://h\xC3\xB6st"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(wrong); i++) {
		struct url a = {0};
		const char *why = NULL;

		if (url_parse(lm_str(wrong[i]), &a, &why))
			fail_msg("'%s' was taken for %s", wrong[i], a.origin);
		assert_non_null(why);
		assert_null(a.origin);
	}
}

static void refuses_a_host_that_no_name_server_knows(void **state)
{
	char url[400] = "https://";
	struct url a = {0};
	const char *why = NULL;

	(void)state;
	memset(url + 8, 'a', 300);
	assert_false(url_parse(lm_str(url), &a, &why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_out_the_schemes_own_port),
		cmocka_unit_test(keeps_any_other_port_as_a_number),
		cmocka_unit_test(writes_scheme_and_host_in_lower_case),
		cmocka_unit_test(refuses_what_is_no_address),
		cmocka_unit_test(refuses_a_host_that_no_name_server_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
