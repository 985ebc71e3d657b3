// SPDX-License-Identifier: Apache-2.0
#include "docker/login.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK                                                                                         \
	"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Status\":\"Login "            \
	"Succeeded\"}"
#define ERROR(message) "HTTP/1.0 500 Internal Server Error\r\n\r\n{\"message\":\"" message "\"}"
#define REFUSED ERROR("login attempt to http://r/v2/ failed with status: 401 Unauthorized")
#define AWAY ERROR("Get x: dial tcp 127.0.0.1:5000: connect: connection refused")

enum { LOGINS_MAX = 8 };

static const struct wait_limit forever = WAIT_FOREVER;

/// What was told, and what happened.
struct outcome {
	lm_rc rc;
	struct lm_err err;
	unsigned retries, done;
	char why[256];
	size_t requests, open_most;
	char request[FAKE_REQUEST_SIZE]; ///< The first.
};

static void note_retry(void *ctx, size_t i, uint64_t delay_ms, const struct lm_err *why)
{
	struct outcome *o = ctx;
	assert_in_range(i, 0, LOGINS_MAX);
	assert_in_range(delay_ms, 0, 2);
	o->retries++;
	(void)snprintf(o->why, sizeof(o->why), "%.255s", why->msg);
}

static void note_done(void *ctx, size_t i)
{
	struct outcome *o = ctx;
	assert_in_range(i, 0, LOGINS_MAX);
	o->done++;
}

/// Logs in to the registries r0, r1, … of an engine with these answers.
static struct outcome run(const struct fake_answer *answers, size_t answers_n, size_t n,
	unsigned attempts, const struct wait_limit *limit)
{
	struct outcome o = {0};
	struct registry_credentials list[LOGINS_MAX] = {0};
	struct fake_engine *f = fake_engine_create(answers, answers_n);
	const struct engine e = {
		.socket_path = f->path, .version = {.engine = "20.10", .minor = 41}};
	const struct login_options options = {.attempts = attempts,
		.backoff_base_ms = 1,
		.backoff_max_ms = 2,
		.on_retry = note_retry,
		.on_done = note_done,
		.ctx = &o};
	for (size_t i = 0; i < n; i++) {
		list[i].registry = lm_xasprintf("r%zu:5000", i);
		list[i].username = lm_xstrdup("alice");
		lm_secret_set(&list[i].password, LM_STR("s3cret"));
	}
	o.rc = login_all(&e, list, n, &options, limit, &o.err);
	for (size_t i = 0; i < n; i++)
		registry_credentials_finish(&list[i]);
	fake_engine_stop(f);
	o.requests = f->requests_n;
	o.open_most = f->open_most;
	memcpy(o.request, f->requests[0], FAKE_REQUEST_SIZE);
	fake_engine_destroy(f);
	assert_null(strstr(o.err.msg, "s3cret"));
	return o;
}

static struct outcome run_one(const char *bytes, unsigned attempts)
{
	const struct fake_answer answers[] = {{"POST /v1.41/auth ", bytes, FAKE_CLOSE}};
	return run(answers, 1, 1, attempts, &forever);
}

static void hands_the_credentials_to_the_engine(void **state)
{
	(void)state;
	struct outcome o = run_one(OK, 5);
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.done, 1);
	assert_int_equal(o.requests, 1);
	assert_non_null(strstr(o.request, "\r\n\r\n{\"username\":\"alice\",\"password\":\"s3cret\","
					  "\"serveraddress\":\"r0:5000\"}"));
}

static void a_refusal_is_never_tried_again(void **state)
{
	(void)state;
	struct outcome o = run_one(REFUSED, 5);
	assert_int_equal(o.rc, LM_E_DENIED);
	assert_int_equal(o.requests, 1);
	assert_ptr_equal(
		strstr(o.err.msg,
			"registry r0:5000 refuses user alice, check user name and password: login"),
		o.err.msg);
}

static void what_may_pass_is_tried_again_to_the_last_attempt(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		lm_rc rc;
	} cases[] = {
		{AWAY, LM_E_NETWORK},
		{ERROR("login attempt to http://r/v2/ failed with status: 503 Service Unavailable"),
			LM_E_NETWORK},
		{ERROR("login attempt to http://r/v2/ failed with status: 500 Internal Server "
		       "Error"),
			LM_E_REFUSED},
		{"", LM_E_NETWORK},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct outcome o = run_one(cases[i].bytes, 3);
		assert_int_equal(o.rc, cases[i].rc);
		assert_int_equal(o.requests, 3);
		assert_int_equal(o.retries, 2);
		assert_ptr_equal(
			strstr(o.err.msg, "log in to registry r0:5000, after 3 attempts: "),
			o.err.msg);
	}
}

static void with_one_attempt_nothing_is_tried_again(void **state)
{
	(void)state;
	struct outcome o = run_one(AWAY, 1);
	assert_int_equal(o.rc, LM_E_NETWORK);
	assert_int_equal(o.requests, 1);
	assert_int_equal(o.retries, 0);
	assert_ptr_equal(strstr(o.err.msg, "log in to registry r0:5000: Get x"), o.err.msg);
}

static void what_the_engine_itself_refuses_is_not_tried_again(void **state)
{
	(void)state;
	struct outcome o = run_one("HTTP/1.0 400 Bad Request\r\n\r\n{\"message\":\"too new\"}", 3);
	assert_int_equal(o.rc, LM_E_REFUSED);
	assert_int_equal(o.requests, 1);
}

/// The beginning of the request for registry `r`.
#define LOGIN_AT(r)                                                                                \
	"POST /v1.41/auth HTTP/1.0\r\nHost: docker\r\nUser-Agent: lighterman/" LM_VERSION          \
	"\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 66"            \
	"\r\n\r\n{\"username\":\"alice\",\"password\":\"s3cret\",\"serveraddress\":\"" r

static void all_are_under_way_at_the_same_time_and_a_refusal_ends_them(void **state)
{
	(void)state;
	// Nobody is answered but the last, who so has to be there although the others wait.
	const struct fake_answer answers[] = {
		{LOGIN_AT("r7"), REFUSED, FAKE_CLOSE}, {"POST /v1.41/auth ", "", FAKE_HANG}};
	struct outcome o = run(answers, 2, LOGINS_MAX, 5, &forever);
	assert_int_equal(o.rc, LM_E_DENIED);
	assert_non_null(strstr(o.err.msg, "registry r7:5000 refuses"));
	assert_int_equal(o.open_most, LOGINS_MAX);
	assert_int_equal(o.done, 0);
}

static void a_cancel_ends_all(void **state)
{
	(void)state;
	int cancel[2];
	assert_int_equal(pipe(cancel), 0);
	(void)close(cancel[1]);
	const struct fake_answer answers[] = {{"POST /v1.41/auth ", "", FAKE_HANG}};
	struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(run(answers, 1, 2, 5, &limit).rc, LM_E_CANCELLED);
	(void)close(cancel[0]);
}

static void without_credentials_nothing_is_asked(void **state)
{
	(void)state;
	struct outcome o = run(NULL, 0, 0, 5, &forever);
	assert_int_equal(o.rc, LM_OK);
	assert_int_equal(o.requests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_the_credentials_to_the_engine),
		cmocka_unit_test(a_refusal_is_never_tried_again),
		cmocka_unit_test(what_may_pass_is_tried_again_to_the_last_attempt),
		cmocka_unit_test(with_one_attempt_nothing_is_tried_again),
		cmocka_unit_test(what_the_engine_itself_refuses_is_not_tried_again),
		cmocka_unit_test(all_are_under_way_at_the_same_time_and_a_refusal_ends_them),
		cmocka_unit_test(a_cancel_ends_all),
		cmocka_unit_test(without_credentials_nothing_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
