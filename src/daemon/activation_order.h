// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Since when a generation is to be activated, for Policy.ActivateWithinSeconds, and whether a
/// person wants that at once: `activation.json` in the state directory. It outlives restarts and
/// power cuts, and goes when the generation is deployed.
///
/// Time is counted by a clock that never jumps while the device runs on. After a restart of the
/// device it is the difference between two readings of the wall clock, which is noted anew when the
/// clock is set, but never less than the time since that restart: a clock that was not set yet
/// makes the wait longer, not shorter. Never logs.

#include "base/error.h"
#include "sys/damage.h"

#include <stdbool.h>
#include <stdint.h>

enum { ACTIVATION_BOOT_ID_SIZE = 64 };

struct activation_order {
	unsigned generation;                   ///< 0: none.
	bool now;                              ///< Whatever the definition says.
	int64_t ordered_ms;                    ///< Wall clock.
	uint64_t boot_ms;                      ///< On lm_clock_mono_ms(), of the boot
	char boot_id[ACTIVATION_BOOT_ID_SIZE]; ///< with this ID; "": it is not known.
};

/// One that was given just now.
struct activation_order activation_order_make(
	unsigned generation, bool now, int64_t wall_ms, uint64_t boot_ms, const char *boot_id);
/// How long ago it was given.
uint64_t activation_order_age_ms(
	const struct activation_order *o, int64_t wall_ms, uint64_t boot_ms, const char *boot_id);
/// Notes by what time of a wall clock that was set since it was given. True: it is to be written.
bool activation_order_follow_clock(
	struct activation_order *o, int64_t wall_ms, uint64_t boot_ms, const char *boot_id);

/// The one on record; generation 0: there is none, or it is damaged, which `damage` has then.
/// LM_E_SYS, LM_E_DENIED.
lm_rc activation_order_read(const char *state_directory, struct damage *damage,
	struct activation_order *ret, struct lm_err *err);
/// Synced. As record_replace.
lm_rc activation_order_write(
	const char *state_directory, const struct activation_order *o, struct lm_err *err);
/// Removes what is on record, if anything is. LM_E_SYS.
lm_rc activation_order_forget(const char *state_directory, struct lm_err *err);
