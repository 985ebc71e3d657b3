// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The containers of the application as they are known: what events and comparisons made of them.

#include "docker/answer.h"
#include "events/crash_loop.h"
#include "events/event.h"
#include "events/life.h"
#include "events/report.h"
#include "events/throttle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct monitor;

struct known {
	struct monitor *owner;
	char id[EVENT_ID_SIZE];
	char *name, *service, *image; ///< Owned.
	enum life life;
	enum engine_health health;
	int stop_signal;       ///< By which the engine stops it; 0: not known.
	int64_t restart_count; ///< As the engine counts; REPORT_UNKNOWN
	int64_t count_at_end;  ///< It, when the container ended.
	/// The last start and end that we know of, by the engine's clock; 0: none.
	int64_t started_ns, ended_ns;
	uint64_t started_ms; ///< The start, on lm_clock_mono_ms(); 0: it was not heard as it
			     ///< happened.
	int64_t log_from_ns; ///< No line of the last run is older; 0: not known.
	int64_t floor_ns;    ///< What was before is told, or not of interest.
	int64_t touched_ns;  ///< The last event.
	/// The last start or end was found by comparing: its event, should it still come, is told
	/// already.
	bool start_found, end_found;
	// Since it was started:
	bool ours;   ///< A job of ours told it to end.
	int notice;  ///< A signal that came while such a job was at work, and stops few containers;
		     ///< 0.
	bool killed; ///< Somebody else did.
	bool oom;

	struct throttle throttles[THROTTLE_KINDS];
	struct crash_loop crash_loop; ///< Of the ends that nobody caused.
};

struct known_table {
	struct known **items;
	size_t n, room;
};

void known_finish(struct known_table *t);
struct known *known_find(const struct known_table *t, const char *id);
/// Finds it or makes it, with that floor. NULL: there are LIMIT_CONTAINERS already, all of them
/// alive.
struct known *known_add(struct known_table *t, const char *id, int64_t floor_ns);
void known_remove(struct known_table *t, struct known *k);
/// Takes what is told; "" and NULL tell nothing.
void known_set_names(struct known *k, const char *name, const char *service, const char *image);
