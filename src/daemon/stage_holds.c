// SPDX-License-Identifier: Apache-2.0
#include "daemon/stage_holds.h"

static bool is_due(const struct stage_holds *h, const struct stage_hold *hold)
{
	if (hold->before != DEPLOY_VALIDATE)
		return hold->before == h->stage;
	return hold->after != DEPLOY_VALIDATE && hold->after == h->last;
}

/// Begins the next one from `at` on, if there is one.
static bool begin_next_hold(struct stage_holds *h)
{
	for (; h->at < h->n && !h->active; h->at += !h->active)
		h->active = is_due(h, &h->table[h->at]) && h->table[h->at].begin(h->ctx);
	return h->active;
}

bool stage_holds_begin(struct stage_holds *h, enum deploy_stage stage)
{
	h->last = h->stage;
	h->stage = stage;
	h->at = 0;
	return begin_next_hold(h);
}

void stage_holds_end(struct stage_holds *h, const struct lm_err *why)
{
	if (!h->active)
		return;
	h->active = false;
	h->at++;
	if (why || h->cancelled || !begin_next_hold(h))
		h->ended(h->ctx, why);
}

bool stage_holds_cancel(struct stage_holds *h)
{
	if (!h->active)
		return false;
	if (!h->table[h->at].cancel)
		stage_holds_forget(h);
	else if (!h->cancelled)
		h->table[h->at].cancel(h->ctx);
	h->cancelled = true;
	return h->active;
}

void stage_holds_forget(struct stage_holds *h)
{
	if (!h->active)
		return;
	h->active = false;
	h->table[h->at].forget(h->ctx);
}
