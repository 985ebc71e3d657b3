// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is found damaged of our own files: it is set aside under another name, so that nothing
/// trips over it and somebody can look at it, and a sentence says what that means.

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define DAMAGE_SUFFIX ".damaged"

/// Zeroed to begin with.
struct damage {
	char **notes; ///< Sentences for the log.
	size_t n;
};

void damage_finish(struct damage *d);
/// Adds a sentence; the first few are kept.
void damage_note(struct damage *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/// Whether a failure to read is one of what is on the disk, and not one that may pass (no
/// descriptors, no memory).
bool damage_is(const struct lm_err *err);
/// Renames `name` to "<name>.damaged" in the place of an older one. False: it cannot be renamed,
/// and a note says so.
bool damage_set_aside(struct damage *d, int dir_fd, const char *name);
/// The same, with a note that says so: `why` it is damaged, and what that means.
bool damage_report(
	struct damage *d, int dir_fd, const char *name, const char *why, const char *meaning);
/// Logs the notes, each with the directory that it is about: for programs.
void damage_log(const struct damage *d, const char *directory);
