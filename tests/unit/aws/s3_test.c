// SPDX-License-Identifier: Apache-2.0
#include "aws/s3.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "loopback.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// A server, a request to it, and what came of it.
struct exchange {
	struct loopback *server;
	lm_rc rc;
	struct s3_result result;
	struct lm_err err;
};

static struct s3_request usual_request(void)
{
	return (struct s3_request){
		.bucket = "apps",
		.key = "dir/a b.yml",
		.region = "eu-west-1",
		.size_max = 1000,
		.limits = {.attempts = 2, .backoff_base_ms = 1, .backoff_max_ms = 2},
	};
}

static void fetch_with(
	struct exchange *x, const struct s3_request *r, struct credentials_provider *p)
{
	lm_auto(https_destroy_p) struct https *h = NULL;
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = -1};

	assert_int_equal(https_create(NULL, &h, NULL), LM_OK);
	x->rc = s3_get_object(h, r, p, &limit, &x->result, &x->err);
}

static void fetch(struct exchange *x, const struct s3_request *r)
{
	lm_auto_credentials struct aws_credentials c = {
		.access_key_id = lm_xstrdup("AKIDEXAMPLE"),
		.source = "the environment",
	};
	lm_secret_set(&c.secret, LM_STR("hunter2"));
	lm_auto(credentials_provider_destroy_p) struct credentials_provider *p =
		credentials_provider_of(&c);
	fetch_with(x, r, p);
	if (x->server)
		loopback_stop(x->server);
	assert_null(strstr(x->err.msg, "hunter2"));
}

static void run_request(struct exchange *x, const struct loopback_answer *answers, unsigned n,
	const struct s3_request *r)
{
	*x = (struct exchange){.server = loopback_start(answers, n)};
	(void)setenv("AWS_ENDPOINT_URL_S3", loopback_origin(x->server), 1);
	fetch(x, r);
}

static void run(struct exchange *x, const struct loopback_answer *answers, unsigned n)
{
	const struct s3_request r = usual_request();

	run_request(x, answers, n, &r);
}

static void finish(struct exchange *x)
{
	loopback_destroy(x->server);
	s3_result_finish(&x->result);
}

static void assert_asked(const struct exchange *x, unsigned i, const char *what)
{
	const char *request = loopback_request(x->server, i);

	if (!strstr(request, what))
		fail_msg("request %u has no '%s': %s", i, what, request);
}

#define OBJECT(headers) "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" headers "\r\nhello"
#define ERROR(status, headers, xml)                                                                \
	"HTTP/1.0 " status "\r\n" headers "\r\n<?xml version=\"1.0\"?>\n<Error>" xml "</Error>"

#define CONTAINER(id)                                                                              \
	"HTTP/1.0 200 OK\r\n\r\n{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s\","            \
	"\"Token\":\"t\"}"
#define OVER ERROR("400 Bad Request", "", "<Code>ExpiredToken</Code><Message>over</Message>")

/// Fetches with credentials of a container endpoint.
static void run_with_container(struct exchange *x, const struct loopback_answer *answers,
	unsigned n, const struct loopback_answer *container, unsigned container_n)
{
	struct loopback *endpoint = loopback_start(container, container_n);
	const struct credentials_settings settings = {.attempts = 1};
	const struct s3_request r = usual_request();
	struct credentials_provider *p = NULL;

	*x = (struct exchange){.server = loopback_start(answers, n)};
	(void)setenv("AWS_ENDPOINT_URL_S3", loopback_origin(x->server), 1);
	(void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", loopback_origin(endpoint), 1);
	(void)setenv("HOME", "/nonexistent", 1);
	assert_int_equal(credentials_provider_create(&settings, &WAIT_FOREVER, &p, NULL), LM_OK);
	fetch_with(x, &r, p);
	loopback_stop(x->server);
	loopback_destroy(endpoint);
	credentials_provider_destroy(p);
}

static void signs_again_with_other_credentials_once_they_are_over(void **state)
{
	const struct loopback_answer answers[] = {{OVER}, {OBJECT("")}};
	const struct loopback_answer container[] = {{CONTAINER("FIRST")}, {CONTAINER("SECOND")}};
	struct exchange x;

	(void)state;
	run_with_container(&x, answers, 2, container, 2);
	assert_int_equal(x.rc, LM_OK);
	assert_asked(&x, 0, "Credential=FIRST/");
	assert_asked(&x, 1, "Credential=SECOND/");
	finish(&x);
}

static void gives_up_if_other_credentials_are_over_too(void **state)
{
	const struct loopback_answer answers[] = {{OVER}};
	const struct loopback_answer container[] = {{CONTAINER("FIRST")}, {CONTAINER("SECOND")}};
	struct exchange x;

	(void)state;
	run_with_container(&x, answers, 1, container, 2);
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_non_null(strstr(x.err.msg, "the temporary credentials from the container endpoint "
					  "have expired (ExpiredToken"));
	assert_int_equal(loopback_count(x.server), 2);
	finish(&x);
}

static void fails_with_the_reason_if_there_are_no_other_credentials(void **state)
{
	const struct loopback_answer answers[] = {{OVER}};
	const struct loopback_answer container[] = {
		{CONTAINER("FIRST")}, {"HTTP/1.0 403 F\r\n\r\n{\"message\":\"no more\"}"}};
	struct exchange x;

	(void)state;
	run_with_container(&x, answers, 1, container, 2);
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_non_null(strstr(x.err.msg, "HTTP 403: no more"));
	assert_int_equal(loopback_count(x.server), 1);
	finish(&x);
}

static void fetches_an_object_and_its_version(void **state)
{
	const struct loopback_answer answers[] = {
		{OBJECT("x-amz-version-id: 3sL4kqtJlcpXroDTDmJ\r\n")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_OK);
	assert_string_equal(lm_buf_cstr(&x.result.object.text), "hello");
	assert_string_equal(x.result.object.version, "3sL4kqtJlcpXroDTDmJ");
	assert_int_equal(x.result.clock_offset_ms, 0);
	assert_asked(&x, 0, "GET /apps/dir/a%20b.yml HTTP/1.1\r\n");
	assert_asked(&x, 0,
		"/eu-west-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;"
		"x-amz-date, Signature=");
	finish(&x);
}

#define CHECKSUM "x-amz-checksum-sha256: LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n"
#define DAMAGED "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" CHECKSUM "\r\nhallo"
#define TRUNCATED "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"

static void fetches_again_what_arrived_damaged_or_truncated(void **state)
{
	const struct loopback_answer answers[][2] = {
		{{DAMAGED}, {OBJECT(CHECKSUM)}}, {{TRUNCATED}, {OBJECT("")}}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(answers); i++) {
		struct exchange x;

		run(&x, answers[i], 2);
		assert_int_equal(x.rc, LM_OK);
		assert_string_equal(lm_buf_cstr(&x.result.object.text), "hello");
		assert_int_equal(loopback_count(x.server), 2);
		assert_asked(&x, 0, "x-amz-checksum-mode: ENABLED\r\n");
		finish(&x);
	}
}

static void what_arrives_damaged_every_time_is_a_failure_of_the_network(void **state)
{
	const struct loopback_answer damaged[] = {{DAMAGED}}, truncated[] = {{TRUNCATED}};
	struct exchange x;

	(void)state;
	run(&x, damaged, 1);
	assert_int_equal(x.rc, LM_E_NETWORK);
	assert_string_equal(x.err.msg,
		"after 2 attempts: object 'dir/a b.yml' of bucket 'apps' arrived damaged: its "
		"SHA256 is d3751d33f9cd5049c4af2b462735457e4d3baf130bcbb87f389e349fbaeb20b9, but "
		"the store's is "
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	finish(&x);
	run(&x, truncated, 1);
	assert_int_equal(x.rc, LM_E_NETWORK);
	assert_int_equal(x.result.object.text.len, 0);
	finish(&x);
}

static void a_compressed_object_is_compared_as_it_is_stored(void **state)
{
	static const char gzipped[] =
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n"
		"ETag: "
		"\"72d44bf130f666bedb0dda4ab494757b\"\r\n\r\n\037\213\010\000\000\000\000\000\002"
		"\003\313\110\315\311\311\007\000\206\246\020\066\005\000\000\000";
	const struct loopback_answer answers[] = {{gzipped, sizeof(gzipped) - 1, false, false}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_OK);
	assert_string_equal(lm_buf_cstr(&x.result.object.text), "hello");
	finish(&x);
}

static void knows_no_version_if_the_store_names_none(void **state)
{
	const struct loopback_answer answers[] = {{OBJECT("")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_OK);
	assert_null(x.result.object.version);
	finish(&x);
}

static void asks_for_a_version_and_keeps_the_name_null(void **state)
{
	const struct loopback_answer answers[] = {{OBJECT("x-amz-version-id: null\r\n")}};
	struct s3_request r = usual_request();
	struct exchange x;

	(void)state;
	r.version = "a+b/c=";
	run_request(&x, answers, 1, &r);
	assert_string_equal(x.result.object.version, "null");
	assert_asked(&x, 0, "?versionId=a%2Bb%2Fc%3D HTTP/1.1\r\n");
	finish(&x);
}

static void puts_the_bucket_into_the_host_in_virtual_host_style(void **state)
{
	const struct loopback_answer answers[] = {{OBJECT("")}};
	struct loopback *l = loopback_start(answers, 1);
	struct exchange x = {.server = l};
	struct s3_request r = usual_request();
	const char *port = strrchr(loopback_origin(l), ':');
	lm_auto_free char *url = lm_xasprintf("http://s3.localhost%s/base", port);
	lm_auto_free char *host = lm_xasprintf("\r\nHost: apps.s3.localhost%s\r\n", port);

	(void)state;
	(void)setenv("AWS_ENDPOINT_URL_S3", url, 1);
	r.style = S3_STYLE_VIRTUAL_HOST;
	fetch(&x, &r);
	assert_int_equal(x.rc, LM_OK);
	assert_asked(&x, 0, "GET /base/dir/a%20b.yml HTTP/1.1\r\n");
	assert_asked(&x, 0, host);
	finish(&x);
}

static void keeps_to_path_style_where_a_bucket_does_not_fit_a_host(void **state)
{
	static const char *const buckets[] = {"with.dot", "Capital", "-dash", "dash-"};
	const struct loopback_answer answers[] = {{OBJECT("")}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(buckets); i++) {
		struct s3_request r = usual_request();
		lm_auto_free char *line = lm_xasprintf("GET /%s/dir/", buckets[i]);
		struct exchange x;

		r.bucket = buckets[i];
		r.style = S3_STYLE_VIRTUAL_HOST;
		run_request(&x, answers, 1, &r);
		assert_int_equal(x.rc, LM_OK);
		assert_asked(&x, 0, line);
		finish(&x);
	}
}

/// The host that AWS's own endpoint would be asked at, as the proxy sees it.
static void assert_connects_to(const char *bucket, const char *region, const char *expected)
{
	const struct loopback_answer answers[] = {{"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"}};
	struct exchange x = {.server = loopback_start(answers, 1)};
	struct s3_request r = usual_request();
	lm_auto_free char *line = lm_xasprintf("CONNECT %s:443 HTTP/1.1\r\n", expected);

	(void)unsetenv("AWS_ENDPOINT_URL_S3");
	(void)setenv("https_proxy", loopback_origin(x.server), 1);
	r.bucket = bucket;
	r.region = region;
	fetch(&x, &r);
	(void)unsetenv("https_proxy");
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_asked(&x, 0, line);
	finish(&x);
}

static void finds_aws_by_bucket_region_and_partition(void **state)
{
	(void)state;
	assert_connects_to("apps", "eu-west-1", "apps.s3.eu-west-1.amazonaws.com");
	assert_connects_to("apps", "cn-north-1", "apps.s3.cn-north-1.amazonaws.com.cn");
	assert_connects_to("my.apps", "eu-west-1", "s3.eu-west-1.amazonaws.com");
	assert_connects_to("Apps", "eu-west-1", "s3.eu-west-1.amazonaws.com");
}

static void assert_corrected_to_us_west_2(
	const struct loopback_answer *answers, unsigned n, unsigned corrected)
{
	struct exchange x;

	run(&x, answers, n);
	assert_int_equal(x.rc, LM_OK);
	assert_string_equal(x.result.region, "us-west-2");
	assert_asked(&x, 0, "/eu-west-1/s3/aws4_request");
	assert_asked(&x, corrected, "GET /apps/dir/a%20b.yml");
	assert_asked(&x, corrected, "/us-west-2/s3/aws4_request");
	assert_int_equal(loopback_count(x.server), corrected + 1);
	finish(&x);
}

static void signs_again_for_the_region_in_the_header(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("301 Moved", "x-amz-bucket-region: us-west-2\r\n",
			"<Code>PermanentRedirect</Code>")},
		{OBJECT("")}};

	(void)state;
	assert_corrected_to_us_west_2(answers, 2, 1);
}

static void signs_again_for_the_region_in_the_document(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("400 Bad Request", "",
			"<Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region>")},
		{OBJECT("")}};

	(void)state;
	assert_corrected_to_us_west_2(answers, 2, 1);
}

static void signs_again_where_another_region_cannot_serve_the_bucket(void **state)
{
	const struct loopback_answer answers[] = {{ERROR("400 Bad Request", "",
							  "<Code>IllegalLocationConstraintException"
							  "</Code>")},
		{"HTTP/1.1 403 Forbidden\r\nx-amz-bucket-region: us-west-2\r\n\r\n"}, {OBJECT("")}};

	(void)state;
	assert_corrected_to_us_west_2(answers, 3, 2);
}

static void asks_the_bucket_where_it_is(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("307 Temporary Redirect", "Location: http://evil.example/\r\n",
			"<Code>TemporaryRedirect</Code>")},
		{"HTTP/1.1 403 Forbidden\r\nx-amz-bucket-region: us-west-2\r\n\r\n"}, {OBJECT("")}};
	struct exchange x;

	(void)state;
	assert_corrected_to_us_west_2(answers, 3, 2);
	run(&x, answers, 3);
	assert_asked(&x, 1, "HEAD /apps HTTP/1.1\r\n");
	finish(&x);
}

static void corrects_the_region_once_only(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("301 Moved", "x-amz-bucket-region: us-west-2\r\n",
			"<Code>PermanentRedirect</Code>")},
		{ERROR("301 Moved", "x-amz-bucket-region: us-west-1\r\n",
			"<Code>PermanentRedirect</Code><Message>elsewhere</Message>")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 2);
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_int_equal(loopback_count(x.server), 2);
	assert_non_null(strstr(x.err.msg, "(S3: elsewhere)"));
	finish(&x);
}

static void believes_no_region_that_cannot_be_one(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("301 Moved", "x-amz-bucket-region: evil.example/\r\n",
			"<Code>PermanentRedirect</Code><Region>a.b</Region>")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_int_equal(loopback_count(x.server), 1);
	finish(&x);
}

static void says_so_when_nobody_knows_the_region(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("301 Moved", "", "<Code>PermanentRedirect</Code>")},
		{"HTTP/1.1 301 Moved\r\n\r\n"}};
	struct exchange x;

	(void)state;
	run(&x, answers, 2);
	assert_int_equal(x.rc, LM_E_REFUSED);
	assert_string_equal(x.err.msg,
		"bucket 'apps' is not in region eu-west-1, and S3 does not report the "
		"right one; set 'region' in the host file to the bucket's");
	finish(&x);
}

static void signs_again_with_the_servers_time(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("403 Forbidden", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
			"<Code>RequestTimeTooSkewed</Code>")},
		{OBJECT("")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 2);
	assert_int_equal(x.rc, LM_OK);
	assert_asked(&x, 1, "X-Amz-Date: 20130524T0000");
	assert_true(x.result.clock_offset_ms < -86400000);
	finish(&x);
}

static void says_both_times_when_that_does_not_help(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("403 Forbidden", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
			"<Code>RequestTimeTooSkewed</Code>"
			"<ServerTime>2013-05-24T00:00:00Z</ServerTime>")}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_E_DENIED);
	assert_int_equal(loopback_count(x.server), 2);
	assert_non_null(strstr(x.err.msg, "was signed at 2013-05-24T00:00:0"));
	assert_non_null(strstr(x.err.msg, "the server's time is 2013-05-24T00:00:00Z"));
	finish(&x);
}

static void words_what_s3_refuses(void **state)
{
	static const struct {
		const char *answer, *version;
		lm_rc rc;
		const char *message;
	} cases[] = {
		{ERROR("404 Not Found", "", "<Code>NoSuchKey</Code>"), NULL, LM_E_NOT_FOUND,
			"bucket 'apps' has no object 'dir/a b.yml'"},
		{ERROR("404 Not Found", "", "<Code>NoSuchKey</Code>"), "v1", LM_E_NOT_FOUND,
			"bucket 'apps' has no object 'dir/a b.yml' of version 'v1'"},
		{ERROR("404 Not Found", "", "<Code>NoSuchVersion</Code>"), "v1", LM_E_NOT_FOUND,
			"bucket 'apps' has no object 'dir/a b.yml' of version 'v1'"},
		{ERROR("404 Not Found", "", "<Code>NoSuchBucket</Code>"), NULL, LM_E_NOT_FOUND,
			"there is no bucket 'apps' at 127.0.0.1:"},
		{ERROR("400 Bad Request", "",
			 "<Code>InvalidArgument</Code><Message>Invalid version id "
			 "specified</Message>"),
			"v1", LM_E_NOT_FOUND,
			"of version 'v1': S3 does not accept this version ID "
			"(S3: Invalid version id specified)"},
		{ERROR("404 Not Found", "x-amz-delete-marker: true\r\n", "<Code>NoSuchKey</Code>"),
			NULL, LM_E_NOT_FOUND,
			"bucket 'apps' has no object 'dir/a b.yml' any more: it was "
			"deleted"},
		{ERROR("405 Method Not Allowed", "x-amz-delete-marker: true\r\n",
			 "<Code>MethodNotAllowed</Code>"),
			"v1", LM_E_NOT_FOUND,
			"version 'v1' of object 'dir/a b.yml' in bucket 'apps' is "
			"a delete marker"},
		{ERROR("403 Forbidden", "", "<Code>AccessDenied</Code>"), NULL, LM_E_DENIED,
			"the role needs s3:GetObject on arn:aws:s3:::apps/dir/a b.yml"},
		{ERROR("403 Forbidden", "", "<Code>AccessDenied</Code>"), "v1", LM_E_DENIED,
			"the role needs s3:GetObjectVersion on arn:aws:s3:::apps/dir/a b.yml"},
		{ERROR("403 Forbidden", "", "<Code>SignatureDoesNotMatch</Code>"), NULL,
			LM_E_DENIED,
			"the secret access key from the environment does not belong to access key "
			"AKIDEXAMPLE"},
		{ERROR("403 Forbidden", "", "<Code>InvalidAccessKeyId</Code>"), NULL, LM_E_DENIED,
			"S3 does not recognize access key AKIDEXAMPLE from the environment"},
		{ERROR("400 Bad Request", "", "<Code>ExpiredToken</Code>"), NULL, LM_E_DENIED,
			"the temporary credentials from the environment have expired"},
		{ERROR("400 Bad Request", "", "<Code>InvalidToken</Code>"), NULL, LM_E_DENIED,
			"S3 does not accept the session token from the environment"},
		{ERROR("403 Forbidden", "", "<Code>RequestTimeTooSkewed</Code>"), NULL, LM_E_DENIED,
			"the clocks are too far apart"},
		{ERROR("403 Forbidden", "", "<Code>InvalidObjectState</Code>"), NULL, LM_E_DENIED,
			"is archived"},
		{ERROR("503 Slow Down", "",
			 "<Code>SlowDown</Code><Message>Please reduce your request "
			 "rate.</Message>"),
			NULL, LM_E_REFUSED,
			"S3 refuses object 'dir/a b.yml' of bucket 'apps': SlowDown (HTTP 503, "
			"after 2 attempts) (S3: Please reduce your request rate)"},
		{ERROR("409 Conflict", "", "<Code>OddCode</Code><Message></Message>"), NULL,
			LM_E_DENIED, "of bucket 'apps': OddCode (HTTP 409, after 1 attempt)"},
		{ERROR("403 Forbidden", "",
			 "<Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/x/y "
			 "is "
			 "not authorized to perform: kms:Decrypt on resource: arn:aws:kms:k "
			 "because no "
			 "identity-based policy allows the kms:Decrypt action</Message>"),
			NULL, LM_E_DENIED,
			"cannot be decrypted: the role needs kms:Decrypt on the object's KMS key "
			"(S3: User: arn:aws:sts::1:assumed-role/x/y is not authorized"},
		{ERROR("403 Forbidden", "",
			 "<Code>AccessDenied</Code><Message>User: u is not authorized to perform: "
			 "s3:GetObject on resource: r with an explicit deny in a resource-based "
			 "policy</Message>"),
			NULL, LM_E_DENIED,
			"is denied: a policy forbids it by an explicit deny, which no other policy "
			"can outweigh (S3: User: u is not"},
		{ERROR("403 Forbidden", "",
			 "<Code>AccessDenied</Code><Message>User: u is not authorized to perform: "
			 "s3:GetObject on resource: r</Message>"),
			NULL, LM_E_DENIED, "may not list the bucket) (S3: User: u is not"},
		{ERROR("400 Bad Request", "",
			 "<Code>KeyTooLongError</Code><Message>Your key is too long"
			 "</Message>"),
			NULL, LM_E_DENIED,
			"KeyTooLongError (HTTP 400, after 1 attempt) (S3: Your key is too "
			"long)"},
		{"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", NULL, LM_E_REFUSED,
			"answers HTTP 502 for object 'dir/a b.yml' of bucket 'apps', after 2 "
			"attempts"},
		{"HTTP/1.0 404 Not Found\r\n\r\n<html>no</html>", NULL, LM_E_PROTOCOL,
			"answers HTTP 404, and not as S3 does; check that AWS_ENDPOINT_URL names "
			"an S3 "
			"server"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const struct loopback_answer answers[] = {{cases[i].answer}};
		struct s3_request r = usual_request();
		struct exchange x;

		r.version = cases[i].version;
		run_request(&x, answers, 1, &r);
		assert_int_equal(x.rc, cases[i].rc);
		if (!strstr(x.err.msg, cases[i].message))
			fail_msg("case %zu: '%s' is not in '%s'", i, cases[i].message, x.err.msg);
		finish(&x);
	}
}

static void names_the_partition_in_the_arn(void **state)
{
	const struct loopback_answer answers[] = {
		{ERROR("403 Forbidden", "", "<Code>AccessDenied</Code>")}};
	struct s3_request r = usual_request();
	struct exchange x;

	(void)state;
	r.region = "cn-north-1";
	run_request(&x, answers, 1, &r);
	assert_non_null(strstr(x.err.msg, "arn:aws-cn:s3:::apps/"));
	finish(&x);
}

static void refuses_an_object_over_the_ceiling(void **state)
{
	char *text = lm_xasprintf("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n%01001d", 0);
	const struct loopback_answer answers[] = {{text}};
	struct exchange x;

	(void)state;
	run(&x, answers, 1);
	assert_int_equal(x.rc, LM_E_TOO_LARGE);
	assert_string_equal(
		x.err.msg, "object 'dir/a b.yml' of bucket 'apps' is larger than 1000 bytes");
	finish(&x);
	free(text);
}

static void refuses_names_that_cannot_be(void **state)
{
	static const struct {
		const char *bucket, *key, *region;
	} cases[] = {{"a/b", "k", "eu-west-1"}, {"", "k", "eu-west-1"},
		{"a@evil", "k", "eu-west-1"}, {"apps", "", "eu-west-1"},
		{"apps", "k", "evil.example/"}};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct s3_request r = usual_request();
		struct exchange x = {0};

		r.bucket = cases[i].bucket;
		r.key = cases[i].key;
		r.region = cases[i].region;
		fetch(&x, &r);
		assert_int_equal(x.rc, LM_E_INVALID);
		finish(&x);
	}
}

static struct s3_error parse(const char *xml)
{
	struct s3_error e;
	// A copy of exactly that size, so that a sanitizer sees a read behind its end.
	size_t n = strlen(xml);
	char *copy = lm_xmalloc(n + !n);

	memcpy(copy, xml, n);
	s3_error_parse((struct lm_str){copy, n}, &e);
	free(copy);
	return e;
}

static void reads_an_error_as_s3_sends_it(void **state)
{
	struct s3_error e = parse(
		"<?xml version=\"1.0\" "
		"encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed"
		"</Code><Message>The authorization header is malformed; the region 'us-east-1' is "
		"wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region><RequestId>1"
		"</RequestId><HostId>x</HostId></Error>");

	(void)state;
	assert_string_equal(e.code, "AuthorizationHeaderMalformed");
	assert_string_equal(e.region, "eu-west-1");
	assert_string_equal(e.message, "The authorization header is malformed; the region "
				       "'us-east-1' is wrong; expecting 'eu-west-1'");
}

static void reads_both_times_of_a_skewed_request(void **state)
{
	struct s3_error e = parse("<Error><Code>RequestTimeTooSkewed</Code><RequestTime>"
				  "20130524T000000Z</RequestTime><ServerTime>2013-05-24T02:00:00Z"
				  "</ServerTime><MaxAllowedSkewMilliseconds>900000"
				  "</MaxAllowedSkewMilliseconds></Error>");

	(void)state;
	assert_string_equal(e.request_time, "20130524T000000Z");
	assert_string_equal(e.server_time, "2013-05-24T02:00:00Z");
}

static void decodes_entities(void **state)
{
	struct s3_error e = parse("<Error><Message>&lt;a&gt; &amp;amp; &quot;b&apos; &#65;&#x42; "
				  "&#xFC; &#x1F6A2; &nope; &#0; &#xD800; &#x110000; & &;</Message>"
				  "</Error>");

	(void)state;
	assert_string_equal(e.message,
		"<a> &amp; \"b' AB \xC3\xBC \xF0\x9F\x9A\xA2 &nope; &#0; &#xD800; &#x110000; & &;");
}

static void skips_comments_attributes_and_byte_order_mark(void **state)
{
	struct s3_error e =
		parse("\xEF\xBB\xBF <?x <Code>no</Code>?><!-- <Error><Code>no</Code> -->"
		      "<!DOCTYPE Error><Error xmlns='a>b' y=\"</Error>\"><!-- <Code>no"
		      "</Code> --><Empty/><Code a='1'> NoSuchKey </Code></Error>");

	(void)state;
	assert_string_equal(e.code, "NoSuchKey");
}

static void takes_only_direct_children_of_the_root_and_the_first_of_a_name(void **state)
{
	struct s3_error e = parse("<Error><Detail><Code>Inner</Code></Detail><Code>Outer</Code>"
				  "<Code>Second</Code><Message>a<b>c</b>d</Message></Error>"
				  "<Error><Region>eu-west-1</Region></Error>");

	(void)state;
	assert_string_equal(e.code, "Outer");
	assert_string_equal(e.message, "");
	assert_string_equal(e.region, "");
}

static void is_not_fooled_by_rubbish(void **state)
{
	static const char *const rubbish[] = {
		"",
		"<",
		"<>",
		"</",
		"</>",
		"<!",
		"<!--",
		"<?",
		"&",
		"Error",
		"<Error",
		"<Error>",
		"<Error><",
		"<Error><Code",
		"<Error><Code>",
		"<Error><Code>NoSuchKey",
		"<Error><Code>NoSuchKey</",
		"<Error><Code>NoSuchKey</Kode></Error>",
		"<Error/><Code>NoSuchKey</Code>",
		"<html><Error><Code>NoSuchKey</Code></Error></html>",
		"</Error><Code>NoSuchKey</Code>",
		"x<Error><Code>NoSuchKey</Code></Error>",
		"{\"Code\":\"NoSuchKey\"}",
		"<Error a='><Code>NoSuchKey</Code></Error>",
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(rubbish); i++)
		assert_string_equal(parse(rubbish[i]).code, "");
}

static void keeps_what_came_before_the_document_broke_off(void **state)
{
	struct s3_error e = parse("<Error><Code>SlowDown</Code><Message>Please red");

	(void)state;
	assert_string_equal(e.code, "SlowDown");
	assert_string_equal(e.message, "");
}

static void cuts_long_texts_between_characters(void **state)
{
	lm_auto_free char *xml =
		lm_xasprintf("<Error><Code>%0*d</Code><Message>%0*d\xC3\xBC</Message>"
			     "</Error>",
			5000, 7, 510, 7);
	struct s3_error e = parse(xml);

	(void)state;
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_true(lm_str_is_utf8(lm_str(e.message)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetches_an_object_and_its_version),
		cmocka_unit_test(signs_again_with_other_credentials_once_they_are_over),
		cmocka_unit_test(gives_up_if_other_credentials_are_over_too),
		cmocka_unit_test(fails_with_the_reason_if_there_are_no_other_credentials),
		cmocka_unit_test(fetches_again_what_arrived_damaged_or_truncated),
		cmocka_unit_test(what_arrives_damaged_every_time_is_a_failure_of_the_network),
		cmocka_unit_test(a_compressed_object_is_compared_as_it_is_stored),
		cmocka_unit_test(knows_no_version_if_the_store_names_none),
		cmocka_unit_test(asks_for_a_version_and_keeps_the_name_null),
		cmocka_unit_test(puts_the_bucket_into_the_host_in_virtual_host_style),
		cmocka_unit_test(keeps_to_path_style_where_a_bucket_does_not_fit_a_host),
		cmocka_unit_test(finds_aws_by_bucket_region_and_partition),
		cmocka_unit_test(signs_again_for_the_region_in_the_header),
		cmocka_unit_test(signs_again_for_the_region_in_the_document),
		cmocka_unit_test(asks_the_bucket_where_it_is),
		cmocka_unit_test(signs_again_where_another_region_cannot_serve_the_bucket),
		cmocka_unit_test(corrects_the_region_once_only),
		cmocka_unit_test(believes_no_region_that_cannot_be_one),
		cmocka_unit_test(says_so_when_nobody_knows_the_region),
		cmocka_unit_test(signs_again_with_the_servers_time),
		cmocka_unit_test(says_both_times_when_that_does_not_help),
		cmocka_unit_test(words_what_s3_refuses),
		cmocka_unit_test(names_the_partition_in_the_arn),
		cmocka_unit_test(refuses_an_object_over_the_ceiling),
		cmocka_unit_test(refuses_names_that_cannot_be),
		cmocka_unit_test(reads_an_error_as_s3_sends_it),
		cmocka_unit_test(reads_both_times_of_a_skewed_request),
		cmocka_unit_test(decodes_entities),
		cmocka_unit_test(skips_comments_attributes_and_byte_order_mark),
		cmocka_unit_test(takes_only_direct_children_of_the_root_and_the_first_of_a_name),
		cmocka_unit_test(is_not_fooled_by_rubbish),
		cmocka_unit_test(keeps_what_came_before_the_document_broke_off),
		cmocka_unit_test(cuts_long_texts_between_characters),
	};

	static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY",
		"all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "AWS_CA_BUNDLE",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(variables); i++)
		(void)unsetenv(variables[i]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
