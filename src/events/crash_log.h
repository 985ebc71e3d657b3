// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The last LIMIT_CRASHES crashes on disk: a numbered_dir with one record (sys/record.h) a crash.
/// Killed at any write, it has the crash or has not, and one too many at most, which the next start
/// removes.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/damage.h"
#include "sys/json.h"

#include <stdbool.h>

struct crash_log;

/// Opens the directory, creating it with mode 0700; removes what a kill left half-written, and
/// what is too much. One that is damaged is set aside, with a note, and goes when it is the oldest.
/// LM_E_DENIED, LM_E_SYS, LM_E_INVALID (not a directory).
lm_rc crash_log_open(
	const char *directory, struct damage *damage, struct crash_log **ret, struct lm_err *err);
void crash_log_close(struct crash_log *l);
LM_DEFINE_CLEANUP(struct crash_log, crash_log_close)

/// Adds a crash, which has a text `id`; the oldest make room. As lm_file_replace; LM_E_TOO_LARGE:
/// it is over LIMIT_CRASH_FILE bytes.
lm_rc crash_log_add(struct crash_log *l, const json_t *crash, struct lm_err *err);
/// Whether a crash with that `id` is there.
bool crash_log_has(const struct crash_log *l, const char *id);
/// Calls `each` with the `id` of each crash, oldest first; "" if it cannot be read.
void crash_log_each(const struct crash_log *l, void (*each)(void *ctx, const char *id), void *ctx);
/// The crashes, newest first, as an array; a new reference. One that cannot be read is left out.
json_t *crash_log_to_json(const struct crash_log *l);
