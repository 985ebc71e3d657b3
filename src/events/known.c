// SPDX-License-Identifier: Apache-2.0
#include "events/known.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static void destroy(struct known *k)
{
	free(k->name);
	free(k->service);
	free(k->image);
	for (size_t i = 0; i < THROTTLE_KINDS; i++)
		throttle_finish(&k->throttles[i]);
	free(k);
}

void known_finish(struct known_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		destroy(t->items[i]);
	free(t->items);
	*t = (struct known_table){0};
}

struct known *known_find(const struct known_table *t, const char *id)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->items[i]->id, id) == 0)
			return t->items[i];
	return NULL;
}

/// Makes room for one. False: all that are known are alive.
static bool make_room(struct known_table *t)
{
	if (t->n == LIMIT_CONTAINERS) {
		for (size_t i = 0; i < t->n; i++) {
			if (!life_is_up(t->items[i]->life) && !throttle_holds(t->items[i])) {
				known_remove(t, t->items[i]);
				return true;
			}
		}
		return false;
	}
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 8;
		t->items = lm_xrealloc(t->items, t->room * sizeof(struct known *));
	}
	return true;
}

struct known *known_add(struct known_table *t, const char *id, int64_t floor_ns)
{
	struct known *k = known_find(t, id);

	if (k || !make_room(t))
		return k;
	k = lm_xcalloc(1, sizeof(*k));
	(void)snprintf(k->id, sizeof(k->id), "%s", id);
	k->name = lm_xstrdup("");
	k->service = lm_xstrdup("");
	k->image = lm_xstrdup("");
	k->restart_count = REPORT_UNKNOWN;
	k->floor_ns = floor_ns;
	t->items[t->n++] = k;
	return k;
}

void known_remove(struct known_table *t, struct known *k)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i] != k)
			continue;
		t->items[i] = t->items[--t->n];
		destroy(k);
		return;
	}
}

static void set(char **text, const char *told)
{
	if (!told || !*told || strcmp(*text, told) == 0)
		return;
	free(*text);
	*text = lm_xstrdup(told);
}

void known_set_names(struct known *k, const char *name, const char *service, const char *image)
{
	set(&k->name, name);
	set(&k->service, service);
	set(&k->image, image);
}
