// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Policy.ActivateAt: windows of local time, as "02:00-05:30", "Mon-Fri 22:00-06:00" or
/// "Sat, Sun 00:00-24:00, Wed 12:00-13:00".
///
/// A window is open while the clock on the wall shows a time in it: an hour that is repeated when
/// daylight saving time ends is in it twice, one that is skipped is not in it at all. The time zone
/// is that of the process (TZ, else /etc/localtime), looked up anew by each call. Never logs.

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACTIVATION_WINDOWS_MAX = 32 };

struct activation_window {
	unsigned days;    ///< A set: bit 0 is Sunday. The days on which it opens.
	unsigned from;    ///< Minute of such a day.
	unsigned minutes; ///< Open for so long, by that clock: 1 to 1440, also over midnight.
};

struct activation_windows {
	struct activation_window items[ACTIVATION_WINDOWS_MAX];
	size_t n;
};

/// False: `why` has the rule that the text breaks, and what in it does.
bool activation_windows_parse(
	struct lm_str text, struct activation_windows *ret, struct lm_buf *why);
/// At that time, in seconds since 1970.
bool activation_windows_are_open(const struct activation_windows *w, int64_t wall_s);
/// The first time from `wall_s` on at which one is open; -1: there is none that can be found.
int64_t activation_windows_next(const struct activation_windows *w, int64_t wall_s);
