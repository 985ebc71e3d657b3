// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Lines that wait to be shipped, in a directory of files that is bounded, and a cursor that says
/// how far they are shipped. Never logs. From one thread.
///
/// A line has a place: how many bytes came before it since the spool's beginning. Each file is
/// named after the place of its first line ("00000000000000012345.log"), so nothing is ever
/// renamed, and a kill at any time leaves a spool that is right. Lines that the bound pushes out
/// before they are shipped, and those that the disk refuses, are counted. The cursor is a record
/// (sys/record.h) and synced, the lines are not: they outlive any end of the program, and a power
/// cut takes the last few.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/damage.h"

#include <stdbool.h>
#include <stdint.h>

struct log_spool;

/// Opens the directory, creating it (0700, files 0600). A cursor that is damaged is set aside, with
/// a note. LM_E_DENIED, LM_E_INVALID (something else than a directory has its name), LM_E_SYS.
lm_rc log_spool_open(const char *directory, unsigned space_kb, struct damage *damage,
	struct log_spool **ret, struct lm_err *err);
void log_spool_close(struct log_spool *s);
LM_DEFINE_CLEANUP(struct log_spool, log_spool_close)

/// Changes the bound, which is between 16 KB (a line's ceiling) and LIMIT_SPOOL whatever is asked.
void log_spool_set_space(struct log_spool *s, unsigned space_kb);
/// The bound, in KB.
unsigned log_spool_space_kb(const struct log_spool *s);
/// Appends a finished line, with its end.
void log_spool_add(struct log_spool *s, struct lm_str line);
/// Whether a line waits.
bool log_spool_waits(const struct log_spool *s);

/// Copies the lines that wait, from the first on and at most LIMIT_LOG_CHUNK bytes, to a file in
/// memory. `*ret_fd` reads from its beginning and cannot change it; it stays the spool's, and the
/// same, until log_spool_put_back. Call it when a line waits and nothing is taken out.
/// LM_E_NOT_FOUND, LM_E_SYS: the files are not as they were left, or the system refuses; to open
/// the spool anew mends the former.
lm_rc log_spool_take(struct log_spool *s, int *ret_fd, size_t *ret_n, struct lm_err *err);
/// The first `n` bytes of what was taken are shipped. LM_E_INVALID: that cannot be. LM_E_SYS: the
/// cursor could not be written; after a restart these lines are shipped again.
lm_rc log_spool_shipped(struct log_spool *s, uint64_t n, struct lm_err *err);
/// What was taken and is not shipped waits again.
void log_spool_put_back(struct log_spool *s);
/// The same, but the file stays, empty: the next log_spool_take puts the lines where the worker
/// that has its descriptor reads them.
void log_spool_empty(struct log_spool *s);

/// Lines that went without having been shipped, since this was last cleared.
uint64_t log_spool_lost(const struct log_spool *s);
/// They were reported.
void log_spool_clear_lost(struct log_spool *s);
