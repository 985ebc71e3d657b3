// SPDX-License-Identifier: Apache-2.0
#include "daemon/container_status.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/container_list.h"
#include "daemon/log_router.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	INSPECT_MS = 10 * 1000,
	LIST_EVERY_MS = 5 * 60 * 1000,
	TARGET_MAX = 1024,
	VALUE_MAX = 256,
};

/// The result of an inspection, and when it was made.
struct status_inspection {
	struct engine_container_state state;
	char word[16];    ///< The container's state in the list then: "running".
	uint64_t seen_ms; ///< On lm_clock_mono_ms().
};

/// Whether the container, as a list has it that came at `now_ms` (on lm_clock_mono_ms()), has been
/// in the same state since `known` was seen: restarts, exit code and start are then still the same.
static bool is_fresh(
	const struct status_inspection *known, const struct engine_container *c, uint64_t now_ms)
{
	int64_t age_s = engine_status_age_s(c->status);

	if (!container_list_is_in_state(c, known->word) ||
		container_list_is_in_state(c, "restarting"))
		return false;
	if (age_s >= 0)
		return (uint64_t)age_s * 1000 >= now_ms - known->seen_ms;
	return container_list_is_in_state(c, "created") ||
	       container_list_is_in_state(c, "dead"); // nothing happens to these
}

/// As it is if it is one plain word, else in quotes: anyone who may label a container chooses it.
static void add_value(struct lm_buf *out, const char *key, const char *value)
{
	char shown[4 * VALUE_MAX + 32];

	(void)lm_buf_printf(out, "%s=", key);
	(void)lm_str_shorten(lm_str(value), VALUE_MAX, shown, sizeof(shown));
	if (!*shown)
		(void)lm_buf_puts(out, "-");
	else if (!strpbrk(shown, " \"="))
		(void)lm_buf_puts(out, shown);
	else {
		for (char *p = shown; (p = strchr(p, '"'));)
			*p = '\'';
		(void)lm_buf_printf(out, "\"%s\"", shown);
	}
	(void)lm_buf_putc(out, ' ');
}

static void container_status_add_number(struct lm_buf *out, const char *key, int64_t number)
{
	if (number < 0)
		(void)lm_buf_printf(out, "%s=-", key);
	else
		(void)lm_buf_printf(out, "%s=%" PRId64, key, number);
}

static int64_t uptime_s(const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms)
{
	if (!container_list_is_in_state(c, "running") && !container_list_is_in_state(c, "paused"))
		return -1;
	if (!state || state->started_ms == 0)
		return engine_status_age_s(c->status);
	return now_wall_ms > state->started_ms ? (now_wall_ms - state->started_ms) / 1000 : 0;
}

static int64_t exit_code(
	const struct engine_container *c, const struct engine_container_state *state)
{
	if (container_list_is_in_state(c, "running") || container_list_is_in_state(c, "paused"))
		return -1;
	return c->exit_code >= 0 || !state ? c->exit_code : state->exit_code;
}

/// Appends "service=web name=… image=… state=running health=healthy restarts=0 exit_code=-
/// uptime_s=3600". `state` may be NULL: what only it has is then "-", and the uptime the least that
/// the list can mean.
static void format_line(struct lm_buf *out, const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms)
{
	add_value(out, "service", c->service);
	add_value(out, "name", c->name);
	add_value(out, "image", c->image);
	add_value(out, "state", c->state);
	add_value(out, "health", container_list_health_name(c->health));
	container_status_add_number(out, "restarts", state ? (int64_t)state->restart_count : -1);
	container_status_add_number(out, " exit_code", exit_code(c, state));
	container_status_add_number(out, " uptime_s", uptime_s(c, state, now_wall_ms));
}

/// A container of the list that is being worked on, or, between two of them, what is known of it.
struct status_row {
	struct engine_container c; ///< Its texts are owned.
	struct status_inspection known;
	bool is_known; ///< `known` holds.
};

struct status_rows {
	struct status_row *items;
	size_t n;
};

struct container_status {
	struct loop *loop;
	char *socket_path;
	struct container_list *containers;
	const struct monitor *monitor;
	struct loop_timer *timer;
	unsigned frequency_s;
	bool under_way;          ///< From the request for a list until its lines are written.
	bool away;               ///< The engine did not answer, which was logged.
	struct status_rows rows; ///< Of the list under way, else of the last one.
	uint64_t revision;       ///< The monitor's, before `rows` were asked for; 0: none.
	uint64_t asked_ms;       ///< When.
	size_t next;             ///< The row to ask for.
	unsigned left;           ///< How many may still be asked for, of this list.
	struct engine_get *inspection;
};

static void on_tick(void *ctx);
static void inspect_next(struct container_status *l);

static void rows_finish(struct status_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct engine_container *c = &rows->items[i].c;

		free(c->id);
		free(c->name);
		free(c->service);
		free(c->image);
		free(c->state);
		free(c->status);
	}
	free(rows->items);
	*rows = (struct status_rows){0};
}

struct container_status *container_status_create(struct loop *loop, const char *docker_socket,
	const char *project, const struct monitor *monitor)
{
	struct container_status *l = lm_xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->monitor = monitor;
	l->socket_path = lm_xstrdup(docker_socket);
	l->containers = container_list_create(loop, docker_socket, project);
	l->timer = loop_timer_create(loop, on_tick, l);
	return l;
}

/// Aborts a round without writing its lines.
static void container_status_stop(struct container_status *l)
{
	container_list_forget(l->containers, l);
	engine_get_destroy(lm_take(l->inspection));
	l->under_way = false;
	l->revision = 0;
}

void container_status_destroy(struct container_status *l)
{
	if (!l)
		return;
	container_status_stop(l);
	container_list_destroy(l->containers);
	loop_timer_destroy(l->timer);
	rows_finish(&l->rows);
	free(l->socket_path);
	free(l);
}

void container_status_set_frequency(struct container_status *l, unsigned frequency_s)
{
	uint64_t ms = (uint64_t)frequency_s * 1000;

	if (l->frequency_s == frequency_s)
		return;
	l->frequency_s = frequency_s;
	if (ms) {
		loop_timer_start(l->timer, ms, ms);
		return;
	}
	loop_timer_stop(l->timer);
	container_status_stop(l);
	rows_finish(&l->rows);
	l->away = false;
}

static void container_status_write_lines(struct container_status *l)
{
	int64_t now_ms = lm_clock_wall_ms();

	l->under_way = false;
	log_router_hold();
	if (l->rows.n == 0)
		lm_info("container status: the application has no containers");
	for (size_t i = 0; i < l->rows.n; i++) {
		const struct status_row *row = &l->rows.items[i];
		lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_LOG_LINE);

		format_line(&line, &row->c, row->is_known ? &row->known.state : NULL, now_ms);
		lm_info("container status: %s", lm_buf_cstr(&line));
	}
	log_router_release();
}

static void container_status_on_inspected(
	void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *failure)
{
	struct container_status *l = ctx;
	struct status_row *row = &l->rows.items[l->next++];
	struct lm_err ignored; // the line then goes by the list
	(void)failure;

	engine_get_destroy(lm_take(l->inspection));
	if (rc == LM_OK)
		rc = engine_parse_container_state(body, &row->known.state, &ignored);
	row->is_known = rc == LM_OK;
	// Of an engine that went away the others need not be asked.
	if (rc != LM_OK && rc != LM_E_NOT_FOUND)
		l->left = 0;
	inspect_next(l);
}

/// False if it cannot be asked for.
static bool inspect(struct container_status *l, struct status_row *row)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	if (!engine_container_target(&target, container_list_api_minor(l->containers), row->c.id))
		return false;
	l->left--;
	row->known.seen_ms = lm_clock_mono_ms();
	(void)snprintf(row->known.word, sizeof(row->known.word), "%s", row->c.state);
	l->inspection = engine_get_start(l->loop, l->socket_path, lm_buf_cstr(&target),
		"inspect a container", INSPECT_MS, container_status_on_inspected, l);
	return true;
}

/// Inspects the next container that the list does not describe fully; after the last, writes.
static void inspect_next(struct container_status *l)
{
	for (; l->next < l->rows.n && l->left > 0; l->next++) {
		struct status_row *row = &l->rows.items[l->next];

		if (!row->is_known && inspect(l, row))
			return;
	}
	container_status_write_lines(l);
}

static int by_service(const void *a, const void *b)
{
	const struct status_row *x = a, *y = b;
	int order = strcmp(x->c.service, y->c.service);

	return order ? order : strcmp(x->c.name, y->c.name);
}

static const struct status_row *container_status_find(
	const struct status_rows *rows, const char *id)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->items[i].is_known && strcmp(rows->items[i].c.id, id) == 0)
			return &rows->items[i];
	}
	return NULL;
}

static struct engine_container copy_container(const struct engine_container *c)
{
	struct engine_container copy = *c;

	copy.id = lm_xstrdup(c->id);
	copy.name = lm_xstrdup(c->name);
	copy.service = lm_xstrdup(c->service);
	copy.image = lm_xstrdup(c->image);
	copy.state = lm_xstrdup(c->state);
	copy.status = lm_xstrdup(c->status);
	return copy;
}

/// The rows of a list, with what the rows before knew as far as it still holds.
static void container_status_take_list(
	struct container_status *l, const struct engine_containers *list)
{
	struct status_rows rows = {lm_xcalloc(list->n + 1, sizeof(struct status_row)), list->n};
	uint64_t now_ms = lm_clock_mono_ms();

	for (size_t i = 0; i < list->n; i++) {
		const struct status_row *before =
			container_status_find(&l->rows, list->items[i].id);
		struct status_row *row = &rows.items[i];

		row->c = copy_container(&list->items[i]);
		if (before && is_fresh(&before->known, &row->c, now_ms)) {
			row->known = before->known;
			row->is_known = true;
		}
	}
	qsort(rows.items, rows.n, sizeof(*rows.items), by_service);
	rows_finish(&l->rows);
	l->rows = rows;
}

static void container_status_on_list(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct container_status *l = ctx;

	if (rc != LM_OK) {
		l->under_way = false;
		l->revision = 0;
		if (!l->away)
			lm_warn("container status: %s; no status is logged until it answers",
				err->msg);
		l->away = true;
		return;
	}
	if (l->away)
		lm_info("container status: the Docker daemon answers again");
	l->away = false;
	container_status_take_list(l, list);
	l->next = 0;
	l->left = LIMIT_STATUS_INSPECTIONS;
	inspect_next(l);
}

/// Whether a list would be the same now.
static bool rows_hold(const struct container_status *l, uint64_t revision, uint64_t now_ms)
{
	if (revision == 0 || revision != l->revision || now_ms - l->asked_ms >= LIST_EVERY_MS)
		return false;
	for (size_t i = 0; i < l->rows.n; i++) {
		if (!l->rows.items[i].is_known)
			return false;
	}
	return true;
}

static void on_tick(void *ctx)
{
	struct container_status *l = ctx;
	uint64_t revision = l->monitor ? monitor_revision(l->monitor) : 0;
	uint64_t now_ms = lm_clock_mono_ms();

	if (l->under_way) // an engine that is slower than the frequency
		return;
	if (rows_hold(l, revision, now_ms)) {
		container_status_write_lines(l);
		return;
	}
	l->under_way = true;
	l->revision = revision;
	l->asked_ms = now_ms;
	container_list_ask(l->containers, container_status_on_list, l);
}
