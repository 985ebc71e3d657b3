// SPDX-License-Identifier: Apache-2.0
#include "events/flood.h"

enum flood_verdict flood_add(struct flood *f, int64_t time_ms)
{
	if (f->on) {
		f->held++;
		return FLOOD_HOLD;
	}
	// The oldest of the last five. A clock that was set back makes this a flood for one minute.
	if (f->told == FLOOD_FREE && time_ms - f->times_ms[f->next] < FLOOD_MINUTE_MS) {
		f->on = true;
		f->held = 1;
		return FLOOD_BEGIN;
	}
	f->times_ms[f->next] = time_ms;
	f->next = (f->next + 1) % FLOOD_FREE;
	if (f->told < FLOOD_FREE)
		f->told++;
	return FLOOD_TELL;
}

unsigned flood_end_minute(struct flood *f, bool *ret_on)
{
	unsigned held = f->held;

	if (held > FLOOD_FREE)
		f->held = 0;
	else
		*f = (struct flood){0};
	*ret_on = f->on;
	return held;
}
