// SPDX-License-Identifier: Apache-2.0
#include "daemon/repair_order.h"

#include "base/cleanup.h"

void repair_order_set(struct repair_order *r, unsigned generation, json_t *images, bool at_once)
{
	json_t *taken = json_incref(images);

	json_decref(r->images);
	r->images = taken;
	r->generation = generation;
	r->at_once = at_once;
}

bool repair_order_is_due(const struct repair_order *r, const struct lifecycle *l)
{
	return r->images && r->at_once && l->wanted.state == WANTED_UP &&
	       l->wanted.generation == r->generation && l->activity == ACTIVITY_IDLE &&
	       lifecycle_is_fulfilled(l);
}

json_t *repair_order_begin(struct repair_order *r, const struct lifecycle *l, unsigned generation)
{
	bool is_ordered = l->command == COMMAND_START && !l->own;

	r->is_under_way = r->images && r->generation == generation &&
			  (l->damaged || is_ordered || (l->touched && l->tries % 2 == 1));
	return r->is_under_way ? r->images : NULL;
}

void repair_order_end(struct repair_order *r)
{
	json_decref(r->images);
	*r = (struct repair_order){0};
}

void repair_order_finish(struct repair_order *r)
{
	repair_order_end(r);
}
