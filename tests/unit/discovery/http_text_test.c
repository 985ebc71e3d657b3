// SPDX-License-Identifier: Apache-2.0
#include "discovery/http_text.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define THING "/greengrass/discover/thing/"
#define HOST "Host: core.local:8443\r\n"

static int status_of(const char *head)
{
	return http_request_parse(lm_str(head)).status;
}

static void finds_the_end_of_the_head(void **state)
{
	(void)state;
	assert_int_equal(http_head_size(LM_STR("")), 0);
	assert_int_equal(http_head_size(LM_STR("GET / HTTP/1.1\r\n")), 0);
	assert_int_equal(http_head_size(LM_STR("GET / HTTP/1.1\r\nA: b\r\n\r")), 0);
	assert_int_equal(http_head_size(LM_STR("GET / HTTP/1.1\r\n\r\nbody")), 18);
}

/// As the AWS IoT Device SDK for Python sends it.
static void takes_the_thing_of_the_path(void **state)
{
	(void)state;
	struct http_request request =
		http_request_parse(LM_STR("GET " THING "MyDockerDevice HTTP/1.1\r\n" HOST "\r\n"));

	assert_int_equal(request.status, 200);
	assert_false(request.no_body);
	assert_null(request.problem);
	assert_string_equal(request.thing, "MyDockerDevice");
}

static void takes_an_encoded_name(void **state)
{
	(void)state;
	struct http_request request =
		http_request_parse(LM_STR("GET " THING "a%3Ab HTTP/1.1\r\n" HOST "\r\n"));

	assert_int_equal(request.status, 200);
	assert_string_equal(request.thing, "a:b");
}

static void takes_old_clients(void **state)
{
	(void)state;
	assert_int_equal(status_of("GET " THING "a HTTP/1.0\r\n\r\n"), 200);
	assert_int_equal(status_of("GET " THING "a HTTP/1.1\r\nhOsT:\r\nX-Y:\t z \r\n\r\n"), 200);
}

static void refuses_what_is_malformed(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\r\n\r\n",
		" \r\n\r\n",
		"GET\r\n\r\n",
		"GET " THING "a\r\n" HOST "\r\n",
		"GET " THING "a HTTP/1.1 \r\n" HOST "\r\n",
		"GET " THING "a  HTTP/1.1\r\n" HOST "\r\n",
		"GET  " THING "a HTTP/1.1\r\n" HOST "\r\n",
		"GET\t" THING "a HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a http/1.1\r\n" HOST "\r\n",
		"GET " THING "a HTTP/1.x\r\n" HOST "\r\n",
		"G(T " THING "a HTTP/1.1\r\n" HOST "\r\n",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" HOST "\r\n",
		// the path
		"GET greengrass HTTP/1.1\r\n" HOST "\r\n",
		"GET https://x" THING "a HTTP/1.1\r\n" HOST "\r\n",
		"GET * HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING " HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a/b HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "../a HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a%2Fb HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a%00 HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a%0 HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a% HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a%zz HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a?b HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n",
		"GET " THING "a\x01 HTTP/1.1\r\n" HOST "\r\n",
		// the fields
		"GET " THING "a HTTP/1.1\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST HOST "\r\n",
		"GET " THING "a HTTP/1.0\r\n" HOST HOST "\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST "A\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST " folded\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST "A : b\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST ": b\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST "A: b\nB: c\r\n\r\n",
		"GET " THING "a HTTP/1.1\r\n" HOST "A: b\rB: c\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct http_request request = http_request_parse(lm_str(bad[i]));

		if (request.status != 400)
			print_message("%s", bad[i]);
		assert_int_equal(request.status, 400);
		assert_non_null(request.problem);
		assert_string_equal(request.thing, "");
	}
}

static void refuses_zero_bytes(void **state)
{
	(void)state;
	static const char in_name[] = "GET " THING "a\0b HTTP/1.1\r\n" HOST "\r\n";
	static const char in_field[] = "GET " THING "a HTTP/1.1\r\n" HOST "A\0: b\r\n\r\n";

	assert_int_equal(
		http_request_parse((struct lm_str){in_name, sizeof(in_name) - 1}).status, 400);
	assert_int_equal(
		http_request_parse((struct lm_str){in_field, sizeof(in_field) - 1}).status, 400);
}

static void names_have_their_ceiling(void **state)
{
	(void)state;
	char name[ARN_THING_NAME_MAX + 2], head[512];

	memset(name, 'a', sizeof(name));
	name[ARN_THING_NAME_MAX] = '\0';
	(void)snprintf(head, sizeof(head), "GET " THING "%s HTTP/1.1\r\n" HOST "\r\n", name);
	assert_string_equal(http_request_parse(lm_str(head)).thing, name);
	name[ARN_THING_NAME_MAX] = 'a';
	name[ARN_THING_NAME_MAX + 1] = '\0';
	(void)snprintf(head, sizeof(head), "GET " THING "%s HTTP/1.1\r\n" HOST "\r\n", name);
	assert_int_equal(status_of(head), 400);
}

static void has_one_resource_and_one_method(void **state)
{
	(void)state;
	assert_int_equal(status_of("GET / HTTP/1.1\r\n" HOST "\r\n"), 404);
	assert_int_equal(status_of("GET /greengrass/discover/thing HTTP/1.1\r\n" HOST "\r\n"), 404);
	assert_int_equal(status_of("POST " THING "a HTTP/1.1\r\n" HOST "\r\n"), 405);
	assert_int_equal(status_of("get " THING "a HTTP/1.1\r\n" HOST "\r\n"), 405);
	assert_int_equal(status_of("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 405);
	struct http_request head =
		http_request_parse(LM_STR("HEAD " THING "a HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(head.status, 405);
	assert_true(head.no_body);
	// What a client of HTTP/2 begins with.
	assert_int_equal(status_of("PRI * HTTP/2.0\r\n\r\n"), 505);
}

/// The two patterns of the AWS IoT Device SDK for Python: "HTTP/1.1 ([0-9]+) " and, with regard to
/// case, "content-length: ([0-9]+)\r\n".
static void spells_the_header_as_the_python_sdk_reads_it(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1024);

	assert_true(http_answer_write(&out, 200, LM_STR("{\"GGGroups\":[]}"), false));
	assert_string_equal(lm_buf_cstr(&out), "HTTP/1.1 200 OK\r\n"
					       "content-type: application/json\r\n"
					       "content-length: 15\r\n"
					       "connection: close\r\n"
					       "\r\n"
					       "{\"GGGroups\":[]}");
}

static void errors_have_their_own_body(void **state)
{
	(void)state;
	static const int all[] = {400, 401, 403, 404, 405, 429, 431, 505};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(1024);
		char first[32];

		assert_true(http_answer_write(&out, all[i], LM_STR("{\"GGGroups\":[]}"), false));
		(void)snprintf(first, sizeof(first), "HTTP/1.1 %d ", all[i]);
		assert_true(lm_str_starts(lm_buf_str(&out), lm_str(first)));
		assert_non_null(strstr(out.data, "\r\n\r\n{\"message\":\""));
		assert_null(strstr(out.data, "GGGroups"));
		assert_int_equal(strstr(out.data, "\r\nallow: GET\r\n") != NULL, all[i] == 405);
		assert_int_equal(strstr(out.data, "\r\nretry-after: ") != NULL, all[i] == 429);
	}
}

static void an_answer_to_head_has_no_body(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1024);

	assert_true(http_answer_write(&out, 405, LM_STR(""), true));
	assert_true(lm_str_ends(lm_buf_str(&out), LM_STR("allow: GET\r\n\r\n")));
}

static void an_answer_has_its_ceiling(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(50);

	assert_false(http_answer_write(&out, 200, LM_STR("{}"), false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end_of_the_head),
		cmocka_unit_test(takes_the_thing_of_the_path),
		cmocka_unit_test(takes_an_encoded_name),
		cmocka_unit_test(takes_old_clients),
		cmocka_unit_test(refuses_what_is_malformed),
		cmocka_unit_test(refuses_zero_bytes),
		cmocka_unit_test(names_have_their_ceiling),
		cmocka_unit_test(has_one_resource_and_one_method),
		cmocka_unit_test(spells_the_header_as_the_python_sdk_reads_it),
		cmocka_unit_test(errors_have_their_own_body),
		cmocka_unit_test(an_answer_to_head_has_no_body),
		cmocka_unit_test(an_answer_has_its_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
