// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reports what happens to the application's containers: each event once, also over a break in the
/// engine's stream of events, a restart of the engine and one of ours. Keeps the last crashes
/// (docs/formats.md, `crashes`). The public face of this folder: it joins the event stream
/// (event_stream.h), what is made of its events (reconcile.h), the crash reporter and the event
/// cursor.
///
/// What a task of ours stops is not reported. From the loop's thread; never logs, never waits, and
/// does nothing while nothing happens. Disk is written when something happened.

#include "base/cleanup.h"
#include "base/error.h"
#include "docker/engine_json.h"
#include "events/container_event.h"
#include "sys/damage.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct monitor;

struct monitor_settings {
	const char *engine_socket, *project;
	const char *state_directory; ///< `events.json` and `crashes/` are in it.
	struct damage *damage;       ///< Gets a note on each file of these that is damaged.
};

/// From the loop, and from monitor_destroy. None may destroy the monitor.
struct monitor_callbacks {
	/// Something happened; borrowed for the call.
	void (*event)(void *ctx, const struct container_event *event);
	/// The engine's events cannot be read any more; `why` is a sentence. It tries again until
	/// they can; what happens meanwhile is reported later.
	void (*lost)(void *ctx, const char *why);
	/// They can again.
	void (*found)(void *ctx);
	/// Something else is wrong, and survived: a sentence.
	void (*trouble)(void *ctx, const char *what);
	/// What monitor_each shows may be another: after each event, reported or not, after a
	/// comparison, and when the engine has answered about a crash. Often; NULL: not wanted.
	void (*changed)(void *ctx);
	/// How far the events were read is on disk, up to 5 s after the last one: nothing of them
	/// is left to do. NULL: not wanted.
	void (*saved)(void *ctx);
	void *ctx;
};

/// `settings` is copied. LM_E_SYS, LM_E_DENIED, LM_E_INVALID: the state directory cannot be used.
lm_rc monitor_create(struct loop *loop, const struct monitor_settings *settings,
	const struct monitor_callbacks *callbacks, struct monitor **ret, struct lm_err *err);
/// Crashes under way are reported and kept as they are. Takes NULL.
void monitor_destroy(struct monitor *m);
LM_DEFINE_CLEANUP(struct monitor, monitor_destroy)

/// A task of ours begins or finishes: containers that are sent a signal to stop meanwhile are
/// stopped by us.
void monitor_set_busy(struct monitor *m, bool busy);

/// That container is about to be restarted by us because it is unhealthy, which takes `limit_ms` at
/// most: its exit is not reported, and its start as such a restart.
void monitor_begin_restart(struct monitor *m, const char *id, uint64_t limit_ms);
/// It will not be.
void monitor_end_restart(struct monitor *m, const char *id);

/// The crashes that are kept, newest first; a new reference.
json_t *monitor_crashes_to_json(const struct monitor *m);

enum monitor_sight {
	MONITOR_BEGINS, ///< The engine has not answered yet.
	MONITOR_LOST,   ///< It is away.
	MONITOR_SEES,   ///< What is known is up to date.
};
enum monitor_sight monitor_sight(const struct monitor *m);
/// Another number after each event of a container, whether it is reported or not, and after each
/// answer of the engine with something new about one: while it stays the same, nothing has happened
/// to them. 0: the engine is not seen.
uint64_t monitor_revision(const struct monitor *m);

/// A container as it is now known. Borrowed for the call.
struct monitor_container {
	const char *id, *name, *service, *image;
	bool oneoff;       ///< Made by `docker-compose run`.
	const char *state; ///< As the engine names it.
	enum engine_health health;
	int64_t restart_count; ///< By its restart policy; EVENT_UNKNOWN
	int64_t uptime_s;      ///< Of the run that goes on; EVENT_UNKNOWN
	/// It exits again and again (struct crash_loop). If so: when it did last (wall clock), with
	/// which exit code (EVENT_UNKNOWN), and whether that was a crash.
	bool loops;
	int64_t last_end_ms;
	int last_exit_code;
	bool last_crashed;
};
/// The container with that ID; false if it is not known, or if what is known may not be so any
/// more.
bool monitor_look_up(const struct monitor *m, const char *id, struct monitor_container *ret);
void monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx);
