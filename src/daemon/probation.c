// SPDX-License-Identifier: Apache-2.0
#include "daemon/probation.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/// How often it is looked whether a container that is in a loop, or unhealthy, still is: the end of
/// a loop is no event.
enum { RECOVERY_MS = 15 * 1000 };

struct probation {
	const struct monitor *monitor;
	struct probation_events events;
	struct loop_timer *timer;
	uint64_t whole_ms;       ///< 0: there is none.
	uint64_t left_ms;        ///< At `counts_from_ms`, or now if the time does not count.
	bool counts;             ///< The time does,
	uint64_t counts_from_ms; ///< since then (lm_clock_mono_ms()).
	bool is_paused;
	bool failed; ///< And what it failed by is not over.
};

static void probation_on_timer(void *ctx);

struct probation *probation_create(
	struct loop *loop, const struct monitor *monitor, const struct probation_events *events)
{
	struct probation *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct probation){.monitor = monitor, .events = *events};
	p->timer = loop_timer_create(loop, probation_on_timer, p);
	return p;
}

void probation_destroy(struct probation *p)
{
	if (!p)
		return;
	loop_timer_destroy(p->timer);
	free(p);
}

bool probation_is_on(const struct probation *p)
{
	return p->whole_ms > 0;
}

uint64_t probation_left_ms(const struct probation *p)
{
	uint64_t gone_ms = p->counts ? lm_clock_mono_ms() - p->counts_from_ms : 0;

	return gone_ms < p->left_ms ? p->left_ms - gone_ms : 0;
}

static void stop_counting(struct probation *p)
{
	p->left_ms = probation_left_ms(p);
	p->counts = false;
	loop_timer_stop(p->timer);
}

static void start_counting(struct probation *p)
{
	if (p->counts)
		return;
	p->counts = true;
	p->counts_from_ms = lm_clock_mono_ms();
	loop_timer_start(p->timer, p->left_ms, 0);
}

void probation_begin(struct probation *p, uint64_t ms)
{
	stop_counting(p);
	p->whole_ms = p->left_ms = ms;
	p->is_paused = p->failed = false;
}

void probation_end(struct probation *p)
{
	probation_begin(p, 0);
}

void probation_pause(struct probation *p, bool pauses)
{
	if (p->is_paused == pauses)
		return;
	p->is_paused = pauses;
	if (pauses)
		stop_counting(p);
}

static bool is_up(const struct monitor_container *c)
{
	return strcmp(c->state, "running") == 0 || strcmp(c->state, "restarting") == 0;
}

struct probation_search {
	char *found;  ///< The first container that does not run as it should, in a clause.
	bool is_down; ///< One has crashed and stays down.
};

static void examine_container(void *ctx, const struct monitor_container *c)
{
	struct probation_search *search = ctx;

	if (search->found || c->oneoff)
		return;
	if (!is_up(c)) {
		search->is_down |= c->last_crashed;
		return;
	}
	if (c->loops && c->last_exit_code >= 0)
		search->found = lm_xasprintf(
			"container %s (service %s) is in a %s loop (exit code %d)", c->name,
			c->service, c->last_crashed ? "crash" : "restart", c->last_exit_code);
	else if (c->loops)
		search->found = lm_xasprintf("container %s (service %s) is in a %s loop", c->name,
			c->service, c->last_crashed ? "crash" : "restart");
	else if (c->health == ENGINE_UNHEALTHY)
		search->found =
			lm_xasprintf("container %s (service %s) is unhealthy", c->name, c->service);
}

static void fail(struct probation *p, const char *why)
{
	bool is_new = !p->failed;

	stop_counting(p);
	p->left_ms = p->whole_ms;
	p->failed = true;
	loop_timer_start(p->timer, RECOVERY_MS, 0);
	if (is_new)
		p->events.failed(p->events.ctx, why);
}

void probation_look(struct probation *p)
{
	struct probation_search search = {0};

	if (!probation_is_on(p) || p->is_paused)
		return;
	if (monitor_sight(p->monitor) != MONITOR_SEES) {
		stop_counting(p);
		return;
	}
	monitor_each(p->monitor, examine_container, &search);
	lm_auto_free char *why = search.found;
	if (why) {
		fail(p, why);
		return;
	}
	p->failed = false;
	if (search.is_down)
		stop_counting(p); // what does not run proves nothing
	else
		start_counting(p);
}

static void probation_on_timer(void *ctx)
{
	struct probation *p = ctx;

	probation_look(p);
	if (!p->counts)
		return;
	if (probation_left_ms(p) > 0) {
		loop_timer_start(p->timer, probation_left_ms(p), 0);
		return;
	}
	probation_end(p);
	p->events.passed(p->events.ctx);
}
