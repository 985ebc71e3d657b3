// SPDX-License-Identifier: Apache-2.0
#include "events/stream.h"

#include "base/clock.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "docker/engine_get.h"
#include "docker/json_stream.h"
#include "sys/http_unix.h"

enum {
	AGAIN_MS = 100,
	AGAIN_MAX_MS = 10 * 1000,
	OPEN_MS = 10 * 1000, ///< Until the engine has begun to answer.
	TARGET_MAX = 4096,
};

struct stream {
	struct loop *loop;
	const char *socket_path, *project;
	struct stream_events events;
	struct loop_timer *timer; ///< Tries again; while connecting, the time limit.
	unsigned tries;
	bool told_lost;
	unsigned minor;
	struct engine_get *version;
	struct http_unix *http; ///< The stream itself.
	struct loop_fd *watch;
	struct json_stream objects;
	bool open;
};

static void close_all(struct stream *s)
{
	engine_get_destroy(lm_take(s->version));
	loop_fd_destroy(lm_take(s->watch));
	http_unix_destroy(lm_take(s->http));
	json_stream_finish(&s->objects);
	json_stream_init(&s->objects);
	s->open = false;
}

static void lose(struct stream *s, const struct lm_err *why)
{
	bool is_first = !s->told_lost;

	close_all(s);
	s->told_lost = true;
	loop_timer_start(s->timer,
		AGAIN_MS + lm_backoff_ms(s->tries++, AGAIN_MS, AGAIN_MAX_MS - AGAIN_MS), 0);
	s->events.lost(s->events.ctx, why, is_first);
}

void stream_settle(struct stream *s)
{
	s->tries = 0;
	s->told_lost = false;
}

void stream_break(struct stream *s, const struct lm_err *why)
{
	lose(s, why);
}

static lm_rc on_object(void *ctx, struct lm_str text, struct lm_err *err)
{
	struct stream *s = ctx;
	lm_auto_json json_t *j = NULL;
	struct event event;
	struct lm_err ignored; // one that cannot be read must not stop those behind it
	(void)err;

	if (event_parse(text, &j, &event, &ignored) == LM_OK)
		s->events.event(s->events.ctx, &event);
	return LM_OK;
}

/// The answer has begun.
static void note_open(struct stream *s)
{
	if (s->open)
		return;
	s->open = true;
	loop_timer_stop(s->timer);
	s->events.opened(s->events.ctx, s->minor);
}

static lm_rc on_body(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct stream *s = ctx;

	note_open(s); // the first events come in the same turn as the head
	return json_stream_feed(&s->objects, piece, on_object, s, err);
}

static lm_rc refuse(const struct stream *s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf words = LM_BUF(TARGET_MAX);

	engine_error_text(http_unix_body(s->http), &words);
	return lm_fail(err, engine_error_class(http_unix_status(s->http), lm_buf_str(&words)), 0,
		"the Docker daemon answers: %s", lm_buf_cstr(&words));
}

static lm_rc ended(const struct stream *s, struct lm_err *err)
{
	if (http_unix_status(s->http) / 100 != 2)
		return refuse(s, err);
	return lm_fail(err, LM_E_NETWORK, 0, "the Docker daemon ended its stream of events");
}

static void on_ready(void *ctx, short events)
{
	struct stream *s = ctx;
	bool done = false;
	struct lm_err err = {LM_OK};
	(void)events;

	lm_rc rc = http_unix_step(s->http, &done, &err);
	if (rc == LM_OK && done)
		rc = ended(s, &err);
	if (rc) {
		lose(s, &err);
		return;
	}
	loop_fd_set(s->watch, http_unix_events(s->http));
	if (http_unix_status(s->http) / 100 == 2)
		note_open(s);
}

static lm_rc open_stream(struct stream *s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	if (!event_target(&target, s->minor, s->project, s->events.from(s->events.ctx)))
		return lm_fail(err, LM_E_INVALID, 0, "the name of the project is too long");
	struct http_unix_request request = {
		.socket_path = s->socket_path,
		.method = "GET",
		.target = lm_buf_cstr(&target),
		.on_body = on_body,
		.ctx = s,
	};
	lm_rc rc = http_unix_create(&request, &s->http, err);
	if (rc)
		return engine_explain(rc, s->socket_path, err);
	rc = loop_fd_create(s->loop, http_unix_fd(s->http), on_ready, s, &s->watch, err);
	if (rc == LM_OK)
		loop_fd_set(s->watch, http_unix_events(s->http));
	return rc;
}

static void on_version(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct stream *s = ctx;
	struct engine_version version;
	struct lm_err err = *why;

	if (rc == LM_OK)
		rc = engine_parse_version(body, &version, &err);
	if (rc == LM_OK) {
		s->minor = version.minor;
		rc = open_stream(s, &err);
	}
	engine_get_destroy(lm_take(s->version));
	if (rc)
		lose(s, &err);
	else
		loop_timer_start(s->timer, OPEN_MS, 0);
}

static void connect_again(struct stream *s)
{
	s->version = engine_get_start(
		s->loop, s->socket_path, "/version", "ask for the version", OPEN_MS, on_version, s);
}

static void on_time(void *ctx)
{
	struct stream *s = ctx;
	struct lm_err err = {LM_OK};

	if (!s->http) {
		connect_again(s);
		return;
	}
	(void)lm_fail(&err, LM_E_TIMEOUT, 0,
		"the Docker daemon did not begin its stream of events within %d s", OPEN_MS / 1000);
	lose(s, &err);
}

struct stream *stream_create(struct loop *loop, const char *socket_path, const char *project,
	const struct stream_events *events)
{
	struct stream *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct stream){.loop = loop, .socket_path = socket_path, .project = project};
	s->events = *events;
	json_stream_init(&s->objects);
	s->timer = loop_timer_create(loop, on_time, s);
	connect_again(s);
	return s;
}

void stream_destroy(struct stream *s)
{
	if (!s)
		return;
	close_all(s);
	json_stream_finish(&s->objects);
	loop_timer_destroy(s->timer);
	free(s);
}
