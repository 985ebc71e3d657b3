// SPDX-License-Identifier: Apache-2.0
#include "daemon/containers.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "sys/http_unix.h"

enum {
	ANSWER_MS = 10 * 1000,
	TARGET_MAX = 4096,
};

struct question {
	struct question *next;
	containers_done *done;
	void *ctx;
};

struct containers {
	struct loop *loop;
	char *socket_path;
	char *project;
	unsigned minor; ///< Of the API version agreed on; 0: to be asked for.
	bool under_way;
	struct question *waiting;   ///< For what is under way.
	struct question *answering; ///< Being told; a callback may forget some of them.
	struct http_unix *http;
	struct loop_fd *watch;
	struct loop_timer *timer; ///< The time limit; at 0 ms, a failure to begin.
	struct lm_err failure;    ///< To begin; LM_OK: none.
	bool telling;             ///< Callbacks are being called; the memory is needed until then.
	bool destroyed;
};

static void on_ready(void *ctx, short events);
static void on_time(void *ctx);

struct containers *containers_create(
	struct loop *loop, const char *socket_path, const char *project)
{
	struct containers *c = lm_xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->socket_path = lm_xstrdup(socket_path);
	c->project = lm_xstrdup(project);
	c->timer = loop_timer_create(loop, on_time, c);
	return c;
}

static void disconnect(struct containers *c)
{
	loop_fd_destroy(lm_take(c->watch));
	http_unix_destroy(lm_take(c->http));
}

static void stop(struct containers *c)
{
	disconnect(c);
	loop_timer_stop(c->timer);
	c->under_way = false;
}

static void free_first(struct question **list)
{
	struct question *q = *list;

	*list = q->next;
	free(q);
}

static void forget(struct question **list, const void *ctx)
{
	while (*list) {
		if ((*list)->ctx == ctx)
			free_first(list);
		else
			list = &(*list)->next;
	}
}

void containers_destroy(struct containers *c)
{
	if (!c)
		return;
	stop(c);
	while (c->waiting)
		free_first(&c->waiting);
	while (c->answering)
		free_first(&c->answering);
	loop_timer_destroy(c->timer);
	free(c->socket_path);
	free(c->project);
	c->destroyed = true;
	if (!c->telling)
		free(c);
}

/// Tells all who wait. They may ask again, forget, and destroy `c` meanwhile.
static void finish(struct containers *c, lm_rc rc, const struct engine_containers *list,
	const struct lm_err *err)
{
	stop(c);
	if (rc != LM_OK)
		c->minor = 0;
	c->answering = lm_take(c->waiting);
	c->telling = true;
	while (c->answering) {
		struct question q = *c->answering;

		free_first(&c->answering);
		q.done(q.ctx, rc, list, err);
	}
	c->telling = false;
	if (c->destroyed)
		free(c);
}

static lm_rc send_request(struct containers *c, const char *target, struct lm_err *err)
{
	struct http_unix_request request = {.socket_path = c->socket_path,
		.method = "GET",
		.target = target,
		.body_max = LIMIT_ENGINE_BODY};
	lm_rc rc = http_unix_create(&request, &c->http, err);

	if (rc != LM_OK)
		return engine_explain(rc, c->socket_path, err);
	rc = loop_fd_create(c->loop, http_unix_fd(c->http), on_ready, c, &c->watch, err);
	if (rc == LM_OK)
		loop_fd_set(c->watch, http_unix_events(c->http));
	return rc;
}

static lm_rc send_next(struct containers *c, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	if (c->minor == 0)
		return send_request(c, "/version", err);
	if (!engine_containers_target(&target, c->minor, c->project))
		return lm_fail(err, LM_E_INVALID, 0, "the name of the project is too long");
	return send_request(c, lm_buf_cstr(&target), err);
}

void containers_ask(struct containers *c, containers_done *done, void *ctx)
{
	struct question *q = lm_xcalloc(1, sizeof(*q));
	struct question **end = &c->waiting;

	*q = (struct question){.done = done, .ctx = ctx};
	while (*end)
		end = &(*end)->next;
	*end = q;
	if (c->under_way)
		return;
	c->under_way = true;
	c->failure.rc = LM_OK;
	loop_timer_start(c->timer, ANSWER_MS, 0);
	if (send_next(c, &c->failure) != LM_OK)
		loop_timer_start(c->timer, 0, 0);
}

void containers_forget(struct containers *c, void *ctx)
{
	forget(&c->waiting, ctx);
	forget(&c->answering, ctx);
	if (!c->waiting)
		stop(c);
}

static void on_time(void *ctx)
{
	struct containers *c = ctx;
	struct lm_err err = c->failure;

	if (err.rc == LM_OK)
		(void)lm_fail(&err, LM_E_TIMEOUT, 0,
			"the Docker daemon did not answer at %s within %d s: look at its log "
			"(journalctl -u docker)",
			c->socket_path, ANSWER_MS / 1000);
	finish(c, err.rc, NULL, &err);
}

static lm_rc refuse(const struct http_unix *http, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(TARGET_MAX);

	engine_error_text(http_unix_body(http), &words);
	lm_rc rc = engine_error_class(http_unix_status(http), lm_buf_str(&words));
	return lm_fail(err, rc, 0, "the Docker daemon answers: %s", lm_buf_cstr(&words));
}

/// What is asked next is sent, or the list is read.
static lm_rc take_answer(struct containers *c, const struct http_unix *http,
	struct engine_containers *ret, struct lm_err *err)
{
	struct engine_version version;

	if (http_unix_status(http) / 100 != 2)
		return refuse(http, err);
	if (c->minor != 0)
		return engine_parse_containers(http_unix_body(http), c->project, ret, err);
	lm_rc rc = engine_parse_version(http_unix_body(http), &version, err);
	if (rc != LM_OK)
		return rc;
	c->minor = version.minor;
	return send_next(c, err);
}

static void on_answer(struct containers *c)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct lm_err err = {LM_OK};

	loop_fd_destroy(lm_take(c->watch));
	lm_auto(http_unix_destroy_p) struct http_unix *http = lm_take(c->http);
	lm_rc rc = take_answer(c, http, &list, &err);
	if (rc != LM_OK)
		finish(c, lm_wrap(&err, "list containers"), NULL, &err);
	else if (!c->http)
		finish(c, LM_OK, &list, &err);
}

static void on_ready(void *ctx, short events)
{
	struct containers *c = ctx;
	bool done = false;
	struct lm_err err;
	(void)events;

	lm_rc rc = http_unix_step(c->http, &done, &err);
	if (rc != LM_OK)
		finish(c, lm_wrap(&err, "ask the Docker daemon"), NULL, &err);
	else if (done)
		on_answer(c);
	else
		loop_fd_set(c->watch, http_unix_events(c->http));
}
