// SPDX-License-Identifier: Apache-2.0
#include "docker/pull.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define DONE                                                                                       \
	OK "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":9},\"id\":"    \
	   "\"a\"}\r\n"                                                                            \
	   "{\"status\":\"Pull complete\",\"id\":\"a\"}\r\n{\"status\":\"Digest: sha256:dd\"}\r\n"

static const struct wait_limit forever = WAIT_FOREVER;

static struct engine engine_at(const struct fake_engine *f)
{
	return (struct engine){
		.socket_path = (char *)f->path, .version = {.engine = "20.10", .minor = 41}};
}

struct seen {
	struct lm_buf done;
	uint64_t bytes[8];
};

static void note_progress(void *ctx, size_t item, const struct pull_progress *progress)
{
	struct seen *s = ctx;
	s->bytes[item] = progress->bytes_done;
}

static void note_done(void *ctx, size_t item, const char *digest)
{
	struct seen *s = ctx;
	(void)lm_buf_printf(&s->done, "%zu=%s;", item, digest);
}

static void pulls_with_tag_platform_and_credentials(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"POST /v1.41/images/create?", DONE, FAKE_PIECES}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = engine_at(f);
	lm_auto_secret struct lm_secret auth = {0};
	lm_secret_set(&auth, LM_STR("QQ=="));
	const struct pull_item items[] = {
		{.image = "localhost:5000/web", .platform = "linux/arm64", .auth = &auth}};
	struct seen seen = {.done = LM_BUF(1000)};
	struct pull_options options = {
		.on_progress = note_progress, .on_done = note_done, .ctx = &seen};
	struct lm_err err = {0};
	assert_int_equal(engine_pull(&e, items, 1, &options, &forever, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&seen.done), "0=sha256:dd;");
	assert_int_equal(seen.bytes[0], 9);
	fake_engine_stop(f);
	assert_non_null(strstr(f->requests[0], "?fromImage=localhost%3A5000%2Fweb&tag=latest"
					       "&platform=linux%2Farm64 HTTP/1.0\r\n"));
	assert_non_null(strstr(f->requests[0], "\r\nX-Registry-Auth: QQ==\r\n"));
	fake_engine_destroy(f);
	lm_buf_finish(&seen.done);
}

/// Podman: in place of a closing line the image's own id is complete, if it is.
static void an_image_that_is_here_by_the_id_that_is_complete_was_pulled(void **state)
{
	(void)state;
	static const struct {
		const char *pulled, *image;
		lm_rc rc;
	} cases[] = {
		{"825299e5d695", "sha256:825299e5d695d270a7", LM_OK},
		{"825299e5d695", "sha256:fd3d2192f64aab1100", LM_E_NETWORK}, // an older one
		{"8252", "sha256:825299e5d695d270a7", LM_E_NETWORK},
		{"825299e5d695", NULL, LM_E_NETWORK},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		char pulled[512], image[512] = "HTTP/1.0 404 Not Found\r\n\r\n{}";

		(void)snprintf(pulled, sizeof(pulled),
			OK "{\"status\":\"Already exists\",\"id\":\"8dcad8c247bc\"}\n"
			   "{\"status\":\"Download complete\",\"id\":\"%s\"}\n",
			cases[i].pulled);
		if (cases[i].image)
			(void)snprintf(image, sizeof(image),
				OK "{\"Id\":\"%s\",\"RepoDigests\":[\"h/web@sha256:dd\"]}",
				cases[i].image);
		const struct fake_answer answers[] = {
			{"POST /v1.41/images/create?", pulled, FAKE_CLOSE},
			{"GET /v1.41/images/", image, FAKE_CLOSE}};
		struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
		struct engine e = engine_at(f);
		const struct pull_item items[] = {{.image = "h/web:1"}};
		struct seen seen = {.done = LM_BUF(1000)};
		struct pull_options options = {.on_done = note_done, .ctx = &seen};
		struct lm_err err = {0};

		assert_int_equal(engine_pull(&e, items, 1, &options, &forever, &err), cases[i].rc);
		if (cases[i].rc == LM_OK)
			assert_string_equal(lm_buf_cstr(&seen.done), "0=sha256:dd;");
		fake_engine_destroy(f);
		lm_buf_finish(&seen.done);
	}
}

static void pulls_all_but_few_at_a_time(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"POST /v1.41/images/create?", DONE, FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = engine_at(f);
	const struct pull_item items[] = {{.image = "a"}, {.image = "b"}, {.image = "c"},
		{.image = "d"}, {.image = "e"}, {.image = "f"}, {.image = "g"}};
	struct seen seen = {.done = LM_BUF(1000)};
	struct pull_options options = {.on_done = note_done, .ctx = &seen};
	struct lm_err err = {0};
	assert_int_equal(engine_pull(&e, items, 7, &options, &forever, &err), LM_OK);
	for (int i = 0; i < 7; i++) {
		char expected[32];
		(void)snprintf(expected, sizeof(expected), "%d=sha256:dd;", i);
		assert_non_null(strstr(lm_buf_cstr(&seen.done), expected));
	}
	fake_engine_stop(f);
	assert_int_equal(f->requests_n, 7);
	fake_engine_destroy(f);
	lm_buf_finish(&seen.done);
}

static lm_rc pull_two(const char *second_bytes, enum fake_end second_end, uint64_t stall_ms,
	const struct wait_limit *limit, size_t *ret_open, struct lm_err *err)
{
	const struct fake_answer answers[] = {
		{"POST /v1.41/images/create?fromImage=slow",
			OK "{\"status\":\"Pulling from slow\"}", FAKE_HANG},
		{"POST /v1.41/images/create?fromImage=second", second_bytes, second_end},
		{"GET /v1.41/images/second", "HTTP/1.0 404 Not Found\r\n\r\n{}", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	const struct pull_item items[] = {{.image = "slow"}, {.image = "second:1"}};
	struct pull_options options = {.stall_ms = stall_ms};
	lm_rc rc = engine_pull(&e, items, 2, &options, limit, err);
	fake_engine_stop(f);
	if (ret_open)
		*ret_open = f->open_most;
	fake_engine_destroy(f);
	return rc;
}

/// Two pulls, of "slow", which goes on once the other has failed, and of "second".
struct two {
	struct fake_engine *engine;
	struct lm_buf done, failed;
};

#define CLOSING "{\"status\":\"Digest: sha256:dd\"}\r\n"

static void note_two_done(void *ctx, size_t item, const char *digest)
{
	struct two *t = ctx;
	(void)lm_buf_printf(&t->done, "%zu=%s;", item, digest);
}

static void release_slow(void *ctx, size_t item, const struct lm_err *why)
{
	struct two *t = ctx;
	(void)lm_buf_printf(&t->failed, "%zu=%s;", item, why->msg);
	if (item != 1)
		return;
	fake_engine_push(t->engine, "POST /v1.41/images/create?fromImage=slow", CLOSING);
	fake_engine_push(t->engine, "POST /v1.41/images/create?fromImage=slow", NULL);
}

/// Pulls "slow", "second:1" and, if there is a place again, "third", which fails.
static lm_rc pull_beside_slow(const char *second_bytes, bool may_fail, struct two *t,
	size_t *ret_requests, struct lm_err *err)
{
	const struct fake_answer answers[] = {
		{"POST /v1.41/images/create?fromImage=slow",
			OK "{\"status\":\"Pulling from slow\"}", FAKE_HANG},
		{"POST /v1.41/images/create?fromImage=second", second_bytes, FAKE_CLOSE},
		{"POST /v1.41/images/create?", "HTTP/1.0 404 X\r\n\r\n{\"message\":\"gone\"}",
			FAKE_CLOSE}};
	t->engine = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(t->engine);
	const struct pull_item items[] = {
		{.image = "slow"}, {.image = "second:1", .may_fail = may_fail}, {.image = "third"}};
	struct pull_options options = {
		.parallel = 2, .on_done = note_two_done, .on_failed = release_slow, .ctx = t};
	t->done = LM_BUF(1000);
	t->failed = LM_BUF(1000);
	lm_rc rc = engine_pull(&e, items, 3, &options, &forever, err);
	fake_engine_stop(t->engine);
	*ret_requests = t->engine->requests_n;
	fake_engine_destroy(t->engine);
	return rc;
}

static void two_finish(struct two *t)
{
	lm_buf_finish(&t->done);
	lm_buf_finish(&t->failed);
}

static void after_a_failure_none_is_begun_and_those_under_way_go_on(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		lm_rc rc;
		const char *message;
	} cases[] = {
		{"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"manifest unknown\"}", LM_E_NOT_FOUND,
			"pull image second:1: manifest unknown"},
		{OK "{\"errorDetail\":{\"message\":\"no space left\"},\"error\":\"no space left\"}",
			LM_E_REFUSED, "pull image second:1: no space left"},
		{"HTTP/1.0 500 X\r\n\r\n{\"message\":\"no basic auth credentials\"}", LM_E_DENIED,
			"pull image second:1: no basic auth credentials"},
		{OK "{\"status\":\"Down", LM_E_NETWORK,
			"pull image second:1: the Docker daemon closed the connection before the "
			"image was "
			"complete"},
		{"", LM_E_NETWORK, "pull image second:1: "},
		{OK "<html>", LM_E_PROTOCOL, "pull image second:1: "},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(two_finish) struct two t = {0};
		struct lm_err err = {0};
		size_t requests = 0;
		assert_int_equal(
			pull_beside_slow(cases[i].bytes, false, &t, &requests, &err), cases[i].rc);
		assert_ptr_equal(strstr(err.msg, cases[i].message), err.msg);
		assert_null(strstr(err.msg, "other"));
		assert_string_equal(lm_buf_cstr(&t.done), "0=sha256:dd;");
		assert_int_equal(requests, 2);
	}
}

static void one_that_may_fail_stops_nothing(void **state)
{
	(void)state;
	lm_auto(two_finish) struct two t = {0};
	struct lm_err err = {0};
	size_t requests = 0;
	assert_int_equal(
		pull_beside_slow("HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"manifest unknown\"}",
			true, &t, &requests, &err),
		LM_E_NOT_FOUND);
	// Both have a place by then, and either may fail first.
	assert_true(lm_str_starts(lm_str(err.msg), LM_STR("pull image third: gone")) ||
		    lm_str_starts(lm_str(err.msg), LM_STR("pull image fourth: gone")));
	assert_ptr_equal(strstr(lm_buf_cstr(&t.failed), "1=pull image second:1: manifest unknown;"),
		lm_buf_cstr(&t.failed));
	assert_string_equal(lm_buf_cstr(&t.done), "0=sha256:dd;");
}

static void other_failures_are_counted(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"POST /v1.41/images/create?fromImage=slow",
			OK "{\"status\":\"Pulling from slow\"}", FAKE_HANG},
		{"POST /v1.41/images/create?", "HTTP/1.0 404 X\r\n\r\n{\"message\":\"gone\"}",
			FAKE_CLOSE}};
	struct two t = {.done = LM_BUF(1000), .failed = LM_BUF(1000)};
	t.engine = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(t.engine);
	const struct pull_item items[] = {{.image = "slow"}, {.image = "a"}, {.image = "b"}};
	struct pull_options options = {.on_failed = release_slow, .ctx = &t};
	struct lm_err err = {0};
	assert_int_equal(engine_pull(&e, items, 3, &options, &forever, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "pull image a: gone; 1 other image failed too");
	fake_engine_destroy(t.engine);
	two_finish(&t);
}

#define REFUSED                                                                                    \
	OK "{\"error\":\"denied: Your authorization token has expired. Reauthenticate and try "    \
	   "again."                                                                                \
	   "\"}"

/// What an item is pulled with, and how often something else was asked for.
struct renewal {
	struct lm_secret auth;
	const char *instead; ///< NULL: there is nothing else.
	lm_rc fails;
	unsigned before, after;
	char refusal[128];
};

static lm_rc renew(
	void *ctx, size_t item, const struct lm_err *refusal, bool *ret_renewed, struct lm_err *err)
{
	struct renewal *r = ctx;
	assert_int_equal(item, 0);
	if (!refusal) {
		r->before++;
		return LM_OK;
	}
	r->after++;
	(void)snprintf(r->refusal, sizeof(r->refusal), "%.127s", refusal->msg);
	if (r->fails)
		return lm_fail(err, r->fails, 0, "no token to be had");
	*ret_renewed = r->instead != NULL;
	if (r->instead)
		lm_secret_set(&r->auth, lm_str(r->instead));
	return LM_OK;
}

/// Pulls one image from an engine that takes only "NEW=" for credentials.
static lm_rc pull_renewed(struct renewal *r, size_t *ret_requests, struct lm_err *err)
{
	const struct fake_answer answers[] = {
		{"POST /v1.41/images/create?fromImage=a&tag=latest HTTP/1.0\r\nHost: docker\r\n"
		 "User-Agent: lighterman/" LM_VERSION
		 "\r\nConnection: close\r\nContent-Length: 0\r\n"
		 "X-Registry-Auth: NEW=",
			DONE, FAKE_CLOSE},
		{"POST /v1.41/images/create?", REFUSED, FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	lm_secret_set(&r->auth, LM_STR("OLD="));
	const struct pull_item items[] = {{.image = "a", .auth = &r->auth}};
	struct pull_options options = {.renew = renew, .ctx = r};
	lm_rc rc = engine_pull(&e, items, 1, &options, &forever, err);
	fake_engine_stop(f);
	*ret_requests = f->requests_n;
	fake_engine_destroy(f);
	lm_secret_finish(&r->auth);
	return rc;
}

static void a_refused_image_is_tried_once_more_with_other_credentials(void **state)
{
	(void)state;
	struct renewal r = {.instead = "NEW="};
	size_t requests = 0;
	struct lm_err err = {0};
	assert_int_equal(pull_renewed(&r, &requests, &err), LM_OK);
	assert_int_equal(requests, 2);
	assert_int_equal(r.before, 1);
	assert_int_equal(r.after, 1);
	assert_non_null(strstr(r.refusal, "authorization token has expired"));
}

static void the_second_refusal_stands(void **state)
{
	(void)state;
	struct renewal r = {.instead = "OLDER="};
	size_t requests = 0;
	struct lm_err err = {0};
	assert_int_equal(pull_renewed(&r, &requests, &err), LM_E_DENIED);
	assert_int_equal(requests, 2);
	assert_int_equal(r.after, 1);
	assert_ptr_equal(strstr(err.msg, "pull image a: denied: Your authorization"), err.msg);
}

static void without_other_credentials_the_refusal_stands(void **state)
{
	(void)state;
	struct renewal none = {0}, failing = {.fails = LM_E_NETWORK};
	size_t requests = 0;
	struct lm_err err = {0};
	assert_int_equal(pull_renewed(&none, &requests, &err), LM_E_DENIED);
	assert_int_equal(requests, 1);
	assert_ptr_equal(strstr(err.msg, "pull image a: denied: Your authorization"), err.msg);
	assert_int_equal(pull_renewed(&failing, &requests, &err), LM_E_NETWORK);
	assert_string_equal(err.msg, "pull image a: no token to be had");
}

static void a_pull_without_progress_fails_in_time(void **state)
{
	(void)state;
	struct lm_err err = {0};
	assert_int_equal(pull_two(DONE, FAKE_CLOSE, 30, &forever, NULL, &err), LM_E_TIMEOUT);
	assert_ptr_equal(strstr(err.msg, "pull image slow: no progress for "), err.msg);
	assert_int_equal(pull_two(OK "{\"status\":\"Pulling from second\"}", FAKE_HANG, 30,
				 &forever, NULL, &err),
		LM_E_TIMEOUT);
	assert_non_null(strstr(err.msg, "; 1 other image failed too"));
}

enum { STEPS = 3, STEP_MS = 260, SILENCE_MS = 500 };

/// The image "moving" makes a step at a time; "waiting" makes none until the other is there.
struct steps {
	struct fake_engine *engine;
	unsigned n;
};

static void make_step(void *ctx, size_t item, const struct pull_progress *progress)
{
	struct steps *s = ctx;
	const struct wait_limit limit = WAIT_FOREVER;
	char bytes[128];
	if (item != 0 || s->n > STEPS || strcmp(progress->status, "done") == 0)
		return;
	assert_int_equal(wait_ms(STEP_MS, &limit, NULL), LM_OK); // the link's own time
	(void)snprintf(bytes, sizeof(bytes),
		"{\"status\":\"Extracting\",\"progressDetail\":{\"current\":%u,\"total\":9},\"id\":"
		"\"a\"}\r\n",
		s->n + 1);
	bool last = s->n++ == STEPS;
	fake_engine_push(
		s->engine, "POST /v1.41/images/create?fromImage=moving", last ? CLOSING : bytes);
	if (last)
		fake_engine_push(s->engine, "POST /v1.41/images/create?fromImage=moving", NULL);
}

static void release_waiting(void *ctx, size_t item, const char *digest)
{
	struct steps *s = ctx;
	(void)digest;
	if (item != 0)
		return;
	fake_engine_push(s->engine, "POST /v1.41/images/create?fromImage=waiting", CLOSING);
	fake_engine_push(s->engine, "POST /v1.41/images/create?fromImage=waiting", NULL);
}

static void a_pull_that_waits_behind_another_is_no_stall(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"POST /v1.41/images/create?",
		OK "{\"status\":\"Pulling from it\"}\r\n", FAKE_HANG}};
	struct steps s = {.engine = fake_engine_create(answers, 1)};
	struct engine e = engine_at(s.engine);
	const struct pull_item items[] = {{.image = "moving"}, {.image = "waiting"}};
	struct pull_options options = {.stall_ms = SILENCE_MS,
		.on_progress = make_step,
		.on_done = release_waiting,
		.ctx = &s};
	struct lm_err err = {0};
	if (engine_pull(&e, items, 2, &options, &forever, &err) != LM_OK)
		fail_msg("%s", err.msg);
	fake_engine_destroy(s.engine);
}

static void a_slow_layer_has_the_time_that_its_next_report_takes(void **state)
{
	(void)state;
	// A hundredth of it is 512 bytes, which the slowest link brings in a second.
	const struct fake_answer answers[] = {{"POST /v1.41/images/create?",
		OK
		"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":512,\"total\":51200},"
		"\"id\":\"a\"}\r\n",
		FAKE_HANG}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = engine_at(f);
	const struct pull_item items[] = {{.image = "a"}};
	struct pull_options options = {.stall_ms = 900}; // which the message would call 0 s
	struct lm_err err = {0};
	assert_int_equal(engine_pull(&e, items, 1, &options, &forever, &err), LM_E_TIMEOUT);
	assert_ptr_equal(strstr(err.msg, "pull image a: no progress for 1 s: "), err.msg);
	fake_engine_destroy(f);
}

static void the_limit_and_a_cancel_end_all(void **state)
{
	(void)state;
	struct lm_err err = {0};
	struct wait_limit limit = wait_limit_within(&forever, 30);
	assert_int_equal(pull_two(DONE, FAKE_CLOSE, 60000, &limit, NULL, &err), LM_E_TIMEOUT);
	assert_null(strstr(err.msg, "no progress"));
	int cancel[2];
	assert_int_equal(pipe(cancel), 0);
	(void)close(cancel[1]);
	limit = (struct wait_limit){.cancel_fd = cancel[0]};
	assert_int_equal(pull_two(DONE, FAKE_CLOSE, 0, &limit, NULL, &err), LM_E_CANCELLED);
	(void)close(cancel[0]);
}

static void a_name_that_is_none_is_never_asked_for(void **state)
{
	(void)state;
	struct fake_engine *f = fake_engine_create(NULL, 0);
	struct engine e = engine_at(f);
	const struct pull_item items[] = {{.image = "a&platform=x"}};
	struct pull_options options = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_pull(&e, items, 1, &options, &forever, &err), LM_E_INVALID);
	assert_int_equal(engine_pull(&e, items, 0, &options, &forever, &err), LM_OK);
	fake_engine_stop(f);
	assert_int_equal(f->requests_n, 0);
	fake_engine_destroy(f);
}

/// As Engine 20.10 sent it, shortened.
static const char recorded[] =
	"{\"status\":\"Pulling from demo/web\",\"id\":\"1\"}\r\n"
	"{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":300,\"total\":1000},"
	"\"progress\":\"[=\\u003e } ]\",\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":50,\"total\":70},\"id\":"
	"\"ab12\"}\r\n"
	"{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Extracting\",\"progressDetail\":{\"current\":32,\"total\":1000},\"id\":"
	"\"c56e\"}\r\n"
	"{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"c56e\"}\r\n"
	"{\"status\":\"Digest: sha256:2d31\"}\r\n"
	"{\"status\":\"Status: Downloaded newer image for localhost:5051/demo/web:1\"}\r\n";

static lm_rc feed(struct pull_stream *s, const char *text, struct lm_err *err)
{
	*err = (struct lm_err){0};
	return pull_stream_feed(s, lm_str(text), err);
}

static void sums_the_layers_whatever_the_pieces(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(recorded); piece += 7) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err = {0};
		pull_stream_init(&s);
		for (size_t i = 0; i < sizeof(recorded) - 1; i += piece) {
			size_t left = sizeof(recorded) - 1 - i;
			struct lm_str part = {recorded + i, left < piece ? left : piece};
			assert_int_equal(pull_stream_feed(&s, part, &err), LM_OK);
		}
		assert_int_equal(s.bytes_done, 1050);
		assert_int_equal(s.bytes_total, 1070);
		assert_string_equal(s.digest, "sha256:2d31");
		assert_string_equal(s.status, "Pull complete");
		assert_int_equal(pull_stream_end(&s, &err), LM_OK);
	}
}

#define LAYER(id, status, current, total)                                                          \
	"{\"status\":\"" status "\",\"progressDetail\":{\"current\":" current ",\"total\":" total  \
	"},\"id\":\"" id "\"}\r\n"

static void knows_what_may_come_without_a_report(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} steps[] = {
		{"{\"status\":\"Pulling fs layer\",\"id\":\"a\"}", 0},
		{LAYER("a", "Downloading", "1", "100000"), 1000},
		{LAYER("b", "Downloading", "1", "999000000"), 1000 + 524288},
		{LAYER("c", "Downloading", "1", "-1"), 1000 + 524288 + 0}, // so small, then
		{LAYER("b", "Retrying in 5 seconds", "0", "0"), 1000},
		{LAYER("b", "Downloading", "2", "999000000"), 1000 + 524288},
		{LAYER("b", "Download complete", "0", "0"), 1000},
		{LAYER("a", "Extracting", "5", "100000"), 0},
	};
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err = {0};
	pull_stream_init(&s);
	for (size_t i = 0; i < LM_ARRAY_SIZE(steps); i++) {
		assert_int_equal(feed(&s, steps[i].text, &err), LM_OK);
		assert_int_equal(s.silent_bytes, steps[i].bytes);
	}
}

static void a_stream_cut_off_is_no_success(void **state)
{
	(void)state;
	size_t closing = (size_t)(strstr(recorded, "{\"status\":\"Digest") - recorded);
	for (size_t n = 0; n <= closing + 5; n++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err = {0};
		pull_stream_init(&s);
		assert_int_equal(pull_stream_feed(&s, (struct lm_str){recorded, n}, &err), LM_OK);
		assert_int_equal(pull_stream_end(&s, &err), LM_E_NETWORK);
	}
}

static void an_error_has_the_engines_message(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		lm_rc rc;
		const char *message;
	} cases[] = {
		{"{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"x\"}",
			LM_E_REFUSED, "no space left on device"},
		{"{\"error\":\"read tcp: connection reset by peer\"}", LM_E_NETWORK,
			"read tcp: connection reset by peer"},
		{"{\"errorDetail\":{\"code\":401,\"message\":\"go away\"},\"error\":\"go away\"}",
			LM_E_DENIED, "go away"},
		{"{\"errorDetail\":{}}", LM_E_REFUSED, "no reason given"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err;
		pull_stream_init(&s);
		assert_int_equal(feed(&s, cases[i].text, &err), cases[i].rc);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void retrying_is_no_progress(void **state)
{
	(void)state;
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err;
	pull_stream_init(&s);
	const char *downloading = "{\"status\":\"Downloading\",\"progressDetail\":"
				  "{\"current\":5,\"total\":10},\"id\":\"a\"}";
	assert_int_equal(feed(&s, downloading, &err), LM_OK);
	uint64_t moves = s.moves;
	assert_int_equal(
		feed(&s, "{\"status\":\"Retrying in 5 seconds\",\"id\":\"a\"}", &err), LM_OK);
	assert_int_equal(feed(&s, "{\"status\":\"Waiting\",\"id\":\"a\"}", &err), LM_OK);
	assert_int_equal(feed(&s, downloading, &err), LM_OK);
	assert_int_equal(s.moves, moves);
	assert_int_equal(feed(&s,
				 "{\"status\":\"Downloading\",\"progressDetail\":"
				 "{\"current\":6,\"total\":10},\"id\":\"a\"}",
				 &err),
		LM_OK);
	assert_int_equal(s.moves, moves + 1);
}

static void rubbish_is_a_protocol_error(void **state)
{
	(void)state;
	static const char *const bad[] = {"<html>", "[1]", "{]", "{\"a\":}", "}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto(pull_stream_finish) struct pull_stream s;
		struct lm_err err;
		pull_stream_init(&s);
		assert_int_equal(feed(&s, bad[i], &err), LM_E_PROTOCOL);
	}
}

static void an_endless_object_is_refused(void **state)
{
	(void)state;
	lm_auto(pull_stream_finish) struct pull_stream s;
	struct lm_err err = {0};
	pull_stream_init(&s);
	lm_auto_free char *text = lm_xmalloc(LIMIT_ENGINE_LINE + 2);
	memset(text, 'a', LIMIT_ENGINE_LINE + 1);
	text[0] = '{';
	text[1] = '"';
	struct lm_str piece = {text, LIMIT_ENGINE_LINE + 1};
	assert_int_equal(pull_stream_feed(&s, piece, &err), LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pulls_with_tag_platform_and_credentials),
		cmocka_unit_test(an_image_that_is_here_by_the_id_that_is_complete_was_pulled),
		cmocka_unit_test(pulls_all_but_few_at_a_time),
		cmocka_unit_test(after_a_failure_none_is_begun_and_those_under_way_go_on),
		cmocka_unit_test(one_that_may_fail_stops_nothing),
		cmocka_unit_test(other_failures_are_counted),
		cmocka_unit_test(a_refused_image_is_tried_once_more_with_other_credentials),
		cmocka_unit_test(the_second_refusal_stands),
		cmocka_unit_test(without_other_credentials_the_refusal_stands),
		cmocka_unit_test(a_pull_without_progress_fails_in_time),
		cmocka_unit_test(a_pull_that_waits_behind_another_is_no_stall),
		cmocka_unit_test(a_slow_layer_has_the_time_that_its_next_report_takes),
		cmocka_unit_test(the_limit_and_a_cancel_end_all),
		cmocka_unit_test(a_name_that_is_none_is_never_asked_for),
		cmocka_unit_test(sums_the_layers_whatever_the_pieces),
		cmocka_unit_test(knows_what_may_come_without_a_report),
		cmocka_unit_test(a_stream_cut_off_is_no_success),
		cmocka_unit_test(an_error_has_the_engines_message),
		cmocka_unit_test(retrying_is_no_progress),
		cmocka_unit_test(rubbish_is_a_protocol_error),
		cmocka_unit_test(an_endless_object_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
