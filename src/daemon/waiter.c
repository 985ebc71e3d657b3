// SPDX-License-Identifier: Apache-2.0
#include "daemon/waiter.h"

void waiter_tell(const struct waiter *w, json_t *line, bool droppable)
{
	lm_auto_json json_t *owned = line;

	if (owned && w->told)
		w->told(w->ctx, owned, droppable);
}

void waiter_end(struct waiter *w, json_t *last)
{
	lm_auto_json json_t *owned = last;
	struct waiter ended = *w;

	*w = (struct waiter){0};
	if (ended.ended)
		ended.ended(ended.ctx, owned);
}
