// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How far the engine's events were read, so that none is told twice and none is lost: when the
/// stream breaks, the engine tells again what it still knows from a time on. It keeps 256 events,
/// so we remember 256. Over our own restart it is in `<stateDirectory>/events.json`.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESUME_KEYS = 256 };

struct resume {
	/// All before it is known: what was read, or what the list of containers was compared up
	/// to.
	int64_t since_ns;
	int64_t floor_ns;  ///< What was before is not of interest.
	bool knows_before; ///< There was an earlier run, on this boot of the machine.
	struct {
		uint64_t key;
		int64_t time_ns;
	} seen[RESUME_KEYS];
	size_t next;
	/// Our last job that stops containers; 0: none, or it has not ended.
	int64_t busy_from_ns, busy_to_ns;
};

/// A time that cannot be: it was noted before the clock was set back.
bool resume_is_ahead(int64_t time_ns, int64_t now_ns);

/// An event is new: remembers it. False: it was told before.
bool resume_take(struct resume *r, uint64_t key, int64_t time_ns);
/// Whether it was told before; remembers nothing.
bool resume_has(const struct resume *r, uint64_t key, int64_t time_ns);
/// From when on to ask. Events are put in order a little after they get their time: earlier than
/// `since_ns`.
int64_t resume_from(const struct resume *r);

/// Reads the file in the directory. What cannot be read counts as never written. `boot` is the
/// machine's boot id: after another boot all that the engine tells is new, and what does not run
/// any more ended with the machine. If the clock was set back since, what was meanwhile is lost.
void resume_load(const char *directory, const char *boot, int64_t now_ns, struct resume *ret);
/// `since_ns` instead of r->since_ns is written. As lm_file_replace.
lm_rc resume_save(const char *directory, const char *boot, const struct resume *r, int64_t since_ns,
	struct lm_err *err);
