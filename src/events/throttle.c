// SPDX-License-Identifier: Apache-2.0
#include "events/throttle.h"

#include "events/monitor_priv.h"

enum throttle_kind throttle_kind(const struct report *r)
{
	switch (r->event) {
	case REPORT_DIED:
		return r->crash ? THROTTLE_CRASH : THROTTLE_END;
	case REPORT_OOM:
		return THROTTLE_OOM;
	case REPORT_UNHEALTHY:
		return THROTTLE_UNHEALTHY;
	case REPORT_HEALTHY:
		return THROTTLE_HEALTHY;
	case REPORT_RESTARTED:
	case REPORT_STARTED:
		break;
	}
	return THROTTLE_NONE;
}

static void tell(struct throttle *t, unsigned count)
{
	struct monitor *m = t->of->owner;
	struct report r = t->last;

	t->last = (struct report){0};
	r.count = count;
	r.restart_count = t->of->restart_count;
	if (r.crash) {
		recorder_add(m, &r, false);
		return;
	}
	m->events.happened(m->events.ctx, &r);
	report_finish(&r);
}

static void on_minute(void *ctx)
{
	struct throttle *t = ctx;
	bool on;
	unsigned held = flood_end_minute(&t->flood, &on);

	if (on)
		loop_timer_start(t->minute, FLOOD_MINUTE_MS, 0);
	if (held > 0)
		tell(t, held);
}

bool throttle_passes(struct monitor *m, struct known *k, struct report *r)
{
	struct throttle *t = &k->throttles[throttle_kind(r)];
	enum flood_verdict verdict = flood_add(&t->flood, r->time_ns / MONITOR_NS_PER_MS);

	if (verdict == FLOOD_TELL)
		return true;
	t->of = k;
	report_finish(&t->last);
	t->last = *r;
	*r = (struct report){0};
	if (!t->minute)
		t->minute = loop_timer_create(m->loop, on_minute, t);
	if (verdict == FLOOD_BEGIN)
		loop_timer_start(t->minute, FLOOD_MINUTE_MS, 0);
	return false;
}

bool throttle_hides_starts(const struct known *k)
{
	return k->throttles[THROTTLE_CRASH].flood.on || k->throttles[THROTTLE_END].flood.on;
}

bool throttle_holds(const struct known *k)
{
	for (size_t i = 0; i < THROTTLE_KINDS; i++)
		if (k->throttles[i].flood.held > 0)
			return true;
	return false;
}

void throttle_flush(struct known *k)
{
	for (size_t i = 0; i < THROTTLE_KINDS; i++) {
		struct throttle *t = &k->throttles[i];

		if (t->flood.held > 0)
			tell(t, t->flood.held);
		t->flood.held = 0;
	}
}

void throttle_finish(struct throttle *t)
{
	loop_timer_destroy(t->minute);
	report_finish(&t->last);
}
