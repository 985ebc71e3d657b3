// SPDX-License-Identifier: Apache-2.0
#include "events/event_stream.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"
#include "sys/http_unix.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum {
	NS_PER_S = 1000000000,
	SIGNAL_HIGHEST = 64,
	SINCE_TYPES = 22, ///< API 1.22 filters by type, and has Actor.
	AGAIN_MS = 100,
	AGAIN_MAX_MS = 10 * 1000,
	OPEN_MS = 10 * 1000, ///< Until the engine has begun to answer.
	TARGET_MAX = 4096,
};

#define HEALTH "health_status"
#define HEALTH_PREFIX HEALTH ": "

/// The last two are what Podman calls "die" and "destroy". It filters by its own words, and sends
/// the first as "die" all the same.
static const struct {
	const char *word;
	enum engine_event_action action;
} ACTIONS[] = {
	{"create", ENGINE_EVENT_CREATE},
	{"start", ENGINE_EVENT_START},
	{"die", ENGINE_EVENT_DIE},
	{"oom", ENGINE_EVENT_OOM},
	{"kill", ENGINE_EVENT_KILL},
	{"pause", ENGINE_EVENT_PAUSE},
	{"unpause", ENGINE_EVENT_UNPAUSE},
	{"rename", ENGINE_EVENT_RENAME},
	{"destroy", ENGINE_EVENT_DESTROY},
	{"died", ENGINE_EVENT_DIE},
	{"remove", ENGINE_EVENT_DESTROY},
};

static void note_health(const char *word, struct engine_event *e)
{
	e->action = ENGINE_EVENT_HEALTH;
	if (strcmp(word, "healthy") == 0)
		e->health = ENGINE_HEALTHY;
	else if (strcmp(word, "unhealthy") == 0)
		e->health = ENGINE_UNHEALTHY;
	else
		e->health = ENGINE_HEALTH_STARTING;
}

/// `health` is a member of its own in Podman's events, and NULL in others.
static void read_action(const char *word, const char *health, struct engine_event *e)
{
	size_t prefix = strlen(HEALTH_PREFIX);

	for (size_t i = 0; i < LM_ARRAY_SIZE(ACTIONS); i++)
		if (strcmp(ACTIONS[i].word, word) == 0)
			e->action = ACTIONS[i].action;
	if (strncmp(word, HEALTH_PREFIX, prefix) == 0)
		note_health(word + prefix, e);
	else if (health && strcmp(word, HEALTH) == 0)
		note_health(health, e);
}

/// An id goes into targets of requests: letters and digits only.
static bool read_id(const char *id, struct engine_event *e)
{
	size_t n = id ? strlen(id) : 0;

	if (n == 0 || n >= ENGINE_EVENT_ID_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]))
			return false;
	memcpy(e->id, id, n + 1);
	return true;
}

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++) // FNV-1a
		h = (h ^ bytes[i]) * 0x100000001b3u;
	return h;
}

static uint64_t make_key(const struct engine_event *e, const char *word)
{
	uint64_t h = hash(0xcbf29ce484222325u, &e->time_ns, sizeof(e->time_ns));

	h = hash(h, e->id, strlen(e->id));
	return hash(h, word, strlen(word));
}

static const char *text_or_empty(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "";
}

static void read_attributes(const json_t *attributes, struct engine_event *e)
{
	const char *code = json_get_text(attributes, "exitCode");
	const char *signal = json_get_text(attributes, "signal");
	uint64_t number;

	e->name = text_or_empty(attributes, "name");
	e->service = text_or_empty(attributes, "com.docker.compose.service");
	e->image = text_or_empty(attributes, "image");
	e->oneoff = strcmp(text_or_empty(attributes, "com.docker.compose.oneoff"), "True") == 0;
	if (code && lm_str_to_u64(lm_str(code), INT32_MAX, &number))
		e->exit_code = (int)number;
	if (signal && lm_str_to_u64(lm_str(signal), SIGNAL_HIGHEST, &number))
		e->signal = (int)number;
}

static int64_t read_time(const json_t *j)
{
	int64_t ns = json_get_int(j, "timeNano", 0), s = json_get_int(j, "time", 0);

	if (ns > 0)
		return ns;
	return s > 0 && s < INT64_MAX / NS_PER_S ? s * NS_PER_S : 0;
}

lm_rc engine_event_parse(
	struct lm_str text, json_t **ret_json, struct engine_event *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	struct engine_event e = {.exit_code = -1};

	if (json_parse(text, &j, err))
		return lm_fail(err, LM_E_PROTOCOL, 0, "an event of the Docker daemon is not JSON");
	const json_t *actor = json_object_get(j, "Actor");
	const char *action = json_get_text(j, "Action"), *id = json_get_text(actor, "ID");
	const char *type = json_get_text(j, "Type");
	if (!action)
		action = json_get_text(j, "status");
	e.time_ns = read_time(j);
	if (!action || !read_id(id ? id : json_get_text(j, "id"), &e) || e.time_ns == 0)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"an event of the Docker daemon lacks its time, action or container");
	if (!type || strcmp(type, "container") == 0)
		read_action(action, json_get_text(j, "HealthStatus"), &e);
	read_attributes(json_object_get(actor, "Attributes"), &e);
	if (!*e.image)
		e.image = text_or_empty(j, "from");
	e.key = make_key(&e, action);
	*ret_json = lm_take(j);
	*ret = e;
	return LM_OK;
}

bool engine_event_target(struct lm_buf *out, unsigned minor, const char *project, int64_t since_ns)
{
	lm_auto_buf struct lm_buf filter = LM_BUF(1024);

	(void)lm_buf_puts(&filter, minor >= SINCE_TYPES ? "{\"type\":[\"container\"]," : "{");
	(void)lm_buf_printf(&filter, "\"label\":[\"com.docker.compose.project=%s\"],", project);
	(void)lm_buf_puts(&filter, "\"event\":[\"" HEALTH "\"");
	for (size_t i = 0; i < LM_ARRAY_SIZE(ACTIONS); i++)
		(void)lm_buf_printf(&filter, ",\"%s\"", ACTIONS[i].word);
	(void)lm_buf_puts(&filter, "]}");
	if (since_ns < 0)
		since_ns = 0;
	(void)lm_buf_printf(out, "/v1.%u/events?since=%" PRId64 ".%09" PRId64 "&filters=", minor,
		since_ns / NS_PER_S, since_ns % NS_PER_S);
	return !filter.overflow && lm_percent_encode(out, lm_buf_str(&filter), false) &&
	       !out->overflow;
}

struct event_stream {
	struct loop *loop;
	const char *socket_path, *project;
	struct event_stream_callbacks events;
	struct loop_timer *timer; ///< Tries again; while connecting, the time limit.
	unsigned tries;
	bool is_lost;
	unsigned minor;
	struct engine_get *version;
	struct http_unix *http; ///< The stream itself.
	struct loop_fd *watch;
	struct json_stream objects;
	bool open;
};

static void close_all(struct event_stream *s)
{
	engine_get_destroy(lm_take(s->version));
	loop_fd_destroy(lm_take(s->watch));
	http_unix_destroy(lm_take(s->http));
	json_stream_finish(&s->objects);
	json_stream_init(&s->objects);
	s->open = false;
}

static void event_stream_lose(struct event_stream *s, const struct lm_err *why)
{
	bool is_first = !s->is_lost;

	close_all(s);
	s->is_lost = true;
	loop_timer_start(s->timer,
		AGAIN_MS + lm_backoff_ms(s->tries++, AGAIN_MS, AGAIN_MAX_MS - AGAIN_MS), 0);
	s->events.lost(s->events.ctx, why, is_first);
}

void event_stream_reset_backoff(struct event_stream *s)
{
	s->tries = 0;
	s->is_lost = false;
}

void event_stream_break(struct event_stream *s, const struct lm_err *why)
{
	event_stream_lose(s, why);
}

static lm_rc event_stream_on_object(void *ctx, struct lm_str text, struct lm_err *err)
{
	struct event_stream *s = ctx;
	lm_auto_json json_t *j = NULL;
	struct engine_event event;
	struct lm_err ignored; // one that cannot be read must not stop those behind it
	(void)err;

	if (engine_event_parse(text, &j, &event, &ignored) == LM_OK)
		s->events.event(s->events.ctx, &event);
	return LM_OK;
}

/// The answer has begun.
static void note_open(struct event_stream *s)
{
	if (s->open)
		return;
	s->open = true;
	loop_timer_stop(s->timer);
	s->events.opened(s->events.ctx, s->minor);
}

static lm_rc on_body(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct event_stream *s = ctx;

	note_open(s); // the first events come in the same turn as the head
	return json_stream_feed(&s->objects, piece, event_stream_on_object, s, err);
}

static lm_rc refuse(const struct event_stream *s, struct lm_err *err)
{
	(void)!engine_answer_error(s->http, err);
	return lm_wrap(err, "the Docker daemon answers");
}

static lm_rc explain_end(const struct event_stream *s, struct lm_err *err)
{
	if (http_unix_status(s->http) / 100 != 2)
		return refuse(s, err);
	return lm_fail(err, LM_E_NETWORK, 0, "the Docker daemon closed its event stream");
}

static void event_stream_on_ready(void *ctx, short events)
{
	struct event_stream *s = ctx;
	bool done = false;
	struct lm_err err = {LM_OK};
	(void)events;

	lm_rc rc = http_unix_step(s->http, &done, &err);
	if (rc == LM_OK && done)
		rc = explain_end(s, &err);
	if (rc) {
		event_stream_lose(s, &err);
		return;
	}
	loop_fd_set(s->watch, http_unix_events(s->http));
	if (http_unix_status(s->http) / 100 == 2)
		note_open(s);
}

static lm_rc event_stream_open(struct event_stream *s, struct lm_err *err)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	if (!engine_event_target(&target, s->minor, s->project, s->events.from(s->events.ctx)))
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
	rc = loop_fd_create(
		s->loop, http_unix_fd(s->http), event_stream_on_ready, s, &s->watch, err);
	if (rc == LM_OK)
		loop_fd_set(s->watch, http_unix_events(s->http));
	return rc;
}

static void on_version(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct event_stream *s = ctx;
	struct engine_version version;
	struct lm_err err = *why;

	if (rc == LM_OK)
		rc = engine_parse_version(body, &version, &err);
	if (rc == LM_OK) {
		s->minor = version.minor;
		rc = event_stream_open(s, &err);
	}
	engine_get_destroy(lm_take(s->version));
	if (rc)
		event_stream_lose(s, &err);
	else
		loop_timer_start(s->timer, OPEN_MS, 0);
}

static void connect_again(struct event_stream *s)
{
	s->version = engine_get_start(
		s->loop, s->socket_path, "/version", "ask for the version", OPEN_MS, on_version, s);
}

static void event_stream_on_time(void *ctx)
{
	struct event_stream *s = ctx;
	struct lm_err err = {LM_OK};

	if (!s->http) {
		connect_again(s);
		return;
	}
	(void)lm_fail(&err, LM_E_TIMEOUT, 0,
		"the Docker daemon did not start its event stream within %d s", OPEN_MS / 1000);
	event_stream_lose(s, &err);
}

struct event_stream *event_stream_create(struct loop *loop, const char *socket_path,
	const char *project, const struct event_stream_callbacks *events)
{
	struct event_stream *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct event_stream){.loop = loop, .socket_path = socket_path, .project = project};
	s->events = *events;
	json_stream_init(&s->objects);
	s->timer = loop_timer_create(loop, event_stream_on_time, s);
	connect_again(s);
	return s;
}

void event_stream_destroy(struct event_stream *s)
{
	if (!s)
		return;
	close_all(s);
	json_stream_finish(&s->objects);
	loop_timer_destroy(s->timer);
	free(s);
}
