// SPDX-License-Identifier: Apache-2.0
#include "monitor/ask.h"

#include "base/memory.h"
#include "docker/engine.h"
#include "sys/http_unix.h"

enum { ANSWER_MS = 10 * 1000, WORDS_MAX = 4096 };

struct ask {
	struct ask_request request; ///< Without the target.
	struct http_unix *http;
	struct loop_fd *watch;
	struct loop_timer *timer; ///< The time limit; at 0 ms, a failure to begin.
	struct lm_err failure;    ///< To begin; LM_OK: none.
};

static void stop(struct ask *a)
{
	loop_fd_destroy(lm_take(a->watch));
	loop_timer_stop(a->timer);
}

void ask_destroy(struct ask *a)
{
	if (!a)
		return;
	stop(a);
	http_unix_destroy(a->http);
	loop_timer_destroy(a->timer);
	free(a);
}

/// Nothing of `a` is used behind it.
static void finish(struct ask *a, lm_rc rc, const struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *http = lm_take(a->http);

	stop(a);
	a->request.done(a->request.ctx, rc, http ? http_unix_body(http) : LM_STR(""), err);
}

static void on_time(void *ctx)
{
	struct ask *a = ctx;
	struct lm_err err = a->failure;

	if (err.rc == LM_OK)
		(void)lm_fail(&err, LM_E_TIMEOUT, 0,
			"the Docker daemon did not answer at %s within %d s: look at its log "
			"(journalctl -u docker)",
			a->request.socket_path, ANSWER_MS / 1000);
	finish(a, err.rc, &err);
}

static lm_rc refuse(const struct http_unix *http, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(WORDS_MAX);

	engine_error_text(http_unix_body(http), &words);
	lm_rc rc = engine_error_class(http_unix_status(http), lm_buf_str(&words));
	return lm_fail(err, rc, 0, "the Docker daemon answers: %s", lm_buf_cstr(&words));
}

static void on_ready(void *ctx, short events)
{
	struct ask *a = ctx;
	bool done = false;
	struct lm_err err = {LM_OK};
	(void)events;

	lm_rc rc = http_unix_step(a->http, &done, &err);
	if (rc == LM_OK && !done) {
		loop_fd_set(a->watch, http_unix_events(a->http));
		return;
	}
	if (rc == LM_OK && http_unix_status(a->http) / 100 != 2)
		rc = refuse(a->http, &err);
	finish(a, rc, &err);
}

static lm_rc begin(struct ask *a, struct loop *loop, const char *target, struct lm_err *err)
{
	struct http_unix_request request = {
		.socket_path = a->request.socket_path,
		.method = "GET",
		.target = target,
		.on_body = a->request.on_body,
		.ctx = a->request.ctx,
		.body_max = a->request.body_max,
	};
	lm_rc rc = http_unix_create(&request, &a->http, err);

	if (rc)
		return engine_explain(rc, a->request.socket_path, err);
	rc = loop_fd_create(loop, http_unix_fd(a->http), on_ready, a, &a->watch, err);
	if (rc == LM_OK)
		loop_fd_set(a->watch, http_unix_events(a->http));
	return rc;
}

struct ask *ask_create(struct loop *loop, const struct ask_request *request)
{
	struct ask *a = lm_xcalloc(1, sizeof(*a));

	a->request = *request;
	a->request.target = NULL;
	a->timer = loop_timer_create(loop, on_time, a);
	lm_rc rc = begin(a, loop, request->target, &a->failure);
	loop_timer_start(a->timer, rc ? 0 : ANSWER_MS, 0);
	return a;
}
