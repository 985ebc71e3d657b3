// SPDX-License-Identifier: Apache-2.0
/// A device without a battery for its clock boots with a wrong time, and is put right by the
/// network while containers run: times that were noted before may then lie ahead.
#include "base/clock.h"
#include "events/monitor_priv.h"

#include <time.h>

enum { NS_PER_S = 1000000000 };

int64_t monitor_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void bound(int64_t *time_ns, int64_t now_ns, int64_t instead_ns)
{
	if (resume_is_ahead(*time_ns, now_ns))
		*time_ns = instead_ns;
}

static void bound_known(struct known *k, int64_t now_ns, int64_t heard_ns)
{
	if (resume_is_ahead(k->started_ns, now_ns)) {
		k->started_ns = 0; // no time since it means anything
		k->start_found = false;
		if (k->floor_ns < heard_ns)
			k->floor_ns = heard_ns;
	}
	if (resume_is_ahead(crash_loop_last_ns(&k->crash_loop), now_ns))
		k->crash_loop = (struct crash_loop){0};
	bound(&k->ended_ns, now_ns, heard_ns);
	bound(&k->floor_ns, now_ns, heard_ns);
	bound(&k->touched_ns, now_ns, heard_ns);
}

void monitor_mind_clock(struct monitor *m)
{
	struct resume *r = &m->resume;
	int64_t now_ns = monitor_now_ns();

	if (!resume_is_ahead(r->since_ns, now_ns) && !resume_is_ahead(m->gap_ns, now_ns) &&
		!resume_is_ahead(r->busy_from_ns, now_ns) &&
		!resume_is_ahead(r->busy_to_ns, now_ns))
		return;
	// All that is known was known when an event was heard last; by the clock as it is now:
	int64_t heard_ns = now_ns - (int64_t)(lm_clock_mono_ms() - m->heard_ms) * MONITOR_NS_PER_MS;
	m->early = (struct resume){0};
	bound(&r->since_ns, now_ns, heard_ns);
	bound(&r->floor_ns, now_ns, heard_ns);
	bound(&r->busy_from_ns, now_ns, heard_ns);
	bound(&r->busy_to_ns, now_ns, now_ns);
	bound(&m->gap_ns, now_ns, heard_ns);
	for (size_t i = 0; i < m->known.n; i++)
		bound_known(m->known.items[i], now_ns, heard_ns);
}
