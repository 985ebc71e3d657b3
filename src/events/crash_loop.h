// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whether a container ends again and again: its last three ends lie within ten minutes, and since
/// the last one has passed less than twice the longer of the two pauses between them (a minute, if
/// that is more). So one that waited for its database at first, and runs since, is soon out of it.
/// Pure; times are nanoseconds since 1970, by the engine's clock.

#include <stdbool.h>
#include <stdint.h>

enum { CRASH_LOOP_ENDS = 3 };

/// All zero: it never ended.
struct crash_loop {
	int64_t ends_ns[CRASH_LOOP_ENDS]; ///< Earliest first; 0: there were not so many.
	int exit_code;                    ///< Of the last end; -1: not known.
	bool crashed;                     ///< The last end was a crash.
};

/// Adds an end; they may come in any order, and one that comes twice counts once.
void crash_loop_add(struct crash_loop *l, int64_t time_ns, int exit_code, bool crashed);
bool crash_loop_is_on(const struct crash_loop *l, int64_t now_ns);
/// The last end; 0: it never ended.
int64_t crash_loop_last_ns(const struct crash_loop *l);
