// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How often each of many clients may do something: a number of times at once, and from then on
/// once an interval. Takes a fixed amount of memory: of more clients than it has places for, those
/// are forgotten that are furthest from their limit.

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_KEY_SIZE = 32 };

/// Who: an address, or the SHA-256 of a certificate, filled up with zeros.
struct client_key {
	uint8_t bytes[CLIENT_KEY_SIZE];
};

struct client_rate;

/// `burst` is at least 1.
struct client_rate *client_rate_create(size_t places, unsigned burst, unsigned interval_ms);
void client_rate_destroy(struct client_rate *rate);
LM_DEFINE_CLEANUP(struct client_rate, client_rate_destroy)

/// Whether the client may do it now; if so, it counts. `now_ms` never goes back.
bool client_rate_take(struct client_rate *rate, const struct client_key *client, uint64_t now_ms);
