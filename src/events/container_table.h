// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The application's containers: what events and comparisons with the engine made of them.

#include "docker/engine_json.h"
#include "events/event_stream.h"
#include "events/rate_limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// As the engine names them.
enum container_state {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_RESTARTING,
	CONTAINER_REMOVING,
	CONTAINER_EXITED,
	CONTAINER_DEAD,
};

const char *container_state_name(enum container_state state);
/// CONTAINER_CREATED for a name that is none of them.
enum container_state container_state_from_name(const char *name);
/// Its process is there.
bool container_state_is_up(enum container_state state);

enum { CRASH_LOOP_EXITS = 3 };

/// Whether a container exits again and again: its last three exits lie within ten minutes, and the
/// last one is less than twice the longer of the two pauses between them ago (a minute, if that is
/// more). So one that waited for its database at first, and runs since, is soon out of it.
/// Times are nanoseconds since 1970, by the engine's clock. All zero: it never exited.
struct crash_loop {
	int64_t exits_ns[CRASH_LOOP_EXITS]; ///< Earliest first; 0: there were not so many.
	int exit_code;                      ///< Of the last exit; -1: not known.
	bool crashed;                       ///< The last exit was a crash.
};

/// Adds an exit; they may come in any order, and one that comes twice counts once.
void crash_loop_add(struct crash_loop *l, int64_t time_ns, int exit_code, bool crashed);
bool crash_loop_is_on(const struct crash_loop *l, int64_t now_ns);
/// The last exit; 0: it never exited.
int64_t crash_loop_last_ns(const struct crash_loop *l);

struct container {
	char id[ENGINE_EVENT_ID_SIZE];
	char *name, *service, *image; ///< Owned.
	bool oneoff;                  ///< Made by `docker-compose run`.
	enum container_state state;
	enum engine_health health;
	int stop_signal;       ///< By which the engine stops it; 0: not known.
	int64_t restart_count; ///< As the engine counts; EVENT_UNKNOWN
	int64_t count_at_exit; ///< It, when the container exited.
	/// The last start and exit that we know of, by the engine's clock; 0: none.
	int64_t started_ns, exited_ns;
	/// The start, on lm_clock_mono_ms(); 0: it was not seen as it happened.
	uint64_t started_ms;
	int64_t log_from_ns; ///< No line of the last run is older; 0: not known.
	int64_t floor_ns;    ///< What was before is reported, or not of interest.
	int64_t touched_ns;  ///< The last event.
	/// The last start or exit was found by comparing: should its event still come, it is
	/// already reported.
	bool start_found, exit_found;
	// Since it was started:
	bool ours;   ///< A task of ours stops it.
	int notice;  ///< A signal that came during such a task, and stops few containers; 0.
	bool killed; ///< Somebody else stops it.
	bool oom;

	struct rate_limit rate_limit;
	struct crash_loop crash_loop; ///< Of the exits that nobody caused.
};

struct container_table {
	struct container **items;
	size_t n, room;
};

void container_table_finish(struct container_table *t);
struct container *container_table_find(const struct container_table *t, const char *id);
/// Adds one that is not there yet; its rate limit is the caller's to initialise. NULL: there are
/// LIMIT_CONTAINERS already, all of them up.
struct container *container_table_add(struct container_table *t, const char *id, int64_t floor_ns);
void container_table_remove(struct container_table *t, struct container *c);
/// "" and NULL change nothing.
void container_set_names(
	struct container *c, const char *name, const char *service, const char *image);
