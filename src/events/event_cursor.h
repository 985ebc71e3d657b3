// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How far the engine's events were read, so that none is reported twice and none is lost: when the
/// stream breaks, the engine sends again what it still has from a time on. It keeps 256 events, so
/// we remember 256. Also when our tasks that stop containers ran. Over our own restart it is in
/// `<stateDirectory>/events.json`.
///
/// A device without a battery for its clock boots with a wrong time, and is put right by the
/// network while containers run: times that were noted before may then lie ahead.

#include "base/error.h"
#include "base/str.h"
#include "sys/damage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EVENT_CURSOR_KEYS = 256,
	EVENT_CURSOR_BOOT_SIZE = 40,
	EVENT_CURSOR_RESTARTS = 8,
	EVENT_CURSOR_ID_SIZE = 65,
};

struct event_cursor {
	/// All before it is known: what was read, or what the list of containers was compared up
	/// to.
	int64_t since_ns;
	int64_t floor_ns;  ///< What was before is not of interest.
	bool knows_before; ///< There was an earlier run, on this boot of the device.
	struct {
		uint64_t key;
		int64_t time_ns;
	} seen[EVENT_CURSOR_KEYS];
	size_t next;
	bool busy;
	int64_t busy_from_ns, busy_to_ns; ///< The last task of this run; 0: none.
	/// The last task of an earlier run; 0: none. Open: nobody saw it finish.
	int64_t left_from_ns, left_to_ns;
	bool left_open;
	/// Containers that are being restarted by us, also by an earlier run.
	struct {
		char id[EVENT_CURSOR_ID_SIZE]; ///< "": none.
		int64_t from_ns, until_ns;
	} restarts[EVENT_CURSOR_RESTARTS];
};

/// Nanoseconds since 1970.
int64_t event_cursor_now_ns(void);
/// A time that cannot be: it was noted before the clock was set back.
bool event_cursor_is_ahead(int64_t time_ns, int64_t now_ns);
/// Such a time becomes `instead_ns`.
void event_cursor_bound(int64_t *time_ns, int64_t now_ns, int64_t instead_ns);
/// True if the clock was set back. What was noted before then has times that mean the same now:
/// at the latest `heard_ns`, when the cursor was up to date.
bool event_cursor_follow_clock(struct event_cursor *c, int64_t now_ns, int64_t heard_ns);

/// An event is new: remembers it. False: it was read before.
bool event_cursor_take(struct event_cursor *c, uint64_t key, int64_t time_ns);
/// Whether it was read before; remembers nothing.
bool event_cursor_has(const struct event_cursor *c, uint64_t key, int64_t time_ns);
/// From when on to ask. Events are put in order a little after they get their time: earlier than
/// `since_ns`.
int64_t event_cursor_from(const struct event_cursor *c);
/// The same, earlier if the last task of an earlier run is not long ago: which containers it
/// stopped, only its events show.
int64_t event_cursor_from_left(const struct event_cursor *c);

/// A task of ours that stops containers begins or finishes.
void event_cursor_set_busy(struct event_cursor *c, bool busy, int64_t now_ns);
/// Whether such a task ran then.
bool event_cursor_was_busy(const struct event_cursor *c, int64_t time_ns);
/// Whether a container that such a task stops may exit as late as then.
bool event_cursor_is_busy_still(const struct event_cursor *c, int64_t time_ns);

/// We are about to restart that container, which takes until then at most. If there are too many,
/// the earliest is forgotten.
void event_cursor_begin_restart(
	struct event_cursor *c, const char *id, int64_t from_ns, int64_t until_ns);
/// It has been restarted, or was not.
void event_cursor_end_restart(struct event_cursor *c, const char *id);
/// Whether an exit or a start of the container at that time belongs to such a restart.
bool event_cursor_is_restarting(const struct event_cursor *c, const char *id, int64_t time_ns);

/// Another one after each boot; "" if unknown. Returns `out`.
char *event_cursor_boot_id(char out[EVENT_CURSOR_BOOT_SIZE]);
/// Reads the file in the directory. What cannot be read counts as never written, with a note, and
/// is set aside if it is damaged. `boot` is the
/// device's boot id: after another boot all that the engine sends is new, and what is not up any
/// more exited with the device. If the clock was set back since, what was meanwhile is lost.
void event_cursor_load(const char *directory, const char *boot, int64_t now_ns,
	struct damage *damage, struct event_cursor *ret);
/// `since_ns` instead of c->since_ns is written. As lm_file_replace.
lm_rc event_cursor_save(const char *directory, const char *boot, const struct event_cursor *c,
	int64_t since_ns, struct lm_err *err);
