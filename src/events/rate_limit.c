// SPDX-License-Identifier: Apache-2.0
#include "events/rate_limit.h"

enum { NS_PER_MS = 1000000 };

void rate_limit_init(
	struct rate_limit *l, struct loop *loop, rate_limit_release *release, void *ctx)
{
	*l = (struct rate_limit){.loop = loop, .release = release, .ctx = ctx};
	for (size_t i = 0; i < RATE_LIMIT_KINDS; i++)
		l->kinds[i].limit = l;
}

void rate_limit_finish(struct rate_limit *l)
{
	for (size_t i = 0; i < RATE_LIMIT_KINDS; i++) {
		loop_timer_destroy(l->kinds[i].minute);
		container_event_finish(&l->kinds[i].last);
	}
}

static enum rate_limit_kind kind_of(const struct container_event *e)
{
	switch (e->kind) {
	case EVENT_DIED:
		return e->crash ? RATE_LIMIT_CRASH : RATE_LIMIT_EXIT;
	case EVENT_OOM:
		return RATE_LIMIT_OOM;
	case EVENT_UNHEALTHY:
		return RATE_LIMIT_UNHEALTHY;
	case EVENT_HEALTHY:
		return RATE_LIMIT_HEALTHY;
	case EVENT_RESTARTED:
	case EVENT_STARTED:
		break;
	}
	return RATE_LIMIT_NONE;
}

static void release_count(struct rate_limit_state *s)
{
	struct container_event event = s->last;

	s->last = (struct container_event){0};
	event.count = s->held;
	s->held = 0;
	s->limit->release(s->limit->ctx, &event);
}

static void on_minute(void *ctx)
{
	struct rate_limit_state *s = ctx;

	if (s->held > RATE_LIMIT_FREE) {
		loop_timer_start(s->minute, RATE_LIMIT_MINUTE_MS, 0);
	} else {
		s->on = false;
		s->next = s->n = 0;
	}
	if (s->held > 0)
		release_count(s);
}

bool rate_limit_admits(struct rate_limit *l, struct container_event *event)
{
	enum rate_limit_kind kind = kind_of(event);
	int64_t time_ms = event->time_ns / NS_PER_MS;

	if (kind == RATE_LIMIT_NONE)
		return true;
	struct rate_limit_state *s = &l->kinds[kind];
	// A clock that was set back holds back for one minute.
	if (!s->on && (s->n < RATE_LIMIT_FREE ||
			      time_ms - s->times_ms[s->next] >= RATE_LIMIT_MINUTE_MS)) {
		s->times_ms[s->next] = time_ms;
		s->next = (s->next + 1) % RATE_LIMIT_FREE;
		s->n += s->n < RATE_LIMIT_FREE;
		return true;
	}
	container_event_finish(&s->last);
	s->last = *event;
	*event = (struct container_event){0};
	s->held++;
	if (s->on)
		return false;
	s->on = true;
	if (!s->minute)
		s->minute = loop_timer_create(l->loop, on_minute, s);
	loop_timer_start(s->minute, RATE_LIMIT_MINUTE_MS, 0);
	return false;
}

bool rate_limit_is_on(const struct rate_limit *l, enum rate_limit_kind kind)
{
	return l->kinds[kind].on;
}

bool rate_limit_holds_any(const struct rate_limit *l)
{
	for (size_t i = 0; i < RATE_LIMIT_KINDS; i++)
		if (l->kinds[i].held > 0)
			return true;
	return false;
}

void rate_limit_flush(struct rate_limit *l)
{
	for (size_t i = 0; i < RATE_LIMIT_KINDS; i++)
		if (l->kinds[i].held > 0)
			release_count(&l->kinds[i]);
}
