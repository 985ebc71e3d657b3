// SPDX-License-Identifier: Apache-2.0
#include "daemon/restarts.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static struct metrics_restarts *find(const struct restarts *r, const char *service)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->items[i].service, service) == 0)
			return &r->items[i];
	}
	return NULL;
}

static struct metrics_restarts *append(struct restarts *r, const char *service)
{
	r->items = lm_xrealloc(r->items, (r->n + 1) * sizeof(*r->items));
	r->items[r->n] = (struct metrics_restarts){.service = lm_xstrdup(service)};
	return &r->items[r->n++];
}

void restarts_add(struct restarts *r, const char *service, uint64_t n)
{
	struct metrics_restarts *found = find(r, service);

	if (!found && r->n >= LIMIT_SERVICES) {
		service = "";
		found = find(r, service);
	}
	if (!found)
		found = append(r, service);
	found->n += n;
}

void restarts_finish(struct restarts *r)
{
	for (size_t i = 0; i < r->n; i++)
		free((char *)r->items[i].service);
	free(r->items);
	*r = (struct restarts){0};
}
