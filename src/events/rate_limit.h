// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which events of one container are reported one by one: of each kind five within a minute. From
/// the sixth on they are held back, and reported once a minute, as a number; until a minute has no
/// more than five.

#include "events/container_event.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum { RATE_LIMIT_FREE = 5, RATE_LIMIT_MINUTE_MS = 60 * 1000 };

enum rate_limit_kind {
	RATE_LIMIT_CRASH,
	RATE_LIMIT_EXIT, ///< One that is no crash.
	RATE_LIMIT_OOM,
	RATE_LIMIT_UNHEALTHY,
	RATE_LIMIT_HEALTHY,
	RATE_LIMIT_KINDS,
	RATE_LIMIT_NONE = RATE_LIMIT_KINDS, ///< Reported one by one, however many.
};

/// Takes over `event`: the last one of those held back, with their number as its `count`.
typedef void rate_limit_release(void *ctx, struct container_event *event);

struct rate_limit {
	struct loop *loop;
	rate_limit_release *release;
	void *ctx;
	struct rate_limit_state {
		struct rate_limit *limit;
		int64_t times_ms[RATE_LIMIT_FREE]; ///< Of the last that were reported one by one.
		unsigned next, n;
		bool on;
		unsigned held;               ///< Events of the current minute.
		struct loop_timer *minute;   ///< NULL: there never was one.
		struct container_event last; ///< Of those held back.
	} kinds[RATE_LIMIT_KINDS];
};

/// It must stay where it is until rate_limit_finish.
void rate_limit_init(
	struct rate_limit *l, struct loop *loop, rate_limit_release *release, void *ctx);
/// What is held back is dropped.
void rate_limit_finish(struct rate_limit *l);

/// False: `event` is taken over, and released at the end of a minute.
bool rate_limit_admits(struct rate_limit *l, struct container_event *event);
/// Events of that kind are being held back.
bool rate_limit_is_on(const struct rate_limit *l, enum rate_limit_kind kind);
bool rate_limit_holds_any(const struct rate_limit *l);
/// Releases what is held back.
void rate_limit_flush(struct rate_limit *l);
