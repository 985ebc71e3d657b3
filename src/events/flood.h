// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A container that crashes again and again: from the sixth crash within a minute on its crashes
/// are told once a minute, as a number. Pure; the clock is the caller's.

#include <stdbool.h>
#include <stdint.h>

enum { FLOOD_FREE = 5, FLOOD_MINUTE_MS = 60 * 1000 };

struct flood {
	int64_t times_ms[FLOOD_FREE]; ///< Of the last crashes that were told by themselves.
	unsigned next, told;
	bool on;
	unsigned held; ///< Crashes of the minute under way.
};

enum flood_verdict {
	FLOOD_TELL,  ///< By itself.
	FLOOD_BEGIN, ///< Hold it back; a minute begins, at whose end flood_end_minute is called.
	FLOOD_HOLD,  ///< It counts to the minute under way.
};

enum flood_verdict flood_add(struct flood *f, int64_t time_ms);
/// How many crashes the minute had. `*ret_on`: too many, so that another minute begins.
unsigned flood_end_minute(struct flood *f, bool *ret_on);
