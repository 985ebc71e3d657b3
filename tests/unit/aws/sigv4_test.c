// SPDX-License-Identifier: Apache-2.0
#include "aws/sigv4.h"

#include "base/digest.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// One published example.
struct example {
	const char *method, *host, *path;
	struct http_pair query[2];
	size_t query_n;
	struct http_pair headers[4];
	size_t headers_n;
	const char *body;
	const char *signed_headers, *signature;
};

#define P(name, value)                                                                             \
	{                                                                                          \
		LM_STR(name), LM_STR(value)                                                        \
	}

/// The signature of an example, as the Authorization header has it behind "SignedHeaders=".
static struct lm_str header_of(const struct header_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (lm_str_eq_nocase(lm_str(list->items[i].name), lm_str(name)))
			return lm_secret_str(&list->items[i].value);
	}
	return LM_STR("");
}

static void check(const struct example *x, const char *id, const char *secret, const char *region,
	const char *service, int64_t wall_ms)
{
	lm_auto_credentials struct aws_credentials c = {.access_key_id = lm_xstrdup(id)};
	lm_auto_header_list struct header_list headers = {0};
	char hash[LM_SHA256_HEX + 1], expected[512];

	lm_secret_set(&c.secret, lm_str(secret));
	lm_sha256_hex(lm_str(x->body ? x->body : ""), hash);
	const struct sigv4_request r = {
		.method = x->method,
		.host = lm_str(x->host),
		.path = lm_str(x->path),
		.query = x->query,
		.query_n = x->query_n,
		.headers = x->headers,
		.headers_n = x->headers_n,
		.body_sha256 = hash,
		.region = region,
		.service = service,
		.wall_ms = wall_ms,
	};
	sigv4_sign(&r, &c, &headers);
	struct lm_str date = header_of(&headers, "X-Amz-Date");
	(void)snprintf(expected, sizeof(expected),
		"AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, "
		"Signature=%s",
		id, date.p, region, service, x->signed_headers, x->signature);
	assert_string_equal(header_of(&headers, "Authorization").p, expected);
}

/// Amazon S3 API Reference: "Signature Calculations for the Authorization Header: Transferring
/// Payload in a Single Chunk (AWS Signature Version 4)", its four examples.
/// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
static void signs_the_examples_of_the_s3_reference(void **state)
{
	static const struct example examples[] = {
		{"GET", "examplebucket.s3.amazonaws.com", "/test.txt",
			.headers = {P("Range", "bytes=0-9")}, .headers_n = 1,
			.signed_headers = "host;range;x-amz-content-sha256;x-amz-date",
			.signature =
				"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"PUT", "examplebucket.s3.amazonaws.com", "/test$file.text",
			.headers = {P("Date", "Fri, 24 May 2013 00:00:00 GMT"),
				P("x-amz-storage-class", "REDUCED_REDUNDANCY")},
			.headers_n = 2, .body = "Welcome to Amazon S3.",
			.signed_headers = "date;host;x-amz-content-sha256;x-amz-date;"
					  "x-amz-storage-class",
			.signature =
				"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"GET", "examplebucket.s3.amazonaws.com", "/", .query = {P("lifecycle", "")},
			.query_n = 1, .signed_headers = "host;x-amz-content-sha256;x-amz-date",
			.signature =
				"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"GET", "examplebucket.s3.amazonaws.com", "/",
			.query = {P("prefix", "J"), P("max-keys", "2")}, .query_n = 2,
			.signed_headers = "host;x-amz-content-sha256;x-amz-date",
			.signature =
				"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(examples); i++)
		check(&examples[i], "AKIAIOSFODNN7EXAMPLE",
			"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3",
			1369353600000);
}

/// AWS General Reference: "Signature Version 4 test suite" (aws-sig-v4-test-suite), by the names of
/// its cases.
static void signs_the_cases_of_the_test_suite(void **state)
{
	static const struct example cases[] = {
		// get-vanilla
		{"GET", "example.amazonaws.com", "/", .signed_headers = "host;x-amz-date",
			.signature =
				"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		// post-vanilla
		{"POST", "example.amazonaws.com", "/", .signed_headers = "host;x-amz-date",
			.signature =
				"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		// get-vanilla-query-order-key-case
		{"GET", "example.amazonaws.com", "/",
			.query = {P("Param2", "value2"), P("Param1", "value1")}, .query_n = 2,
			.signed_headers = "host;x-amz-date",
			.signature =
				"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		// normalize-path/get-relative, get-slash, get-slash-dot-slash
		{"GET", "example.amazonaws.com", "/example/..", .signed_headers = "host;x-amz-date",
			.signature =
				"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "example.amazonaws.com", "//", .signed_headers = "host;x-amz-date",
			.signature =
				"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "example.amazonaws.com", "/./", .signed_headers = "host;x-amz-date",
			.signature =
				"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		// normalize-path/get-slashes
		{"GET", "example.amazonaws.com", "//example//", .signed_headers = "host;x-amz-date",
			.signature =
				"9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
		// get-header-key-duplicate
		{"GET", "example.amazonaws.com", "/",
			.headers = {P("My-Header1", "value2"), P("My-Header1", "value2"),
				P("My-Header1", "value1")},
			.headers_n = 3, .signed_headers = "host;my-header1;x-amz-date",
			.signature =
				"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		// get-header-value-order
		{"GET", "example.amazonaws.com", "/",
			.headers = {P("My-Header1", "value4"), P("My-Header1", "value1"),
				P("My-Header1", "value3"), P("My-Header1", "value2")},
			.headers_n = 4, .signed_headers = "host;my-header1;x-amz-date",
			.signature =
				"08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		// get-header-value-trim
		{"GET", "example.amazonaws.com", "/",
			.headers = {P("My-Header1", " value1"), P("My-Header2", " \"a   b   c\"")},
			.headers_n = 2, .signed_headers = "host;my-header1;my-header2;x-amz-date",
			.signature =
				"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		// post-x-www-form-urlencoded
		{"POST", "example.amazonaws.com", "/",
			.headers = {P("Content-Type", "application/x-www-form-urlencoded")},
			.headers_n = 1, .body = "Param1=value1",
			.signed_headers = "content-type;host;x-amz-date",
			.signature =
				"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		check(&cases[i], "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
			"us-east-1", "service", 1440938160000);
}

static struct sigv4_request request_for(const char *service, const char *path)
{
	return (struct sigv4_request){
		.method = "GET",
		.host = LM_STR("h"),
		.path = lm_str(path),
		.body_sha256 = "UNSIGNED-PAYLOAD",
		.region = "r",
		.service = service,
		.wall_ms = 0,
	};
}

static void assert_canonical_path(const char *service, const char *path, const char *expected)
{
	lm_auto_credentials struct aws_credentials c = {.access_key_id = lm_xstrdup("id")};
	struct sigv4_request r = request_for(service, path);
	lm_auto_buf struct lm_buf text = LM_BUF(4096);

	sigv4_canonical_request(&r, &c, &text);
	struct lm_str rest = lm_buf_str(&text);
	(void)lm_str_cut(&rest, '\n');
	struct lm_str line = lm_str_cut(&rest, '\n');
	lm_auto_free char *got = lm_xmemdup0(line.p, line.n);
	assert_string_equal(got, expected);
}

static void encodes_the_path_once_for_s3_and_twice_for_others(void **state)
{
	(void)state;
	assert_canonical_path("s3", "/b/a b+%20=//../\xC3\xBC", "/b/a%20b%2B%2520%3D//../%C3%BC");
	assert_canonical_path("ecr", "/b/a b//../c", "/b/c");
	assert_canonical_path("ecr", "/a b/", "/a%2520b/");
	assert_canonical_path("ecr", "/../..", "/");
}

static void sends_and_signs_the_session_token(void **state)
{
	lm_auto_credentials struct aws_credentials c = {.access_key_id = lm_xstrdup("id")};
	lm_auto_header_list struct header_list headers = {0};
	struct sigv4_request r = request_for("s3", "/");

	(void)state;
	lm_secret_set(&c.secret, LM_STR("secret"));
	lm_secret_set(&c.session_token, LM_STR("token=="));
	sigv4_sign(&r, &c, &headers);
	assert_string_equal(header_of(&headers, "x-amz-security-token").p, "token==");
	assert_string_equal(header_of(&headers, "x-amz-content-sha256").p, "UNSIGNED-PAYLOAD");
	assert_non_null(strstr(header_of(&headers, "authorization").p,
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
}

static void leaves_out_what_proxies_change(void **state)
{
	lm_auto_credentials struct aws_credentials c = {.access_key_id = lm_xstrdup("id")};
	lm_auto_header_list struct header_list headers = {0};
	struct sigv4_request r = request_for("ecr", "/");
	const struct http_pair extra[] = {P("Connection", "close"), P("User-Agent", "x"),
		P("Expect", "100-continue"), P("X-Amz-Target", "T")};

	(void)state;
	r.headers = extra;
	r.headers_n = LM_ARRAY_SIZE(extra);
	lm_secret_set(&c.secret, LM_STR("secret"));
	sigv4_sign(&r, &c, &headers);
	assert_non_null(strstr(header_of(&headers, "authorization").p,
		"SignedHeaders=host;x-amz-date;x-amz-target,"));
	assert_int_equal(header_of(&headers, "x-amz-content-sha256").n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_the_examples_of_the_s3_reference),
		cmocka_unit_test(signs_the_cases_of_the_test_suite),
		cmocka_unit_test(encodes_the_path_once_for_s3_and_twice_for_others),
		cmocka_unit_test(sends_and_signs_the_session_token),
		cmocka_unit_test(leaves_out_what_proxies_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
