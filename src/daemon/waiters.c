// SPDX-License-Identifier: Apache-2.0
#include "daemon/waiters.h"

#include <stdlib.h>

void waiter_send(const struct waiter *w, json_t *line, bool droppable)
{
	lm_auto_json json_t *owned = line;

	if (owned && w && w->line)
		w->line(w->ctx, owned, droppable);
}

void waiter_finish(struct waiter *w, json_t *last)
{
	lm_auto_json json_t *owned = last;
	struct waiter waiter = *w;

	*w = (struct waiter){0};
	if (waiter.done)
		waiter.done(waiter.ctx, owned);
}

unsigned waiters_add(struct waiters *w, enum lifecycle_command command, const struct waiter *waiter,
	unsigned with)
{
	if (!waiter->done)
		return 0;
	for (unsigned i = 0; i < WAITERS_MAX; i++) {
		if (w->entries[i].is_used)
			continue;
		w->entries[i] = (struct waiters_entry){
			.is_used = true, .with = with, .command = command, .waiter = *waiter};
		return i + 1;
	}
	abort(); // no more than there are connections
}

const struct waiter *waiters_get(const struct waiters *w, unsigned number)
{
	return number ? &w->entries[number - 1].waiter : NULL;
}

enum lifecycle_command waiters_command(const struct waiters *w, unsigned number)
{
	return w->entries[number - 1].command;
}

void waiters_answer(struct waiters *w, unsigned number, json_t *last)
{
	struct waiter waiter = w->entries[number - 1].waiter;

	w->entries[number - 1] = (struct waiters_entry){0};
	for (unsigned i = 0; i < WAITERS_MAX; i++) {
		if (w->entries[i].is_used && w->entries[i].with == number)
			waiters_answer(w, i + 1, json_incref(last));
	}
	waiter_finish(&waiter, last);
}

/// Another one takes the place of a waiter that has gone, if some are answered with it.
static bool replace(struct waiters *w, unsigned number)
{
	struct waiters_entry *gone = &w->entries[number - 1];

	for (unsigned i = 0; i < WAITERS_MAX; i++) {
		if (!w->entries[i].is_used || w->entries[i].with != number)
			continue;
		*gone = w->entries[i];
		gone->with = 0;
		w->entries[i] = (struct waiters_entry){0};
		return true;
	}
	return false;
}

unsigned waiters_forget(struct waiters *w, const void *ctx)
{
	for (unsigned i = 0; i < WAITERS_MAX; i++) {
		struct waiters_entry *entry = &w->entries[i];

		if (!entry->is_used || entry->waiter.ctx != ctx)
			continue;
		if (entry->with == 0 && replace(w, i + 1))
			return 0;
		bool is_alone = entry->with == 0;
		*entry = (struct waiters_entry){0};
		return is_alone ? i + 1 : 0;
	}
	return 0;
}
