// SPDX-License-Identifier: Apache-2.0
#include "daemon/healer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/container_list.h"
#include "docker/engine_request.h"

#include <stdlib.h>
#include <string.h>

enum {
	PAUSE_MS = 10 * 1000, ///< Before the first restart of a service; doubled with each more,
	PAUSE_MAX_MS = 10 * 60 * 1000, ///< up to this,
	CALM_MS = 10 * 60 * 1000,      ///< until it has been healthy for so long.
	PARALLEL = 4,                  ///< Containers that are restarted at a time.
	INSPECT_MS = 10 * 1000,
	GRACE_MAX_S = 60 * 60,
	RESTART_MS = 60 * 1000,  ///< Beyond the grace: to kill it, and to start it.
	HOLD_MS = 2 * 60 * 1000, ///< So long a task waits for restarts, whatever their grace is.
	TARGET_MAX = 1024,
};

struct healer_service {
	char *name;
	unsigned tries;      ///< Restarts in a row.
	uint64_t due_ms;     ///< The next one, on lm_clock_mono_ms(); 0: none is unhealthy.
	uint64_t healthy_ms; ///< Since when all are healthy; 0: they are not, or it is not known.
	unsigned restarts;
	int64_t last_ms; ///< Wall clock; 0: never.
	char *error;     ///< Of the last restart, if it failed; NULL. Owned.
	// While containers are looked through:
	bool has_healthy, has_unhealthy;
};

enum restart_state {
	RESTART_WAITS,
	RESTART_INSPECTS, ///< Asks the Engine whether it is still unhealthy.
	RESTART_RUNS,
	RESTART_OWED, ///< It failed; tried again when the service is due.
};

/// A container that is to be restarted.
struct healer_restart {
	struct healer_restart *next;
	struct healer *healer;
	enum restart_state state;
	char *id, *name, *service; ///< Owned.
	bool failed;               ///< Before; it may be stopped since.
	struct engine_get *request;
};

struct healer {
	struct loop *loop;
	char *engine_socket;
	struct monitor *monitor;
	struct healer_callbacks callbacks;
	struct container_list *containers;
	bool asks;        ///< For the list.
	unsigned minor;   ///< The version of the API by which the last list was asked for.
	bool list_failed; ///< That was logged.
	struct loop_timer *timer;
	struct loop_timer *hold; ///< Runs while restarts go on that others wait for.
	unsigned generation;     ///< Of `services`.
	struct healer_service *services;
	size_t services_n;
	struct healer_restart *restarts; ///< In the order in which they were found.
	struct metrics_restart_list counts;
};

static void healer_on_list(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err);
static void begin_restarts(struct healer *h);

// Services ---------------------------------------------------------------------------------------

static uint64_t pause_ms(const struct healer_service *s)
{
	uint64_t ms = PAUSE_MS;

	for (unsigned i = 0; i < s->tries && ms < PAUSE_MAX_MS; i++)
		ms *= 2;
	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

static struct healer_service *healer_find_service(const struct healer *h, const char *name)
{
	for (size_t i = 0; i < h->services_n; i++)
		if (strcmp(h->services[i].name, name) == 0)
			return &h->services[i];
	return NULL;
}

/// NULL: there are too many.
static struct healer_service *healer_get_service(struct healer *h, const char *name)
{
	struct healer_service *s = healer_find_service(h, name);

	if (s || h->services_n == LIMIT_SERVICES)
		return s;
	h->services = lm_xrealloc(h->services, (h->services_n + 1) * sizeof(*h->services));
	s = &h->services[h->services_n++];
	*s = (struct healer_service){.name = lm_xstrdup(name)};
	return s;
}

static void forget_services(struct healer *h)
{
	for (size_t i = 0; i < h->services_n; i++) {
		free(h->services[i].name);
		free(h->services[i].error);
	}
	free(lm_take(h->services));
	h->services_n = 0;
}

/// Restarts of it are under way, or about to begin.
static bool is_in_treatment(const struct healer *h, const struct healer_service *s)
{
	for (const struct healer_restart *r = h->restarts; r; r = r->next)
		if (r->state != RESTART_OWED && strcmp(r->service, s->name) == 0)
			return true;
	return false;
}

// Restarts ---------------------------------------------------------------------------------------

static void healer_restart_destroy(struct healer_restart *r)
{
	engine_get_destroy(r->request);
	free(r->id);
	free(r->name);
	free(r->service);
	free(r);
}

static void remove_restart(struct healer_restart *r)
{
	struct healer_restart **p = &r->healer->restarts;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	healer_restart_destroy(r);
}

static struct healer_restart *find_restart(const struct healer *h, const char *id)
{
	for (struct healer_restart *r = h->restarts; r; r = r->next)
		if (strcmp(r->id, id) == 0)
			return r;
	return NULL;
}

static void add_restart(struct healer *h, const struct engine_container *c)
{
	struct healer_restart *r = lm_xcalloc(1, sizeof(*r)), **end = &h->restarts;

	*r = (struct healer_restart){.healer = h,
		.id = lm_xstrdup(c->id),
		.name = lm_xstrdup(c->name),
		.service = lm_xstrdup(c->service)};
	while (*end)
		end = &(*end)->next;
	*end = r;
}

/// All but those that the Engine has begun; those that have failed only with `owed`.
static void drop_restarts(struct healer *h, bool owed)
{
	struct healer_restart *next;

	for (struct healer_restart *r = h->restarts; r; r = next) {
		next = r->next;
		if (r->state == RESTART_RUNS)
			continue;
		if (owed || !r->failed) {
			remove_restart(r);
			continue;
		}
		engine_get_destroy(lm_take(r->request));
		r->state = RESTART_OWED;
	}
}

bool healer_is_busy(const struct healer *h)
{
	for (const struct healer_restart *r = h ? h->restarts : NULL; r; r = r->next)
		if (r->state == RESTART_RUNS)
			return true;
	return false;
}

static unsigned may_restart(const struct healer *h)
{
	return h->callbacks.generation(h->callbacks.ctx);
}

/// One that was stopped by a restart that failed is left stopped by nobody.
static void owe(struct healer_restart *r, const struct lm_err *why)
{
	struct healer_service *s = healer_find_service(r->healer, r->service);

	r->state = RESTART_OWED;
	r->failed = true;
	if (!s)
		return;
	if (!s->error)
		lm_error("container %s (service %s) could not be restarted: %s, retrying", r->name,
			r->service, why->msg);
	free(s->error);
	s->error = lm_xstrdup(why->msg);
}

static void note_restarted(const struct healer_restart *r)
{
	struct healer_service *s = healer_find_service(r->healer, r->service);

	metrics_restarts_add(&r->healer->counts, r->service, 1);
	if (!s)
		return;
	s->restarts++;
	s->last_ms = lm_clock_wall_ms();
	free(lm_take(s->error));
}

/// The next ones may begin; the application is free for others once none runs.
static void finish_restart(struct healer *h)
{
	if (may_restart(h) == h->generation)
		begin_restarts(h);
	h->callbacks.changed(h->callbacks.ctx);
	if (!healer_is_busy(h)) {
		loop_timer_stop(h->hold);
		h->callbacks.idle(h->callbacks.ctx);
	}
	healer_look(h);
}

static void on_restarted(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct healer_restart *r = ctx;
	struct healer *h = r->healer;
	// Otherwise it may still be restarted.
	bool is_definite = rc != LM_E_TIMEOUT && rc != LM_E_NETWORK;
	(void)body;

	engine_get_destroy(lm_take(r->request));
	if (rc != LM_OK && is_definite)
		monitor_end_restart(h->monitor, r->id);
	if (rc == LM_OK)
		note_restarted(r);
	if (rc == LM_OK || rc == LM_E_NOT_FOUND) // or it was removed
		remove_restart(r);
	else
		owe(r, why);
	finish_restart(h);
}

static void run_restart(struct healer_restart *r, const struct engine_container_state *state)
{
	struct healer *h = r->healer;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	unsigned grace_s =
		state->stop_timeout_s < GRACE_MAX_S ? state->stop_timeout_s : GRACE_MAX_S;
	unsigned limit_ms = grace_s * 1000 + RESTART_MS;

	(void)lm_buf_printf(&target, "/v1.%u/containers/%s/restart", h->minor, r->id);
	lm_log(r->failed ? LM_DEBUG : LM_WARN, "container %s (service %s) %s", r->name, r->service,
		r->failed ? "could not be restarted: trying again"
			  : "stays unhealthy: restarting it");
	r->state = RESTART_RUNS;
	monitor_begin_restart(h->monitor, r->id, limit_ms);
	r->request = engine_post_start(h->loop, h->engine_socket, lm_buf_cstr(&target),
		"restart a container", limit_ms, on_restarted, r);
}

/// By what the Engine answers now. One whose restart has failed may have been stopped by it.
static bool needs_restart(const struct healer_restart *r, const struct engine_container_state *s)
{
	if (strcmp(s->state, "running") == 0)
		return s->health == ENGINE_UNHEALTHY;
	return r->failed && (strcmp(s->state, "exited") == 0 || strcmp(s->state, "dead") == 0 ||
				    strcmp(s->state, "created") == 0);
}

static void healer_on_inspected(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct healer_restart *r = ctx;
	struct healer *h = r->healer;
	struct engine_container_state state = {0};
	struct lm_err err = *why;

	engine_get_destroy(lm_take(r->request));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &state, &err);
	if (rc != LM_OK && rc != LM_E_NOT_FOUND) {
		owe(r, &err);
	} else if (rc == LM_OK && may_restart(h) == h->generation && needs_restart(r, &state)) {
		run_restart(r, &state);
		return;
	} else {
		remove_restart(r);
	}
	finish_restart(h);
}

static void inspect_restart(struct healer_restart *r)
{
	struct healer *h = r->healer;
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)engine_container_target(&target, h->minor, r->id);
	r->state = RESTART_INSPECTS;
	r->request = engine_get_start(h->loop, h->engine_socket, lm_buf_cstr(&target),
		"inspect a container", INSPECT_MS, healer_on_inspected, r);
}

static void begin_restarts(struct healer *h)
{
	unsigned n = 0;

	for (const struct healer_restart *r = h->restarts; r; r = r->next)
		n += r->request != NULL;
	for (struct healer_restart *r = h->restarts; r && n < PARALLEL; r = r->next) {
		if (r->state != RESTART_WAITS)
			continue;
		inspect_restart(r);
		n++;
	}
}

// What is due ------------------------------------------------------------------------------------

static bool healer_is_ours(const struct engine_container *c)
{
	return c->service[0] && !c->oneoff && strlen(c->id) < TARGET_MAX / 2;
}

static bool healer_is_due(const struct healer_service *s, uint64_t now_ms)
{
	return s && s->due_ms > 0 && s->due_ms <= now_ms;
}

/// Of those whose restart has failed, only what is in the list can be tried again.
static void review_owed(struct healer *h, const struct engine_containers *list, uint64_t now_ms)
{
	struct healer_restart *next;

	for (struct healer_restart *r = h->restarts; r; r = next) {
		bool is_listed = false;

		next = r->next;
		if (r->state != RESTART_OWED ||
			!healer_is_due(healer_find_service(h, r->service), now_ms))
			continue;
		for (size_t i = 0; i < list->n && !is_listed; i++)
			is_listed = strcmp(list->items[i].id, r->id) == 0;
		if (is_listed)
			r->state = RESTART_WAITS;
		else
			remove_restart(r);
	}
}

static void add_unhealthy_containers(
	struct healer *h, const struct engine_containers *list, uint64_t now_ms)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct engine_container *c = &list->items[i];

		if (healer_is_ours(c) && c->health == ENGINE_UNHEALTHY &&
			container_list_is_in_state(c, "running") && !find_restart(h, c->id) &&
			healer_is_due(healer_find_service(h, c->service), now_ms))
			add_restart(h, c);
	}
}

static void healer_on_list(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct healer *h = ctx;
	uint64_t now_ms = lm_clock_mono_ms();

	h->asks = false;
	if (may_restart(h) != h->generation) {
		healer_look(h);
		return;
	}
	if (rc == LM_OK) {
		h->minor = container_list_api_minor(h->containers);
		review_owed(h, list, now_ms);
		add_unhealthy_containers(h, list, now_ms);
	} else if (!h->list_failed) {
		lm_warn("unhealthy containers cannot be restarted: %s, retrying", err->msg);
	}
	h->list_failed = rc != LM_OK;
	for (size_t i = 0; i < h->services_n; i++) {
		struct healer_service *s = &h->services[i];

		if (!healer_is_due(s, now_ms))
			continue;
		s->tries += rc == LM_OK && is_in_treatment(h, s);
		s->due_ms = 0; // healer_look sets the next one
	}
	begin_restarts(h);
	healer_look(h);
}

static void look_at(void *ctx, const struct monitor_container *c)
{
	struct healer *h = ctx;
	bool is_running = strcmp(c->state, "running") == 0;
	struct healer_service *s = NULL;

	if (!is_running || !c->service[0] || c->oneoff)
		return;
	s = c->health == ENGINE_UNHEALTHY ? healer_get_service(h, c->service)
					  : healer_find_service(h, c->service);
	if (!s)
		return;
	s->has_healthy |= c->health == ENGINE_HEALTHY;
	s->has_unhealthy |= c->health == ENGINE_UNHEALTHY;
}

static void look_at_owed(struct healer *h)
{
	for (const struct healer_restart *r = h->restarts; r; r = r->next) {
		struct healer_service *s = healer_find_service(h, r->service);

		if (s && r->state == RESTART_OWED)
			s->has_unhealthy = true;
	}
}

/// When the service is due, by what was seen of its containers.
static void assess_service(const struct healer *h, struct healer_service *s, uint64_t now_ms)
{
	bool is_healthy = s->has_healthy && !s->has_unhealthy;

	if (s->healthy_ms > 0 && now_ms - s->healthy_ms >= CALM_MS)
		s->tries = 0;
	if (!is_healthy)
		s->healthy_ms = 0;
	else if (s->healthy_ms == 0)
		s->healthy_ms = now_ms;
	if (!s->has_unhealthy || is_in_treatment(h, s))
		s->due_ms = 0;
	else if (s->due_ms == 0)
		s->due_ms = now_ms + pause_ms(s);
}

static void set_timer(struct healer *h, uint64_t now_ms)
{
	uint64_t first_ms = UINT64_MAX;

	for (size_t i = 0; i < h->services_n; i++)
		if (h->services[i].due_ms > 0 && h->services[i].due_ms < first_ms)
			first_ms = h->services[i].due_ms;
	if (first_ms == UINT64_MAX)
		loop_timer_stop(h->timer);
	else
		loop_timer_start(h->timer, first_ms > now_ms ? first_ms - now_ms : 0, 0);
}

/// Who waits for the restarts has waited long enough; the Engine does with them what it likes.
static void healer_on_hold(void *ctx)
{
	struct healer *h = ctx;
	struct healer_restart *next;

	for (struct healer_restart *r = h->restarts; r; r = next) {
		next = r->next;
		if (r->state != RESTART_RUNS)
			continue;
		lm_warn("container %s (service %s) is still being restarted; not waiting for it",
			r->name, r->service);
		remove_restart(r);
	}
	h->callbacks.idle(h->callbacks.ctx);
}

/// Nothing is to be restarted now. What a restart that failed may have stopped is not forgotten.
static void healer_rest(struct healer *h)
{
	loop_timer_stop(h->timer);
	container_list_forget(h->containers, h);
	h->asks = false;
	drop_restarts(h, false);
	if (healer_is_busy(h) && !loop_timer_active(h->hold))
		loop_timer_start(h->hold, HOLD_MS, 0);
	for (size_t i = 0; i < h->services_n; i++)
		h->services[i].due_ms = h->services[i].healthy_ms = 0;
}

void healer_look(struct healer *h)
{
	uint64_t now_ms = lm_clock_mono_ms();
	unsigned generation = h ? may_restart(h) : 0;

	if (!h)
		return;
	if (generation == 0 || monitor_sight(h->monitor) != MONITOR_SEES) {
		healer_rest(h);
		return;
	}
	loop_timer_stop(h->hold);
	if (generation != h->generation) {
		healer_rest(h);
		drop_restarts(h, true);
		forget_services(h);
		h->generation = generation;
	}
	for (size_t i = 0; i < h->services_n; i++)
		h->services[i].has_healthy = h->services[i].has_unhealthy = false;
	monitor_each(h->monitor, look_at, h);
	look_at_owed(h);
	for (size_t i = 0; i < h->services_n; i++)
		assess_service(h, &h->services[i], now_ms);
	if (!h->asks)
		set_timer(h, now_ms);
}

static void healer_on_time(void *ctx)
{
	struct healer *h = ctx;

	h->asks = true;
	container_list_ask(h->containers, healer_on_list, h);
}

struct healer *healer_create(struct loop *loop, const char *engine_socket, const char *project,
	struct monitor *monitor, const struct healer_callbacks *callbacks)
{
	struct healer *h = lm_xcalloc(1, sizeof(*h));

	*h = (struct healer){.loop = loop,
		.engine_socket = lm_xstrdup(engine_socket),
		.monitor = monitor,
		.callbacks = *callbacks};
	h->containers = container_list_create(loop, engine_socket, project);
	h->hold = loop_timer_create(loop, healer_on_hold, h);
	h->timer = loop_timer_create(loop, healer_on_time, h);
	return h;
}

void healer_destroy(struct healer *h)
{
	if (!h)
		return;
	while (h->restarts)
		remove_restart(h->restarts);
	container_list_destroy(h->containers);
	loop_timer_destroy(h->timer);
	loop_timer_destroy(h->hold);
	forget_services(h);
	metrics_restarts_finish(&h->counts);
	free(h->engine_socket);
	free(h);
}

// What others ask --------------------------------------------------------------------------------

json_t *healer_to_json(const struct healer *h)
{
	json_t *list = json_array();
	uint64_t now_ms = lm_clock_mono_ms();

	for (size_t i = 0; i < h->services_n; i++) {
		const struct healer_service *s = &h->services[i];
		uint64_t left_ms = s->due_ms > now_ms ? s->due_ms - now_ms : 0;

		if (s->restarts == 0 && s->due_ms == 0 && !s->error)
			continue;
		json_array_append_new(list,
			json_pack("{s:s, s:i, s:o, s:o, s:s?}", "service", s->name, "restarts",
				(int)s->restarts, "last_ms",
				s->last_ms ? json_integer(s->last_ms) : json_null(), "retry_ms",
				s->due_ms ? json_integer((json_int_t)left_ms) : json_null(),
				"error", s->error));
	}
	return list;
}

const struct metrics_restart_list *healer_restarts(const struct healer *h)
{
	return &h->counts;
}
