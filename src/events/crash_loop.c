// SPDX-License-Identifier: Apache-2.0
#include "events/crash_loop.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)

static const int64_t WINDOW_NS = 600 * NS_PER_S, CALM_MIN_NS = 60 * NS_PER_S;
enum { LAST = CRASH_LOOP_ENDS - 1 };

void crash_loop_add(struct crash_loop *l, int64_t time_ns, int exit_code, bool crashed)
{
	size_t place = 0; // among those that are known

	for (size_t i = 0; i < CRASH_LOOP_ENDS; i++) {
		if (l->ends_ns[i] == time_ns)
			return;
		place += l->ends_ns[i] < time_ns;
	}
	if (place == 0)
		return;
	memmove(l->ends_ns, l->ends_ns + 1, (place - 1) * sizeof(l->ends_ns[0]));
	l->ends_ns[place - 1] = time_ns;
	if (place < CRASH_LOOP_ENDS)
		return;
	l->exit_code = exit_code;
	l->crashed = crashed;
}

int64_t crash_loop_last_ns(const struct crash_loop *l)
{
	return l->ends_ns[LAST];
}

bool crash_loop_is_on(const struct crash_loop *l, int64_t now_ns)
{
	int64_t calm_ns = CALM_MIN_NS, age_ns = now_ns - l->ends_ns[LAST];

	if (l->ends_ns[0] == 0 || l->ends_ns[LAST] - l->ends_ns[0] > WINDOW_NS)
		return false;
	for (size_t i = 1; i < CRASH_LOOP_ENDS; i++) {
		int64_t pause_ns = l->ends_ns[i] - l->ends_ns[i - 1];

		calm_ns = 2 * pause_ns > calm_ns ? 2 * pause_ns : calm_ns;
	}
	// One that seems to lie ahead is of a clock that was set back.
	return age_ns < calm_ns && age_ns > -CALM_MIN_NS;
}
