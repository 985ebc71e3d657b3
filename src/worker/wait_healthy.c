// SPDX-License-Identifier: Apache-2.0
#include "worker/wait_healthy.h"

#include "base/clock.h"
#include "base/memory.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"
#include "events/event_stream.h"
#include "sys/http_unix.h"

enum {
	WHY_MAX = 700,
	WHY_SHOWN = WHY_MAX - 32, ///< The rest is for ", and N more".
	ITEM_MAX = 400,
	LOOK_MS = 10 * 1000, ///< Even if no event comes.
	AWAY_MS = 1000,      ///< Until an engine that does not answer is asked again.
	/// How far back events are asked for: none may fall between two streams.
	OVERLAP_MS = 5 * 1000,
	TARGET_MAX = 4096,
};

static struct health_history *find_history(const struct health_watch *watch, const char *id)
{
	for (size_t i = 0; i < watch->n; i++)
		if (strcmp(watch->items[i].id, id) == 0)
			return &watch->items[i];
	return NULL;
}

static bool is_state(const struct health_container *c, const char *state)
{
	return strcmp(c->state.state, state) == 0;
}

/// The history of a container after this look; `before` is NULL at the first.
static struct health_history next_history(
	const struct health_history *before, const struct health_container *c, uint64_t now_ms)
{
	struct health_history h = {.id = lm_xstrdup(c->listed->id),
		.started_ms = c->state.started_ms,
		.restart_count = c->state.restart_count,
		.exit_code = -1,
		.up_since_ms = now_ms};

	if (before) {
		bool same_run = before->started_ms == h.started_ms;

		h.changes = before->changes + !same_run;
		h.exit_code = before->exit_code;
		if (same_run && before->restart_count == h.restart_count && is_state(c, "running"))
			h.up_since_ms = before->up_since_ms;
	}
	if (c->state.exit_code >= 0)
		h.exit_code = c->state.exit_code;
	return h;
}

void health_watch_update(struct health_watch *watch, const struct health_container *containers,
	size_t n, uint64_t now_ms)
{
	struct health_watch next = {.items = lm_xcalloc(n + 1, sizeof(*next.items)), .n = n};

	for (size_t i = 0; i < n; i++)
		next.items[i] = next_history(
			find_history(watch, containers[i].listed->id), &containers[i], now_ms);
	health_watch_finish(watch);
	*watch = next;
}

void health_watch_exited(struct health_watch *watch, const char *id, int exit_code)
{
	struct health_history *h = find_history(watch, id);

	if (h && exit_code >= 0)
		h->exit_code = exit_code;
}

void health_watch_finish(struct health_watch *watch)
{
	for (size_t i = 0; i < watch->n; i++)
		free(watch->items[i].id);
	free(watch->items);
	*watch = (struct health_watch){0};
}

/// In the order in which they are described: the worst first.
enum condition { FAILED, RESTARTING, STARTING, HEALTHY };

static enum condition condition_when_exited(const struct health_container *c)
{
	switch (c->state.restart_policy) {
	case ENGINE_RESTART_ALWAYS: // stopped by hand, or the engine is starting
		return STARTING;
	case ENGINE_RESTART_ON_FAILURE:
	case ENGINE_RESTART_NO:
		break;
	}
	return c->state.exit_code == 0 ? HEALTHY : FAILED;
}

static enum condition condition_when_running(
	const struct health_question *q, const struct health_container *c)
{
	const struct health_history *h = find_history(q->watch, c->listed->id);

	switch (c->state.health) {
	case ENGINE_HEALTHY:
		return HEALTHY;
	case ENGINE_UNHEALTHY:
		return FAILED;
	case ENGINE_HEALTH_STARTING:
		return h && h->changes > 0 ? RESTARTING : STARTING;
	case ENGINE_HEALTH_NONE:
		break;
	}
	if (h && q->now_ms - h->up_since_ms >= q->stable_ms)
		return HEALTHY;
	return h && h->changes > 0 ? RESTARTING : STARTING;
}

static enum condition condition_of(
	const struct health_question *q, const struct health_container *c)
{
	if (is_state(c, "running"))
		return condition_when_running(q, c);
	if (is_state(c, "exited"))
		return condition_when_exited(c);
	if (is_state(c, "restarting"))
		return RESTARTING;
	return is_state(c, "dead") ? FAILED : STARTING;
}

/// How often it was restarted: the engine counts only restarts of its own restart policy.
static unsigned count_restarts(const struct health_question *q, const struct health_container *c)
{
	const struct health_history *h = find_history(q->watch, c->listed->id);
	unsigned changes = h ? h->changes : 0;

	return c->state.restart_count > changes ? c->state.restart_count : changes;
}

static void put_restarts(
	const struct health_question *q, const struct health_container *c, struct lm_buf *out)
{
	unsigned n = count_restarts(q, c);

	if (n > 0)
		(void)lm_buf_printf(out, ", %u restart%s", n, n == 1 ? "" : "s");
}

static void describe_failure(
	const struct health_question *q, const struct health_container *c, struct lm_buf *out)
{
	if (is_state(c, "running")) {
		(void)lm_buf_puts(out, " is unhealthy");
	} else if (is_state(c, "dead")) {
		(void)lm_buf_puts(out, " is dead");
	} else {
		(void)lm_buf_printf(out, " exited with exit code %d", c->state.exit_code);
		put_restarts(q, c, out);
	}
}

static void describe_loop(
	const struct health_question *q, const struct health_container *c, struct lm_buf *out)
{
	const struct health_history *h = find_history(q->watch, c->listed->id);

	(void)lm_buf_puts(out, " keeps restarting (");
	if (h && h->exit_code >= 0)
		(void)lm_buf_printf(out, "exit code %d", h->exit_code);
	else
		(void)lm_buf_puts(out, "exit code unknown");
	put_restarts(q, c, out);
	(void)lm_buf_puts(out, ")");
}

static void describe_start(
	const struct health_question *q, const struct health_container *c, struct lm_buf *out)
{
	(void)lm_buf_puts(out, " (");
	if (!is_state(c, "running"))
		(void)lm_buf_puts(out, c->state.state);
	else if (c->state.health == ENGINE_HEALTH_STARTING)
		(void)lm_buf_puts(out, "health: starting");
	else
		(void)lm_buf_printf(out, "up for less than %.3g s", (double)q->stable_ms / 1000);
	put_restarts(q, c, out);
	(void)lm_buf_puts(out, ")");
}

/// A list with a ceiling; `n` counts also what is not shown.
struct findings {
	struct lm_buf *why;
	size_t n, shown;
};

static void add_finding(struct findings *f, const struct lm_buf *item)
{
	bool fits = f->why->len + item->len <= WHY_SHOWN && f->shown == f->n;

	f->n++;
	if (!fits)
		return;
	if (f->shown++ > 0)
		(void)lm_buf_puts(f->why, ", ");
	(void)lm_buf_add_str(f->why, lm_buf_str(item));
}

static void add_container(const struct health_question *q, const struct health_container *c,
	enum condition condition, struct findings *f)
{
	lm_auto_buf struct lm_buf item = LM_BUF(ITEM_MAX);

	(void)lm_buf_printf(&item, "container %.200s", c->listed->name);
	if (condition == FAILED)
		describe_failure(q, c, &item);
	else if (condition == RESTARTING)
		describe_loop(q, c, &item);
	else
		describe_start(q, c, &item);
	add_finding(f, &item);
}

static bool is_container_of(const struct health_container *c, const struct health_service *service)
{
	return !c->listed->oneoff && strcmp(c->listed->service, service->name) == 0;
}

static void add_missing(const struct health_service *service, unsigned there, struct findings *f)
{
	lm_auto_buf struct lm_buf item = LM_BUF(ITEM_MAX);

	if (there == 0)
		(void)lm_buf_printf(&item, "service %.200s has no container", service->name);
	else
		(void)lm_buf_printf(&item, "service %.200s has %u of %u containers", service->name,
			there, service->replicas);
	add_finding(f, &item);
}

/// Adds those of a service that healthy so. One that is not as it should be does no harm while
/// others are enough.
static void add_service(const struct health_question *q, const struct health_service *service,
	enum condition condition, struct findings *f)
{
	unsigned there = 0, healthy = 0;

	for (size_t i = 0; i < q->containers_n; i++) {
		if (!is_container_of(&q->containers[i], service))
			continue;
		there++;
		healthy += condition_of(q, &q->containers[i]) == HEALTHY;
	}
	if (healthy >= service->replicas)
		return;
	if (condition == STARTING && there < service->replicas)
		add_missing(service, there, f);
	for (size_t i = 0; i < q->containers_n; i++)
		if (is_container_of(&q->containers[i], service) &&
			condition_of(q, &q->containers[i]) == condition)
			add_container(q, &q->containers[i], condition, f);
}

static size_t add_all(const struct health_question *q, enum condition condition, struct findings *f)
{
	for (size_t i = 0; i < q->services_n; i++)
		add_service(q, &q->services[i], condition, f);
	return f->n;
}

/// When the first container without a health check has been up for long enough.
static uint64_t find_due(const struct health_question *q)
{
	uint64_t due_ms = 0;

	for (size_t i = 0; i < q->containers_n; i++) {
		const struct health_container *c = &q->containers[i];
		const struct health_history *h = find_history(q->watch, c->listed->id);

		if (!h || !is_state(c, "running") || c->state.health != ENGINE_HEALTH_NONE)
			continue;
		uint64_t own_ms = h->up_since_ms + q->stable_ms;
		if (own_ms > q->now_ms && (due_ms == 0 || own_ms < due_ms))
			due_ms = own_ms;
	}
	return due_ms;
}

enum health_verdict health_assess(
	const struct health_question *q, struct lm_buf *why, uint64_t *ret_due_ms)
{
	struct findings f = {.why = why};
	bool failed = add_all(q, FAILED, &f) > 0;

	if (!failed) {
		(void)add_all(q, RESTARTING, &f);
		(void)add_all(q, STARTING, &f);
	}
	if (f.n > f.shown)
		(void)lm_buf_printf(why, ", and %zu more", f.n - f.shown);
	*ret_due_ms = find_due(q);
	if (failed)
		return HEALTH_FAILED;
	return f.n > 0 ? HEALTH_WAIT : HEALTH_READY;
}

/// One wait: the services, and the event stream that shows when to look again.
struct health_wait {
	const struct context *cx;
	struct wait_limit limit;
	struct health_service *services;
	size_t services_n;
	struct health_watch watch;
	struct http_unix *http; ///< The stream; NULL: none.
	struct json_stream stream;
	struct lm_buf why; ///< What was missing at the last look.
	uint64_t due_ms;
};

static void close_stream(struct health_wait *s)
{
	http_unix_destroy(lm_take(s->http));
	json_stream_finish(&s->stream);
}

static void health_wait_finish(struct health_wait *s)
{
	close_stream(s);
	health_watch_finish(&s->watch);
	free(s->services);
	lm_buf_finish(&s->why);
}

static lm_rc take_event(void *ctx, struct lm_str text, struct lm_err *err)
{
	struct health_wait *s = ctx;
	lm_auto_json json_t *json = NULL;
	struct engine_event event;

	// An event that cannot be read still causes a look.
	if (engine_event_parse(text, &json, &event, err) == LM_OK &&
		event.action == ENGINE_EVENT_DIE)
		health_watch_exited(&s->watch, event.id, event.exit_code);
	return LM_OK;
}

static lm_rc take_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct health_wait *s = ctx;

	return json_stream_feed(&s->stream, piece, take_event, s, err);
}

static lm_rc wait_healthy_open_stream(struct health_wait *s, struct lm_err *err)
{
	const struct engine *engine = &s->cx->engine;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	int64_t since_ms = lm_clock_wall_ms() - OVERLAP_MS;

	if (!engine_event_target(
		    &target, engine->version.minor, COMPOSE_PROJECT, since_ms * 1000 * 1000))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "ask for events: the request is too long");
	const struct http_unix_request request = {.socket_path = engine->socket_path,
		.method = "GET",
		.target = lm_buf_cstr(&target),
		.on_body = take_piece,
		.ctx = s};
	lm_rc rc = http_unix_create(&request, &s->http, err);
	if (rc)
		return engine_explain(rc, engine->socket_path, err);
	json_stream_init(&s->stream);
	return LM_OK;
}

/// Reads events. Closes the stream of an engine that stops; the next look shows why.
static void read_stream(struct health_wait *s)
{
	bool done = false;
	struct lm_err ignored = {LM_OK};

	if (s->http && (http_unix_step(s->http, &done, &ignored) != LM_OK || done))
		close_stream(s);
}

static void inspected_finish(struct health_container **containers)
{
	free(*containers);
}

/// The states of all listed containers, without those that are gone meanwhile.
static lm_rc inspect_all(struct health_wait *s, const struct engine_containers *list,
	struct health_container *out, size_t *ret_n, struct lm_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		out[n].listed = &list->items[i];
		lm_rc rc = engine_inspect_container(
			&s->cx->engine, list->items[i].id, &s->limit, &out[n].state, err);
		if (rc == LM_OK)
			n++;
		else if (rc != LM_E_NOT_FOUND)
			return rc;
	}
	*ret_n = n;
	return LM_OK;
}

static lm_rc look_once(struct health_wait *s, enum health_verdict *ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_auto(inspected_finish) struct health_container *containers = NULL;
	size_t n = 0;
	lm_rc rc = engine_list_containers(&s->cx->engine, COMPOSE_PROJECT, &s->limit, &list, err);

	if (rc)
		return rc;
	containers = lm_xcalloc(list.n + 1, sizeof(*containers));
	rc = inspect_all(s, &list, containers, &n, err);
	if (rc)
		return rc;
	uint64_t now_ms = lm_clock_mono_ms();
	health_watch_update(&s->watch, containers, n, now_ms);
	const struct health_question question = {.services = s->services,
		.services_n = s->services_n,
		.containers = containers,
		.containers_n = n,
		.watch = &s->watch,
		.stable_ms = policy_stable_ms(&context_definition(s->cx)->policy),
		.now_ms = now_ms};
	lm_buf_clear(&s->why);
	*ret = health_assess(&question, &s->why, &s->due_ms);
	return LM_OK;
}

/// An engine that does not respond may come back: it restarts, or is upgraded.
static lm_rc look_again(struct health_wait *s, enum health_verdict *ret, struct lm_err *err)
{
	lm_rc rc = s->http ? LM_OK : wait_healthy_open_stream(s, err);

	*ret = HEALTH_WAIT;
	if (!rc)
		rc = look_once(s, ret, err);
	if (!rc || rc == LM_E_CANCELLED || lm_clock_mono_ms() >= s->limit.deadline_ms)
		return rc;
	close_stream(s);
	lm_buf_clear(&s->why);
	(void)lm_buf_puts(&s->why, err->msg);
	s->due_ms = lm_clock_mono_ms() + AWAY_MS;
	return LM_OK;
}

/// Until something may have changed.
static lm_rc wait_for_change(struct health_wait *s, struct lm_err *err)
{
	uint64_t now_ms = lm_clock_mono_ms(), wait_ms = LOOK_MS;
	struct pollfd fd = {.fd = -1};

	if (s->http)
		fd = (struct pollfd){
			.fd = http_unix_fd(s->http), .events = http_unix_events(s->http)};
	if (s->due_ms > 0 && s->due_ms < now_ms + LOOK_MS)
		wait_ms = s->due_ms > now_ms ? s->due_ms - now_ms : 0;
	if (!s->http && wait_ms > AWAY_MS)
		wait_ms = AWAY_MS;
	const struct wait_limit within = wait_limit_within(&s->limit, wait_ms);
	lm_rc rc = wait_for(&fd, 1, &within, err);

	if (rc && rc != LM_E_TIMEOUT)
		return rc;
	if (rc && lm_clock_mono_ms() >= s->limit.deadline_ms)
		return rc;
	read_stream(s);
	return LM_OK;
}

static lm_rc watch_until_healthy(struct health_wait *s, struct lm_err *err)
{
	for (;;) {
		enum health_verdict verdict = HEALTH_WAIT;
		lm_rc rc = look_again(s, &verdict, err);

		if (!rc && verdict == HEALTH_READY)
			return LM_OK;
		if (!rc && verdict == HEALTH_FAILED)
			return lm_fail(err, LM_E_REFUSED, 0, "%s", lm_buf_cstr(&s->why));
		if (!rc)
			rc = wait_for_change(s, err);
		if (rc)
			return rc;
	}
}

/// The services that `up` starts.
static void list_services(struct health_wait *s)
{
	const struct compose_services *all = &s->cx->services;

	s->services = lm_xcalloc(all->n + 1, sizeof(*s->services));
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i].active && all->items[i].replicas > 0)
			s->services[s->services_n++] = (struct health_service){
				.name = all->items[i].name, .replicas = all->items[i].replicas};
}

lm_rc wait_healthy(struct context *cx, struct lm_err *err)
{
	unsigned timeout_s = context_definition(cx)->policy.health_timeout_s;
	lm_auto(health_wait_finish) struct health_wait s = {.cx = cx,
		.limit = wait_limit_within(&cx->limit, (uint64_t)timeout_s * 1000),
		.why = LM_BUF(WHY_MAX)};

	list_services(&s);
	lm_rc rc = watch_until_healthy(&s, err);
	if (rc && rc != LM_E_CANCELLED && rc != LM_E_REFUSED && s.why.len > 0)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"not healthy within %u s (HealthTimeoutSeconds): %s", timeout_s,
			lm_buf_cstr(&s.why));
	return rc;
}
