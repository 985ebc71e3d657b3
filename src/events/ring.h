// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The last LIMIT_CRASHES crashes on disk: a directory with one file a crash, named after its
/// number
/// ("00000000000000000001.json"), each put in place whole and synced. Killed at any write, it has
/// the crash or has not, and one too many at most, which the next start removes.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>

struct ring;

/// Opens the directory, creating it with mode 0700; removes what a crash left half-written, and
/// what is too much. LM_E_DENIED, LM_E_SYS, LM_E_INVALID (not a directory).
lm_rc ring_open(const char *directory, struct ring **ret, struct lm_err *err);
void ring_close(struct ring *r);
LM_DEFINE_CLEANUP(struct ring, ring_close)

/// Adds a record, which has a text `id`; the oldest make room. As lm_file_replace; LM_E_TOO_LARGE:
/// it is over LIMIT_CRASH_FILE bytes.
lm_rc ring_add(struct ring *r, const json_t *record, struct lm_err *err);
/// Whether a record with that `id` is there.
bool ring_has(const struct ring *r, const char *id);
/// Calls `each` with the `id` of each record, oldest first; "" if it cannot be read.
void ring_each(const struct ring *r, void (*each)(void *ctx, const char *id), void *ctx);
/// The records, newest first, as an array; a new reference. One that cannot be read is left out.
json_t *ring_to_json(const struct ring *r);
