// SPDX-License-Identifier: Apache-2.0
#include "events/container_table.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)

static const int64_t WINDOW_NS = 600 * NS_PER_S, CALM_MIN_NS = 60 * NS_PER_S;
enum { LAST = CRASH_LOOP_EXITS - 1 };

static const char *const STATES[] = {
	[CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",
	[CONTAINER_PAUSED] = "paused",
	[CONTAINER_RESTARTING] = "restarting",
	[CONTAINER_REMOVING] = "removing",
	[CONTAINER_EXITED] = "exited",
	[CONTAINER_DEAD] = "dead",
};

const char *container_state_name(enum container_state state)
{
	return STATES[state];
}

enum container_state container_state_from_name(const char *name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(STATES); i++)
		if (strcmp(STATES[i], name) == 0)
			return (enum container_state)i;
	return CONTAINER_CREATED;
}

bool container_state_is_up(enum container_state state)
{
	return state == CONTAINER_RUNNING || state == CONTAINER_PAUSED;
}

void crash_loop_add(struct crash_loop *l, int64_t time_ns, int exit_code, bool crashed)
{
	size_t place = 0; // among those that are known

	for (size_t i = 0; i < CRASH_LOOP_EXITS; i++) {
		if (l->exits_ns[i] == time_ns)
			return;
		place += l->exits_ns[i] < time_ns;
	}
	if (place == 0)
		return;
	memmove(l->exits_ns, l->exits_ns + 1, (place - 1) * sizeof(l->exits_ns[0]));
	l->exits_ns[place - 1] = time_ns;
	if (place < CRASH_LOOP_EXITS)
		return;
	l->exit_code = exit_code;
	l->crashed = crashed;
}

int64_t crash_loop_last_ns(const struct crash_loop *l)
{
	return l->exits_ns[LAST];
}

bool crash_loop_is_on(const struct crash_loop *l, int64_t now_ns)
{
	int64_t calm_ns = CALM_MIN_NS, age_ns = now_ns - l->exits_ns[LAST];

	if (l->exits_ns[0] == 0 || l->exits_ns[LAST] - l->exits_ns[0] > WINDOW_NS)
		return false;
	for (size_t i = 1; i < CRASH_LOOP_EXITS; i++) {
		int64_t pause_ns = l->exits_ns[i] - l->exits_ns[i - 1];

		calm_ns = 2 * pause_ns > calm_ns ? 2 * pause_ns : calm_ns;
	}
	// One that seems to lie ahead is of a clock that was set back.
	return age_ns < calm_ns && age_ns > -CALM_MIN_NS;
}

static void container_table_destroy(struct container *c)
{
	free(c->name);
	free(c->service);
	free(c->image);
	rate_limit_finish(&c->rate_limit);
	free(c);
}

void container_table_finish(struct container_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		container_table_destroy(t->items[i]);
	free(t->items);
	*t = (struct container_table){0};
}

struct container *container_table_find(const struct container_table *t, const char *id)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->items[i]->id, id) == 0)
			return t->items[i];
	return NULL;
}

/// Makes room for one. False: all of them are up.
static bool container_table_make_room(struct container_table *t)
{
	if (t->n == LIMIT_CONTAINERS) {
		for (size_t i = 0; i < t->n; i++) {
			struct container *c = t->items[i];

			if (!container_state_is_up(c->state) &&
				!rate_limit_holds_any(&c->rate_limit)) {
				container_table_remove(t, c);
				return true;
			}
		}
		return false;
	}
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 8;
		t->items = lm_xrealloc(t->items, t->room * sizeof(struct container *));
	}
	return true;
}

struct container *container_table_add(struct container_table *t, const char *id, int64_t floor_ns)
{
	if (!container_table_make_room(t))
		return NULL;
	struct container *c = lm_xcalloc(1, sizeof(*c));
	(void)snprintf(c->id, sizeof(c->id), "%s", id);
	c->name = lm_xstrdup("");
	c->service = lm_xstrdup("");
	c->image = lm_xstrdup("");
	c->restart_count = EVENT_UNKNOWN;
	c->floor_ns = floor_ns;
	t->items[t->n++] = c;
	return c;
}

void container_table_remove(struct container_table *t, struct container *c)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i] != c)
			continue;
		t->items[i] = t->items[--t->n];
		container_table_destroy(c);
		return;
	}
}

static void set(char **text, const char *value)
{
	if (!value || !*value || strcmp(*text, value) == 0)
		return;
	free(*text);
	*text = lm_xstrdup(value);
}

void container_set_names(
	struct container *c, const char *name, const char *service, const char *image)
{
	set(&c->name, name);
	set(&c->service, service);
	set(&c->image, image);
}
