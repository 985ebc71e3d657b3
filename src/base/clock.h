// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Time, as the two clocks that matter: one that never jumps, one that people read.

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Milliseconds of CLOCK_BOOTTIME: never jumps, goes on while the device is suspended.
uint64_t lm_clock_mono_ms(void);
/// Milliseconds since 1970 (UTC).
int64_t lm_clock_wall_ms(void);

enum { LM_TIME_SIZE = 32 };
/// "2020-08-11T13:39:04.909Z"; trailing zeros of the fraction are trimmed, and with them the point
/// (spec/wire-formats section 4). Returns `out`.
char *lm_time_format_log(int64_t wall_ms, char out[LM_TIME_SIZE]);
/// "2020-08-11T13:39:04.909Z", always with three digits.
char *lm_time_format_iso(int64_t wall_ms, char out[LM_TIME_SIZE]);
/// "20200811T133904Z", as SigV4 wants it.
char *lm_time_format_amz(int64_t wall_ms, char out[LM_TIME_SIZE]);
/// Reads what lm_time_format_log and lm_time_format_iso write, also with more digits behind the
/// point (they are cut). False if it is none; `*ret_wall_ms` is then untouched.
bool lm_time_parse(struct lm_str text, int64_t *ret_wall_ms);

/// A delay in milliseconds for retry number `attempt` (from 0): exponential from `base_ms`, at most
/// `max_ms`, with full jitter (uniform between 0 and the bound).
uint64_t lm_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms);
/// Uniform in [0, bound); 0 if bound is 0. Not for secrets.
uint64_t lm_random_below(uint64_t bound);
