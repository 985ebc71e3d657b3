// SPDX-License-Identifier: Apache-2.0
#include "http/https.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "loopback.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

enum { CEILING = 1000 };

/// What a transfer ended with.
struct outcome {
	bool ended;
	lm_rc rc;
	struct lm_err err;
	struct https_answer answer;
	unsigned prepared; ///< How often `prepare` was called.
};

static void keep_outcome(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct outcome *o = ctx;

	o->ended = true;
	o->rc = rc;
	o->err = *err;
	o->answer = *answer;
	*answer = (struct https_answer){0};
}

static lm_rc prepare_numbered(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	struct outcome *o = ctx;
	char number[16];

	(void)err;
	o->prepared++;
	(void)snprintf(number, sizeof(number), "n%u", attempt);
	header_list_add(headers, LM_STR("X-Attempt"), lm_str(number));
	return LM_OK;
}

static struct https_request request_to(const char *origin, struct outcome *o)
{
	return (struct https_request){
		.method = "GET",
		.origin = lm_str(origin),
		.path = LM_STR("/object"),
		.body_max = CEILING,
		.plain_http = true,
		.prepare = prepare_numbered,
		.done = keep_outcome,
		.ctx = o,
		.attempts = 3,
		.backoff_base_ms = 1,
		.backoff_max_ms = 5,
	};
}

/// The authorities to trust; NULL: the system's.
static const char *ca_bundle;

static void run(const struct https_request *r)
{
	lm_auto(https_destroy_p) struct https *h = NULL;
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = -1};

	assert_int_equal(https_create(ca_bundle, &h, NULL), LM_OK);
	https_start(h, r);
	assert_int_equal(https_run(h, &limit, NULL), LM_OK);
}

/// One request to a server with these answers; the server is stopped behind it.
static struct loopback *exchange(
	const struct loopback_answer *answers, unsigned n, struct outcome *o)
{
	struct loopback *l = loopback_start(answers, n);
	struct https_request r = request_to(loopback_origin(l), o);

	run(&r);
	assert_true(o->ended);
	loopback_stop(l);
	return l;
}

static void assert_body(const struct outcome *o, const char *expected)
{
	assert_int_equal(o->rc, LM_OK);
	assert_int_equal(o->answer.status, 200);
	assert_string_equal(lm_buf_cstr(&o->answer.body), expected);
}

static void finish(struct loopback *l, struct outcome *o)
{
	loopback_destroy(l);
	https_answer_finish(&o->answer);
}

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: yes\r\n\r\nhello"

static void sends_path_and_query_strictly_encoded(void **state)
{
	const struct loopback_answer answers[] = {{OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 1);
	struct https_request r = request_to(loopback_origin(l), &o);
	const struct http_pair query[] = {{LM_STR("versionId"), LM_STR("a=b c")}};

	(void)state;
	r.path = LM_STR("/b/a b+\xC3\xBC%20=~&?#//../x");
	r.query = query;
	r.query_n = 1;
	run(&r);
	loopback_stop(l);
	assert_body(&o, "hello");
	assert_int_equal(https_header(&o.answer, "x-thing").n, 3);
	assert_ptr_equal(
		strstr(loopback_request(l, 0),
			"GET /b/a%20b%2B%C3%BC%2520%3D~%26%3F%23//../x?versionId=a%3Db%20c "
			"HTTP/1.1\r\n"),
		loopback_request(l, 0));
	assert_non_null(strstr(loopback_request(l, 0), "\r\nAccept-Encoding: identity\r\n"));
	finish(l, &o);
}

static void sends_a_body(void **state)
{
	const struct loopback_answer answers[] = {{OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 1);
	struct https_request r = request_to(loopback_origin(l), &o);

	(void)state;
	r.method = "POST";
	r.body = LM_STR("{\"a\":1}");
	run(&r);
	loopback_stop(l);
	assert_body(&o, "hello");
	assert_ptr_equal(strstr(loopback_request(l, 0), "POST /object "), loopback_request(l, 0));
	assert_non_null(strstr(loopback_request(l, 0), "\r\n\r\n{\"a\":1}"));
	assert_null(strstr(loopback_request(l, 0), "Expect:"));
	finish(l, &o);
}

static void retries_a_server_error_and_prepares_each_attempt_afresh(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"}, {OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 2, &o);

	(void)state;
	assert_body(&o, "hello");
	assert_int_equal(o.answer.attempts, 2);
	assert_int_equal(o.prepared, 2);
	assert_non_null(strstr(loopback_request(l, 0), "X-Attempt: n0\r\n"));
	assert_non_null(strstr(loopback_request(l, 1), "X-Attempt: n1\r\n"));
	finish(l, &o);
}

static void gives_the_last_answer_when_attempts_are_used_up(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nslow"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.answer.status, 503);
	assert_int_equal(o.answer.attempts, 3);
	assert_int_equal(loopback_count(l), 3);
	assert_string_equal(lm_buf_cstr(&o.answer.body), "slow");
	finish(l, &o);
}

static void does_not_retry_a_client_error(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.answer.status, 403);
	assert_int_equal(loopback_count(l), 1);
	finish(l, &o);
}

static bool is_busy(void *ctx, const struct https_answer *answer)
{
	(void)ctx;
	return strcmp(lm_buf_cstr(&answer->body), "busy") == 0;
}

static void retries_a_client_error_that_the_caller_knows_to_pass(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nbusy"},
		{"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nover"}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 2);
	struct https_request r = request_to(loopback_origin(l), &o);

	(void)state;
	r.is_transient = is_busy;
	run(&r);
	loopback_stop(l);
	assert_string_equal(lm_buf_cstr(&o.answer.body), "over");
	assert_int_equal(loopback_count(l), 2);
	finish(l, &o);
}

static void waits_for_retry_after_up_to_its_bound(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 429 Too Many\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"},
		{OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 2);
	struct https_request r = request_to(loopback_origin(l), &o);
	uint64_t start = lm_clock_mono_ms();

	(void)state;
	r.backoff_max_ms = 60;
	run(&r);
	loopback_stop(l);
	assert_body(&o, "hello");
	assert_in_range(lm_clock_mono_ms() - start, 60, 10000);
	finish(l, &o);
}

static void waits_for_a_retry_after_that_is_a_date(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 503 Slow Down\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n"
		 "Content-Length: 0\r\n\r\n"},
		{OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 2);
	struct https_request r = request_to(loopback_origin(l), &o);
	uint64_t start = lm_clock_mono_ms();

	(void)state;
	r.backoff_max_ms = 60;
	run(&r);
	loopback_stop(l);
	assert_body(&o, "hello");
	assert_in_range(lm_clock_mono_ms() - start, 60, 10000);
	finish(l, &o);
}

static void reads_dates_as_headers_have_them(void **state)
{
	(void)state;
	assert_int_equal(
		https_parse_date_ms(LM_STR("Fri, 24 May 2013 00:00:00 GMT")), 1369353600000);
	assert_int_equal(https_parse_date_ms(LM_STR("")), 0);
	assert_int_equal(https_parse_date_ms(LM_STR("soon")), 0);
}

static void does_not_wait_for_a_retry_behind_the_time_limit(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 503 Slow Down\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 1);
	struct https_request r = request_to(loopback_origin(l), &o);

	(void)state;
	r.backoff_max_ms = 3600 * 1000;
	run(&r); // its limit is 30 s
	loopback_stop(l);
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.answer.status, 503);
	finish(l, &o);
}

static void retries_a_truncated_body(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}, {OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 2, &o);

	(void)state;
	assert_body(&o, "hello");
	finish(l, &o);
}

static void reports_a_body_that_stays_truncated(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_NETWORK);
	assert_non_null(strstr(o.err.msg, "after 3 attempts: the connection to 127.0.0.1:"));
	finish(l, &o);
}

static void retries_a_closed_connection(void **state)
{
	const struct loopback_answer answers[] = {{NULL}, {OK_HELLO}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 2, &o);

	(void)state;
	assert_body(&o, "hello");
	finish(l, &o);
}

static void reports_that_nobody_listens(void **state)
{
	struct outcome o = {0};
	struct loopback *l = loopback_start(NULL, 0);
	char origin[64];

	(void)state;
	(void)snprintf(origin, sizeof(origin), "%s", loopback_origin(l));
	loopback_destroy(l);
	struct https_request r = request_to(origin, &o);
	run(&r);
	assert_int_equal(o.rc, LM_E_NETWORK);
	assert_non_null(strstr(o.err.msg, "no connection to 127.0.0.1:"));
}

static void ends_an_attempt_at_its_time_limit(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nslow", .hold = true}};
	struct outcome o = {0};
	struct loopback *l = loopback_start(answers, 1);
	struct https_request r = request_to(loopback_origin(l), &o);

	(void)state;
	r.timeout_ms = 50;
	r.attempts = 2;
	run(&r);
	loopback_stop(l);
	assert_int_equal(o.rc, LM_E_TIMEOUT);
	assert_int_equal(loopback_count(l), 2);
	finish(l, &o);
}

static void refuses_a_body_over_the_ceiling(void **state)
{
	char *text = lm_xasprintf("HTTP/1.1 200 OK\r\n\r\n%0*d", CEILING + 1, 0);
	const struct loopback_answer endless[] = {{text, .endless = true}};
	struct outcome o = {0};
	struct loopback *l = exchange(endless, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_TOO_LARGE);
	assert_int_equal(loopback_count(l), 1);
	assert_non_null(strstr(o.err.msg, "is larger than 1000 bytes"));
	finish(l, &o);
	free(text);
}

static void takes_a_body_as_large_as_the_ceiling(void **state)
{
	char *text = lm_xasprintf("HTTP/1.1 200 OK\r\n\r\n%0*d", CEILING, 0);
	const struct loopback_answer answers[] = {{text}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.answer.body.len, CEILING);
	finish(l, &o);
	free(text);
}

static void cuts_an_endless_error_document(void **state)
{
	char *text = lm_xasprintf("HTTP/1.1 404 No\r\n\r\n<Error>%0*d", 2000, 0);
	const struct loopback_answer answers[] = {{text, .endless = true}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.answer.status, 404);
	assert_int_equal(o.answer.body.len, LIMIT_HTTP_ERROR_BODY);
	assert_memory_equal(o.answer.body.data, "<Error>", 7);
	finish(l, &o);
	free(text);
}

static void refuses_endless_headers(void **state)
{
	char *line = lm_xasprintf("X-A: %0*d\r\n", 993, 0); // 1000 bytes
	char *text = lm_xasprintf("HTTP/1.1 200 OK\r\n%s", line);
	const struct loopback_answer answers[] = {{text, .endless = true}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	assert_non_null(strstr(o.err.msg, "too many headers"));
	finish(l, &o);
	free(text);
	free(line);
}

/// Appends `text` as a gzip member.
static void add_member(struct lm_buf *out, struct lm_str text)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)text.p, .avail_in = (uInt)text.n};
	uLong size = text.n + 1000;
	lm_auto_free char *packed = lm_xmalloc(size);

	assert_int_equal(
		deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (Bytef *)packed;
	z.avail_out = (uInt)size;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_true(lm_buf_add(out, packed, z.total_out));
	(void)deflateEnd(&z);
}

/// An answer with these header lines and this body. The caller frees its bytes.
static struct loopback_answer encoded_answer(const char *lines, struct lm_str body)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);

	(void)lm_buf_printf(
		&text, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", lines, body.n);
	assert_true(lm_buf_add_str(&text, body));
	size_t n = text.len;
	return (struct loopback_answer){lm_buf_take(&text), n};
}

/// The same, said to be gzip.
static struct loopback_answer gzip_answer(struct lm_str body)
{
	return encoded_answer("Content-Encoding: gzip\r\n", body);
}

/// The same of `n` bytes of 'x', less the last `cut` bytes.
static struct loopback_answer gzip_answer_of(size_t n, size_t cut)
{
	lm_auto_free char *plain = memset(lm_xmalloc(n), 'x', n);
	lm_auto_buf struct lm_buf packed = LM_BUF(1 << 20);

	add_member(&packed, (struct lm_str){plain, n});
	return gzip_answer((struct lm_str){packed.data, packed.len - cut});
}

/// Asks for a body that is said to be gzip.
static void fetch_gzip(struct lm_str body, size_t ceiling, struct outcome *o)
{
	struct loopback_answer answer = gzip_answer(body);
	struct loopback *l = loopback_start(&answer, 1);
	struct https_request r = request_to(loopback_origin(l), o);

	r.body_max = ceiling;
	run(&r);
	loopback_destroy(l);
	free((void *)answer.bytes);
}

static void joins_gzip_members(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);
	struct outcome o = {0};

	(void)state;
	add_member(&in, LM_STR("hello "));
	add_member(&in, LM_STR("world"));
	fetch_gzip(lm_buf_str(&in), 100, &o);
	assert_body(&o, "hello world");
	https_answer_finish(&o.answer);
}

static void refuses_every_truncation_of_gzip(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);

	(void)state;
	add_member(&in, LM_STR("hello hello hello"));
	for (size_t n = 1; n < in.len; n++) {
		struct outcome o = {0};

		fetch_gzip((struct lm_str){in.data, n}, 100, &o);
		assert_int_equal(o.rc, LM_E_PROTOCOL);
		https_answer_finish(&o.answer);
	}
}

static void assert_no_gzip(struct lm_str body)
{
	struct outcome o = {0};

	fetch_gzip(body, CEILING, &o);
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	https_answer_finish(&o.answer);
}

static void refuses_damage_and_what_follows_that_is_no_gzip(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);

	(void)state;
	add_member(&in, LM_STR("hello"));
	assert_true(lm_buf_puts(&in, "rubbish behind it"));
	assert_no_gzip(lm_buf_str(&in));
	in.data[15] ^= 1;
	assert_no_gzip(lm_buf_str(&in));
	assert_no_gzip(LM_STR("version: '3'"));
}

static void stops_decompressing_at_the_ceiling(void **state)
{
	lm_auto_buf struct lm_buf in = LM_BUF(1000);
	struct outcome o = {0};

	(void)state;
	add_member(&in, LM_STR("hello hello hello hello hello hello hello hello"));
	fetch_gzip(lm_buf_str(&in), in.len, &o);
	assert_int_equal(o.rc, LM_E_TOO_LARGE);
	assert_non_null(strstr(o.err.msg, "its gzip data holds more than"));
	https_answer_finish(&o.answer);
}

static void decompresses_a_gzip_body(void **state)
{
	struct loopback_answer answers[] = {gzip_answer_of(CEILING, 0)};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.answer.body.len, CEILING);
	assert_int_equal(o.answer.body.data[CEILING - 1], 'x');
	finish(l, &o);
	free((void *)answers[0].bytes);
}

static void refuses_a_gzip_bomb(void **state)
{
	struct loopback_answer answers[] = {gzip_answer_of(100 << 10, 0)};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_TOO_LARGE);
	finish(l, &o);
	free((void *)answers[0].bytes);
}

static void refuses_a_gzip_body_that_ends_early(void **state)
{
	struct loopback_answer answers[] = {gzip_answer_of(500, 6)};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	assert_non_null(strstr(o.err.msg, "its gzip data is truncated"));
	finish(l, &o);
	free((void *)answers[0].bytes);
}

static void refuses_a_compression_that_it_does_not_know(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	assert_non_null(strstr(o.err.msg, "compressed as 'br'"));
	finish(l, &o);
}

/// Asks for "hello" as gzip, with these header lines.
static void fetch_encoded(const char *lines, struct outcome *o)
{
	lm_auto_buf struct lm_buf packed = LM_BUF(1000);

	add_member(&packed, LM_STR("hello"));
	struct loopback_answer answer = encoded_answer(lines, lm_buf_str(&packed));
	loopback_destroy(exchange(&answer, 1, o));
	free((void *)answer.bytes);
}

static void an_encoding_is_a_list_in_which_that_of_the_upload_changes_nothing(void **state)
{
	static const char *const gzips[] = {"Content-Encoding: aws-chunked,gzip\r\n",
		"Content-Encoding: gzip, aws-chunked\r\n",
		"Content-Encoding: AWS-Chunked ,\tGZIP ,\r\n",
		"Content-Encoding: aws-chunked\r\nContent-Encoding: gzip\r\n",
		"Content-Encoding: , identity, x-gzip\r\n"};
	static const char *const others[] = {"Content-Encoding: aws-chunked\r\n",
		"Content-Encoding: \r\n", "Content-Encoding: ,\r\n",
		"Content-Encoding: aws-chunked, aws-chunked\r\n"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(gzips); i++) {
		struct outcome o = {0};

		fetch_encoded(gzips[i], &o);
		assert_body(&o, "hello");
		https_answer_finish(&o.answer);
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++) {
		struct outcome o = {0};

		fetch_encoded(others[i], &o);
		assert_int_equal(o.rc, LM_OK);
		assert_memory_equal(o.answer.body.data, "\x1f\x8b", 2);
		https_answer_finish(&o.answer);
	}
}

static void refuses_a_list_that_it_cannot_decode(void **state)
{
	static const struct {
		const char *lines, *why;
	} cases[] = {{"Content-Encoding: br, aws-chunked\r\n", "compressed as 'br'"},
		{"Content-Encoding: gzip,zstd\r\n", "compressed as 'zstd'"},
		{"Content-Encoding: aws-chunked\r\nContent-Encoding: deflate\r\n",
			"compressed as 'deflate'"},
		{"Content-Encoding: gzip, gzip\r\n", "compressed more than once"},
		{"Content-Encoding: gzip\r\nContent-Encoding: x-gzip\r\n",
			"compressed more than once"}};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct outcome o = {0};

		fetch_encoded(cases[i].lines, &o);
		assert_int_equal(o.rc, LM_E_PROTOCOL);
		assert_non_null(strstr(o.err.msg, cases[i].why));
		https_answer_finish(&o.answer);
	}
}

static void takes_a_body_with_a_meaningless_encoding_as_it_is(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Encoding: utf-8\r\nContent-Length: 1\r\n\r\nx"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_body(&o, "x");
	finish(l, &o);
}

static void does_not_follow_redirects(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.answer.status, 307);
	assert_int_equal(loopback_count(l), 1);
	finish(l, &o);
}

static void refuses_plain_http_unless_it_was_configured(void **state)
{
	struct outcome o = {0};
	struct https_request r = request_to("http://127.0.0.1:1", &o);

	(void)state;
	r.plain_http = false;
	run(&r);
	assert_int_equal(o.rc, LM_E_INVALID);
	assert_int_equal(o.prepared, 0);
	assert_string_equal(o.err.msg, "'http://127.0.0.1:1' is not an https:// address");
}

static void refuses_an_answer_that_is_not_http(void **state)
{
	const struct loopback_answer answers[] = {{"SSH-2.0-OpenSSH\r\n"}};
	struct outcome o = {0};
	struct loopback *l = exchange(answers, 1, &o);

	(void)state;
	assert_int_equal(o.rc, LM_E_PROTOCOL);
	finish(l, &o);
}

/// Ends a transfer and makes the job's cancel descriptor readable.
struct stopper {
	int fd;
	bool ended;
};

static void stop_all(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct stopper *s = ctx;

	(void)answer;
	(void)err;
	assert_int_equal(rc, LM_OK);
	s->ended = true;
	assert_int_equal(write(s->fd, "x", 1), 1);
}

static void runs_requests_at_the_same_time_and_stops_when_told(void **state)
{
	const struct loopback_answer silent[] = {{"", .hold = true}}, prompt[] = {{OK_HELLO}};
	struct loopback *a = loopback_start(silent, 1), *b = loopback_start(prompt, 1);
	int ends[2];
	struct outcome o = {0};
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(pipe(ends), 0);
	lm_auto_close int read_end = ends[0];
	lm_auto_close int write_end = ends[1];
	struct stopper s = {.fd = write_end};
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = read_end};
	struct https_request never = request_to(loopback_origin(a), &o);
	struct https_request soon = request_to(loopback_origin(b), &o);
	soon.prepare = NULL;
	soon.done = stop_all;
	soon.ctx = &s;

	// The second ends while the first waits; the first ends because the second told it to.
	lm_auto(https_destroy_p) struct https *h = NULL;
	assert_int_equal(https_create(ca_bundle, &h, NULL), LM_OK);
	https_start(h, &never);
	https_start(h, &soon);
	assert_int_equal(https_run(h, &limit, &err), LM_E_CANCELLED);
	assert_true(s.ended);
	assert_true(o.ended);
	assert_int_equal(o.rc, LM_E_CANCELLED);
	assert_string_equal(err.msg, "cancelled");
	loopback_destroy(a);
	finish(b, &o);
}

static void count_alive(void *ctx)
{
	++*(unsigned *)ctx;
}

static void ends_all_at_the_time_limit_and_shows_that_it_is_alive(void **state)
{
	const struct loopback_answer answers[] = {{"", .hold = true}};
	struct loopback *l = loopback_start(answers, 1);
	struct outcome o = {0};
	unsigned alive = 0;
	struct https_request r = request_to(loopback_origin(l), &o);
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 100,
		.cancel_fd = -1,
		.alive = count_alive,
		.alive_ctx = &alive,
		.alive_ms = 10,
	};
	lm_auto(https_destroy_p) struct https *h = NULL;

	(void)state;
	assert_int_equal(https_create(ca_bundle, &h, NULL), LM_OK);
	https_start(h, &r);
	assert_int_equal(https_run(h, &limit, NULL), LM_E_TIMEOUT);
	assert_int_equal(o.rc, LM_E_TIMEOUT);
	assert_in_range(alive, 2, 12);
	finish(l, &o);
}

/// Starts one more request from inside `done`.
struct chain {
	struct https *h;
	struct https_request next;
	struct outcome *o;
};

static void start_next(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct chain *c = ctx;

	(void)answer;
	(void)err;
	assert_int_equal(rc, LM_OK);
	https_start(c->h, &c->next);
}

static void runs_what_was_started_by_an_end(void **state)
{
	const struct loopback_answer answers[] = {{OK_HELLO}};
	struct loopback *l = loopback_start(answers, 1);
	struct outcome o = {0};
	lm_auto(https_destroy_p) struct https *h = NULL;
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = -1};

	(void)state;
	assert_int_equal(https_create(ca_bundle, &h, NULL), LM_OK);
	struct chain c = {.h = h, .next = request_to(loopback_origin(l), &o)};
	struct https_request first = c.next;
	first.prepare = NULL;
	first.done = start_next;
	first.ctx = &c;
	https_start(h, &first);
	assert_int_equal(https_run(h, &limit, NULL), LM_OK);
	assert_body(&o, "hello");
	finish(l, &o);
}

/// One request to a TLS server whose certificate is for `subject`, trusted or not.
static struct outcome exchange_tls(const char *subject, bool trusted, unsigned *ret_requests)
{
	static const struct loopback_answer answers[] = {{OK_HELLO}};
	char path[] = "/tmp/https_test.XXXXXX";
	lm_auto_close int fd = mkstemp(path);
	struct loopback *l = loopback_start_tls(answers, 1, subject, path);
	struct outcome o = {0};
	struct https_request r = request_to(loopback_origin(l), &o);

	assert_true(fd >= 0);
	r.plain_http = false;
	ca_bundle = trusted ? path : NULL;
	run(&r);
	ca_bundle = NULL;
	(void)unlink(path);
	loopback_stop(l);
	*ret_requests = loopback_count(l);
	loopback_destroy(l);
	return o;
}

static void trusts_the_authorities_it_is_given(void **state)
{
	unsigned requests = 0;
	struct outcome o = exchange_tls("IP:127.0.0.1", true, &requests);

	(void)state;
	assert_body(&o, "hello");
	https_answer_finish(&o.answer);
}

static void refuses_a_certificate_that_nobody_vouches_for(void **state)
{
	unsigned requests = 0;
	struct outcome o = exchange_tls("IP:127.0.0.1", false, &requests);

	(void)state;
	assert_int_equal(o.rc, LM_E_NETWORK);
	assert_int_equal(requests, 0);
	assert_non_null(strstr(o.err.msg, "the certificate of 127.0.0.1:"));
	assert_non_null(strstr(o.err.msg, "AWS_CA_BUNDLE"));
	https_answer_finish(&o.answer);
}

static void refuses_a_certificate_of_another_host(void **state)
{
	unsigned requests = 0;
	struct outcome o = exchange_tls("DNS:store.example", true, &requests);

	(void)state;
	assert_int_equal(o.rc, LM_E_NETWORK);
	assert_int_equal(requests, 0);
	https_answer_finish(&o.answer);
}

static void goes_through_the_proxy(void **state)
{
	const struct loopback_answer answers[] = {{OK_HELLO}};
	struct loopback *l = loopback_start(answers, 1);
	struct outcome o = {0};
	struct https_request r = request_to("http://store.example", &o);

	(void)state;
	(void)setenv("http_proxy", loopback_origin(l), 1);
	run(&r);
	(void)unsetenv("http_proxy");
	loopback_stop(l);
	assert_body(&o, "hello");
	assert_ptr_equal(strstr(loopback_request(l, 0), "GET http://store.example/object HTTP/1.1"),
		loopback_request(l, 0));
	finish(l, &o);
}

static void says_that_the_proxy_refuses(void **state)
{
	const struct loopback_answer answers[] = {
		{"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"}};
	struct loopback *l = loopback_start(answers, 1);
	struct outcome o = {0};
	struct https_request r = request_to("https://store.example", &o);

	(void)state;
	(void)setenv("https_proxy", loopback_origin(l), 1);
	run(&r);
	(void)unsetenv("https_proxy");
	loopback_stop(l);
	assert_int_equal(o.rc, LM_E_DENIED);
	assert_int_equal(loopback_count(l), 1);
	assert_non_null(strstr(o.err.msg, "the proxy does not connect to store.example: it "
					  "answers HTTP 407"));
	finish(l, &o);
}

int main(void)
{
	static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY",
		"all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "AWS_CA_BUNDLE"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_path_and_query_strictly_encoded),
		cmocka_unit_test(sends_a_body),
		cmocka_unit_test(retries_a_server_error_and_prepares_each_attempt_afresh),
		cmocka_unit_test(gives_the_last_answer_when_attempts_are_used_up),
		cmocka_unit_test(does_not_retry_a_client_error),
		cmocka_unit_test(retries_a_client_error_that_the_caller_knows_to_pass),
		cmocka_unit_test(waits_for_retry_after_up_to_its_bound),
		cmocka_unit_test(waits_for_a_retry_after_that_is_a_date),
		cmocka_unit_test(reads_dates_as_headers_have_them),
		cmocka_unit_test(does_not_wait_for_a_retry_behind_the_time_limit),
		cmocka_unit_test(retries_a_truncated_body),
		cmocka_unit_test(reports_a_body_that_stays_truncated),
		cmocka_unit_test(retries_a_closed_connection),
		cmocka_unit_test(reports_that_nobody_listens),
		cmocka_unit_test(ends_an_attempt_at_its_time_limit),
		cmocka_unit_test(refuses_a_body_over_the_ceiling),
		cmocka_unit_test(takes_a_body_as_large_as_the_ceiling),
		cmocka_unit_test(cuts_an_endless_error_document),
		cmocka_unit_test(refuses_endless_headers),
		cmocka_unit_test(decompresses_a_gzip_body),
		cmocka_unit_test(joins_gzip_members),
		cmocka_unit_test(refuses_every_truncation_of_gzip),
		cmocka_unit_test(refuses_damage_and_what_follows_that_is_no_gzip),
		cmocka_unit_test(stops_decompressing_at_the_ceiling),
		cmocka_unit_test(refuses_a_gzip_bomb),
		cmocka_unit_test(refuses_a_gzip_body_that_ends_early),
		cmocka_unit_test(refuses_a_compression_that_it_does_not_know),
		cmocka_unit_test(an_encoding_is_a_list_in_which_that_of_the_upload_changes_nothing),
		cmocka_unit_test(refuses_a_list_that_it_cannot_decode),
		cmocka_unit_test(takes_a_body_with_a_meaningless_encoding_as_it_is),
		cmocka_unit_test(does_not_follow_redirects),
		cmocka_unit_test(refuses_plain_http_unless_it_was_configured),
		cmocka_unit_test(refuses_an_answer_that_is_not_http),
		cmocka_unit_test(runs_requests_at_the_same_time_and_stops_when_told),
		cmocka_unit_test(ends_all_at_the_time_limit_and_shows_that_it_is_alive),
		cmocka_unit_test(runs_what_was_started_by_an_end),
		cmocka_unit_test(trusts_the_authorities_it_is_given),
		cmocka_unit_test(refuses_a_certificate_that_nobody_vouches_for),
		cmocka_unit_test(refuses_a_certificate_of_another_host),
		cmocka_unit_test(goes_through_the_proxy),
		cmocka_unit_test(says_that_the_proxy_refuses),
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(variables); i++)
		(void)unsetenv(variables[i]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
