// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the machine has left, for the record of a crash.

#include <stdint.h>

enum { MACHINE_UNKNOWN = -1, MACHINE_BOOT_SIZE = 40 };

/// Bytes that can be had without swapping (MemAvailable).
int64_t machine_memory_free(void);
/// Bytes that are free, for others than root, where `path` is.
int64_t machine_disk_free(const char *path);
/// Another one after each boot; "" if the kernel does not tell. Returns `out`.
char *machine_boot_id(char out[MACHINE_BOOT_SIZE]);
