// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_get.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/answer.h"
#include "docker/engine.h"
#include "sys/http_unix.h"

enum { WORDS_MAX = 4096 };

struct engine_get {
	const char *socket_path, *what;
	unsigned limit_ms;
	engine_get_done *done;
	void *ctx;
	struct http_unix *http;
	struct loop_fd *watch;
	struct loop_timer *timer; ///< The time limit; at 0 ms, a failure to begin.
	struct lm_err failure;    ///< To begin; LM_OK: none.
};

/// The last of it: the request may be gone afterwards.
static void finish(struct engine_get *g, lm_rc rc, const struct lm_err *err)
{
	lm_auto(http_unix_destroy_p) struct http_unix *http = NULL;
	struct lm_str body = {"", 0};

	loop_timer_stop(g->timer);
	loop_fd_destroy(lm_take(g->watch));
	http = lm_take(g->http);
	if (rc == LM_OK)
		body = http_unix_body(http);
	g->done(g->ctx, rc, body, err);
}

static void on_time(void *ctx)
{
	struct engine_get *g = ctx;
	struct lm_err err = g->failure;

	if (err.rc == LM_OK)
		(void)!lm_fail(&err, LM_E_TIMEOUT, 0,
			"the Docker daemon did not answer at %s within %u s: look at its log "
			"(journalctl -u docker)",
			g->socket_path, (g->limit_ms + 999) / 1000);
	finish(g, err.rc, &err);
}

static lm_rc check_status(const struct engine_get *g, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(WORDS_MAX);

	if (http_unix_status(g->http) / 100 == 2)
		return LM_OK;
	engine_error_text(http_unix_body(g->http), &words);
	lm_rc rc = engine_error_class(http_unix_status(g->http), lm_buf_str(&words));
	return lm_fail(
		err, rc, 0, "%s: the Docker daemon answers: %s", g->what, lm_buf_cstr(&words));
}

static void on_ready(void *ctx, short events)
{
	struct engine_get *g = ctx;
	bool done = false;
	struct lm_err err = {LM_OK};
	(void)events;

	lm_rc rc = http_unix_step(g->http, &done, &err);
	if (rc != LM_OK)
		finish(g, lm_wrap(&err, "ask the Docker daemon"), &err);
	else if (done)
		finish(g, check_status(g, &err), &err);
	else
		loop_fd_set(g->watch, http_unix_events(g->http));
}

static lm_rc begin(struct engine_get *g, struct loop *loop, const char *target,
	engine_get_piece *piece, struct lm_err *err)
{
	struct http_unix_request request = {.socket_path = g->socket_path,
		.method = "GET",
		.target = target,
		.on_body = piece,
		.ctx = g->ctx,
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = http_unix_create(&request, &g->http, err);

	if (rc != LM_OK)
		return engine_explain(rc, g->socket_path, err);
	rc = loop_fd_create(loop, http_unix_fd(g->http), on_ready, g, &g->watch, err);
	if (rc == LM_OK)
		loop_fd_set(g->watch, http_unix_events(g->http));
	return rc;
}

struct engine_get *engine_get_start_pieces(struct loop *loop, const char *socket_path,
	const char *target, const char *what, unsigned limit_ms, engine_get_piece *piece,
	engine_get_done *done, void *ctx)
{
	struct engine_get *g = lm_xcalloc(1, sizeof(*g));

	*g = (struct engine_get){.socket_path = socket_path,
		.what = what,
		.limit_ms = limit_ms,
		.done = done,
		.ctx = ctx};
	g->timer = loop_timer_create(loop, on_time, g);
	if (begin(g, loop, target, piece, &g->failure) == LM_OK)
		loop_timer_start(g->timer, limit_ms, 0);
	else
		loop_timer_start(g->timer, 0, 0);
	return g;
}

struct engine_get *engine_get_start(struct loop *loop, const char *socket_path, const char *target,
	const char *what, unsigned limit_ms, engine_get_done *done, void *ctx)
{
	return engine_get_start_pieces(loop, socket_path, target, what, limit_ms, NULL, done, ctx);
}

void engine_get_destroy(struct engine_get *get)
{
	if (!get)
		return;
	loop_fd_destroy(get->watch);
	http_unix_destroy(get->http);
	loop_timer_destroy(get->timer);
	free(get);
}
