// SPDX-License-Identifier: Apache-2.0
#include "http/header_list.h"

#include "base/memory.h"

void header_list_add(struct header_list *list, struct lm_str name, struct lm_str value)
{
	list->items = lm_xrealloc(list->items, (list->n + 1) * sizeof(*list->items));
	struct header *h = &list->items[list->n++];

	*h = (struct header){.name = lm_xmemdup0(name.p, name.n)};
	lm_secret_set(&h->value, value);
}

struct lm_str header_list_get(const struct header_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (lm_str_eq_nocase(lm_str(list->items[i].name), lm_str(name)))
			return lm_secret_str(&list->items[i].value);
	}
	return LM_STR("");
}

void header_list_finish(struct header_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].name);
		lm_secret_finish(&list->items[i].value);
	}
	free(list->items);
	*list = (struct header_list){0};
}
