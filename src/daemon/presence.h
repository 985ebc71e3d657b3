// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The messages that tell of a connection to a broker itself (docs/formats.md). Pure.

#include "mqtt/publisher.h"

#include <stdint.h>

enum { PRESENCE_ID_SIZE = 33 };

/// A new random id. Returns `out`.
char *presence_make_id(char out[PRESENCE_ID_SIZE]);

/// `thing` may be NULL. LOST is said by the broker, at a time that is not known beforehand: its
/// time is null. The caller frees.
char *presence_message(enum publisher_presence what, const char *connection, const char *thing,
	int64_t wall_ms) __attribute__((returns_nonnull));
