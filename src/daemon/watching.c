// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "daemon/daemon_log.h"
#include "daemon/supervisor_priv.h"

void supervisor_watch(struct supervisor *s, const struct supervisor_watcher *watcher)
{
	s->watcher = *watcher;
	watching_rest(s);
}

void watching_begin(const struct supervisor *s)
{
	if (s->watcher.begins)
		s->watcher.begins(s->watcher.ctx, !s->planning);
}

void supervisor_changed(struct supervisor *s)
{
	if (s->watcher.changed)
		s->watcher.changed(s->watcher.ctx);
}

void watching_rest(const struct supervisor *s)
{
	bool rests = !s->job && !s->ending.pending && s->order.kind == ORDER_NONE;

	if (rests && s->watcher.rests)
		s->watcher.rests(s->watcher.ctx);
}

void supervisor_apply_loggers(struct supervisor *s)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	unsigned n = attempt_find_generation(s);
	struct lm_err ignored; // told when it is started

	if (n && supervisor_read_group(s, n, &group, &ignored) == LM_OK)
		daemon_log_apply(group);
}

static unsigned read_frequency(struct supervisor *s, unsigned n)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (supervisor_read_group(s, n, &group, &err) == LM_OK)
		return group->connector.status_log_frequency_s;
	lm_error("%s; the status of its containers is not logged", err.msg);
	return 0;
}

unsigned supervisor_status_frequency_s(struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	if (state->current == 0 || state->stopped)
		return 0;
	if (s->frequency_of != state->current) { // a generation does not change
		s->frequency_s = read_frequency(s, state->current);
		s->frequency_of = state->current;
	}
	return s->frequency_s;
}
