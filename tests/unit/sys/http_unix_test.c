// SPDX-License-Identifier: Apache-2.0
#include "sys/http_unix.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka needs these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/// Both ends in one thread: each test says byte by byte what has arrived before a step.
struct fixture {
	char dir[64];
	char path[96];
	int listener;
	int peer; ///< The server's end.
};

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));
	strncpy(f->dir, "/tmp/http_unix_test.XXXXXX", sizeof(f->dir) - 1);
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, f->path, strlen(f->path) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->peer = -1;
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	lm_cleanup_close(&f->peer);
	lm_cleanup_close(&f->listener);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static struct http_unix *begin(struct fixture *f, struct http_unix_request request)
{
	struct http_unix *h = NULL;
	struct lm_err err = {0};
	request.socket_path = f->path;
	if (!request.method)
		request.method = "GET";
	if (!request.target)
		request.target = "/x";
	if (!request.body_max)
		request.body_max = 1000;
	assert_int_equal(http_unix_create(&request, &h, &err), LM_OK);
	f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(f->peer >= 0);
	bool done = true;
	assert_int_equal(http_unix_step(h, &done, &err), LM_OK);
	assert_false(done);
	return h;
}

static void arrive(struct fixture *f, const char *bytes)
{
	assert_int_equal(send(f->peer, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
}

static void hang_up(struct fixture *f)
{
	assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
}

static lm_rc step(struct http_unix *h, bool *done, struct lm_err *err)
{
	*done = false;
	return http_unix_step(h, done, err);
}

static void assert_body(struct http_unix *h, const char *expected)
{
	struct lm_str body = http_unix_body(h);
	assert_int_equal(body.n, strlen(expected));
	assert_memory_equal(body.p, expected, body.n);
}

static void sends_http_1_0_and_closes(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h =
		begin(f, (struct http_unix_request){.target = "/v1.41/info?a=%20"});
	char request[512] = {0};
	assert_true(recv(f->peer, request, sizeof(request) - 1, 0) > 0);
	assert_ptr_equal(strstr(request, "GET /v1.41/info?a=%20 HTTP/1.0\r\n"), request);
	assert_non_null(strstr(request, "Connection: close\r\n"));
	assert_string_equal(request + strlen(request) - 4, "\r\n\r\n");
	assert_int_equal(http_unix_events(h), POLLIN);
}

static void sends_body_and_secret_header(void **state)
{
	struct fixture *f = *state;
	lm_auto_secret struct lm_secret secret = {0};
	lm_secret_set(&secret, LM_STR("c2VjcmV0"));
	lm_auto(http_unix_destroy_p) struct http_unix *h =
		begin(f, (struct http_unix_request){.method = "POST",
				 .body = LM_STR("{\"a\":1}"),
				 .content_type = "application/json",
				 .secret_header = "X-Registry-Auth",
				 .secret_value = &secret});
	char request[512] = {0};
	assert_true(recv(f->peer, request, sizeof(request) - 1, 0) > 0);
	assert_non_null(strstr(request, "X-Registry-Auth: c2VjcmV0\r\n"));
	assert_non_null(strstr(request, "Content-Type: application/json\r\nContent-Length: 7\r\n"));
	assert_non_null(strstr(request, "\r\n\r\n{\"a\":1}"));
	assert_int_equal(http_unix_status(h), 0);
}

static void refuses_a_target_that_would_add_headers(void **state)
{
	struct fixture *f = *state;
	struct http_unix *h = NULL;
	struct lm_err err = {0};
	struct http_unix_request request = {.socket_path = f->path,
		.method = "GET",
		.target = "/x HTTP/1.0\r\nEvil: 1",
		.body_max = 10};
	assert_int_equal(http_unix_create(&request, &h, &err), LM_E_INVALID);
	assert_null(h);
}

static void takes_an_answer_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h = begin(f, (struct http_unix_request){0});
	const char *answer =
		"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 5\r\n\r\nhello";
	struct lm_err err = {0};
	bool done = false;
	for (const char *p = answer; *p; p++) {
		assert_false(done);
		arrive(f, (char[]){*p, 0});
		assert_int_equal(step(h, &done, &err), LM_OK);
	}
	assert_true(done);
	assert_int_equal(http_unix_status(h), 200);
	assert_body(h, "hello");
	struct lm_str version = http_unix_header(h, "api-version");
	assert_true(lm_str_eq(version, LM_STR("1.41")));
	assert_int_equal(http_unix_header(h, "Absent").n, 0);
}

static void without_a_length_the_body_ends_with_the_connection(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h = begin(f, (struct http_unix_request){0});
	struct lm_err err = {0};
	bool done = false;
	arrive(f, "HTTP/1.0 200 OK\n\nabc");
	assert_int_equal(step(h, &done, &err), LM_OK);
	assert_false(done);
	arrive(f, "def");
	hang_up(f);
	assert_int_equal(step(h, &done, &err), LM_OK);
	assert_true(done);
	assert_body(h, "abcdef");
}

static void an_answer_cut_off_is_a_network_error(void **state)
{
	static const char *const answers[] = {"", "HTTP/1.0 200", "HTTP/1.0 200 OK\r\nA: b\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(answers); i++) {
		struct fixture *f = *state;
		lm_auto(http_unix_destroy_p) struct http_unix *h =
			begin(f, (struct http_unix_request){0});
		struct lm_err err = {0};
		bool done = false;
		arrive(f, answers[i]);
		hang_up(f);
		assert_int_equal(step(h, &done, &err), LM_E_NETWORK);
		lm_cleanup_close(&f->peer);
		f->peer = -1;
	}
}

static void refuses_what_is_no_http_1_0(void **state)
{
	static const char *const answers[] = {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2 200\r\n\r\n",
		"HTTP/1.0 20\r\n\r\n", "HTTP/1.0 999 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(answers); i++) {
		struct fixture *f = *state;
		lm_auto(http_unix_destroy_p) struct http_unix *h =
			begin(f, (struct http_unix_request){0});
		struct lm_err err = {0};
		bool done = false;
		arrive(f, answers[i]);
		assert_int_equal(step(h, &done, &err), LM_E_PROTOCOL);
		lm_cleanup_close(&f->peer);
		f->peer = -1;
	}
}

static void refuses_a_body_over_its_ceiling(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h =
		begin(f, (struct http_unix_request){.body_max = 5});
	struct lm_err err = {0};
	bool done = false;
	arrive(f, "HTTP/1.0 200 OK\r\n\r\nsix!!!");
	assert_int_equal(step(h, &done, &err), LM_E_TOO_LARGE);
}

static void refuses_headers_without_end(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h = begin(f, (struct http_unix_request){0});
	struct lm_err err = {0};
	bool done = false;
	lm_rc rc = LM_OK;
	arrive(f, "HTTP/1.0 200 OK\r\n");
	char line[1025];
	memset(line, 'a', sizeof(line) - 1);
	line[1023] = '\n';
	line[1024] = '\0';
	for (size_t sent = 0; rc == LM_OK && sent < 2 * LIMIT_HTTP_HEADERS; sent += 1024) {
		arrive(f, line);
		rc = step(h, &done, &err);
	}
	assert_int_equal(rc, LM_E_TOO_LARGE);
}

static lm_rc collect(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct lm_buf *b = ctx;
	(void)lm_buf_add_str(b, piece);
	if (lm_str_ends(piece, LM_STR("stop")))
		return lm_fail(err, LM_E_REFUSED, 0, "enough");
	return LM_OK;
}

static void streams_a_good_body_and_collects_a_bad_one(void **state)
{
	struct fixture *f = *state;
	lm_auto_buf struct lm_buf got = LM_BUF(100);
	struct http_unix_request request = {.on_body = collect, .ctx = &got};
	struct lm_err err = {0};
	bool done = false;
	struct http_unix *h = begin(f, request);
	arrive(f, "HTTP/1.0 200 OK\r\n\r\none");
	assert_int_equal(step(h, &done, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&got), "one");
	arrive(f, "stop");
	assert_int_equal(step(h, &done, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "enough");
	http_unix_destroy(h);
	lm_cleanup_close(&f->peer);

	lm_buf_clear(&got);
	h = begin(f, request);
	arrive(f, "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no\"}");
	hang_up(f);
	assert_int_equal(step(h, &done, &err), LM_OK);
	assert_true(done);
	assert_int_equal(got.len, 0);
	assert_int_equal(http_unix_status(h), 404);
	assert_body(h, "{\"message\":\"no\"}");
	http_unix_destroy(h);
}

static void skips_an_interim_answer(void **state)
{
	struct fixture *f = *state;
	lm_auto(http_unix_destroy_p) struct http_unix *h = begin(f, (struct http_unix_request){0});
	struct lm_err err = {0};
	bool done = false;
	arrive(f, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\r\n\r\n");
	assert_int_equal(step(h, &done, &err), LM_OK);
	assert_true(done);
	assert_int_equal(http_unix_status(h), 204);
}

static void a_missing_socket_and_a_deaf_one_differ(void **state)
{
	struct fixture *f = *state;
	struct http_unix *h = NULL;
	struct lm_err err = {0};
	struct http_unix_request request = {
		.socket_path = "/nonexistent/sock", .method = "GET", .target = "/", .body_max = 1};
	assert_int_equal(http_unix_create(&request, &h, &err), LM_E_NOT_FOUND);
	(void)close(lm_take_fd(f->listener));
	request.socket_path = f->path;
	assert_int_equal(http_unix_create(&request, &h, &err), LM_E_NETWORK);
}

static void wait_gives_up_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct http_unix *h = NULL;
	struct lm_err err = {0};
	struct http_unix_request request = {
		.socket_path = f->path, .method = "GET", .target = "/", .body_max = 1};
	struct wait_limit forever = WAIT_FOREVER;
	struct wait_limit limit = wait_limit_within(&forever, 20);
	assert_int_equal(http_unix_create(&request, &h, &err), LM_OK);
	assert_int_equal(http_unix_wait(h, &limit, &err), LM_E_TIMEOUT);
	http_unix_destroy(h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(sends_http_1_0_and_closes),
		TEST(sends_body_and_secret_header),
		TEST(refuses_a_target_that_would_add_headers),
		TEST(takes_an_answer_byte_by_byte),
		TEST(without_a_length_the_body_ends_with_the_connection),
		TEST(an_answer_cut_off_is_a_network_error),
		TEST(refuses_what_is_no_http_1_0),
		TEST(refuses_a_body_over_its_ceiling),
		TEST(refuses_headers_without_end),
		TEST(streams_a_good_body_and_collects_a_bad_one),
		TEST(skips_an_interim_answer),
		TEST(a_missing_socket_and_a_deaf_one_differ),
		TEST(wait_gives_up_at_the_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
