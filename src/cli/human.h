// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Durations, times and sizes as people read them. All return `out`.

#include <stdint.h>

enum { HUMAN_SIZE = 64 };

/// "4.2 s", "3 min 12 s", "2 h 5 min", "3 d 4 h". Negative is 0.
char *human_duration(int64_t ms, char out[HUMAN_SIZE]);
/// "12 s", "5 min", "3 h", "2 d". Negative is 0.
char *human_age(int64_t s, char out[HUMAN_SIZE]);
/// "12 s ago", "5 min ago", "3 h ago", "2 d ago"; "in the future" if `then_ms` is after `now_ms`
/// (a clock was set) by more than a minute.
char *human_ago(int64_t then_ms, int64_t now_ms, char out[HUMAN_SIZE]);
/// "2026-03-01T12:13:14+01:00", in local time.
char *human_time(int64_t wall_ms, char out[HUMAN_SIZE]);
/// "312 B", "12.1 MB".
char *human_bytes(uint64_t n, char out[HUMAN_SIZE]);
/// "3.4 of 12.1 MB".
char *human_bytes_of(uint64_t done, uint64_t total, char out[HUMAN_SIZE]);
