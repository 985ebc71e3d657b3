// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is told of a container by itself, and what of too many is held back and told as a number:
/// one flood (flood.h) for each kind.

#include "events/flood.h"
#include "events/report.h"
#include "sys/loop.h"

#include <stdbool.h>

struct known;
struct monitor;

enum throttle_kind {
	THROTTLE_CRASH,
	THROTTLE_END, ///< One that is no crash.
	THROTTLE_OOM,
	THROTTLE_UNHEALTHY,
	THROTTLE_HEALTHY,
	THROTTLE_KINDS,
	THROTTLE_NONE = THROTTLE_KINDS, ///< Its reports are told, however many.
};

struct throttle {
	struct known *of;
	struct flood flood;
	struct loop_timer *minute; ///< NULL: there never was one.
	struct report last;        ///< Of those held back.
};

enum throttle_kind throttle_kind(const struct report *r);
/// False: `r` is taken over, and told at the end of a minute. Not for THROTTLE_NONE.
bool throttle_passes(struct monitor *m, struct known *k, struct report *r);
/// It ends again and again: its starts are not told.
bool throttle_hides_starts(const struct known *k);
/// Something is held back.
bool throttle_holds(const struct known *k);
/// Tells what is held back.
void throttle_flush(struct known *k);
void throttle_finish(struct throttle *t);
