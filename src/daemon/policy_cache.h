// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the definition of a generation says of the time in which it runs, read once: a generation
/// does not change. Each setting is kept of the generation that was asked about last. From the
/// loop's thread; logs what cannot be read, once.

#include "deploy/store.h"

#include <stdbool.h>

struct policy_cache {
	struct store *store;   ///< Borrowed; the rest is zero at first.
	unsigned frequency_of; ///< The generation of `frequency_s`; 0: none.
	unsigned frequency_s;
	unsigned restarts_of; ///< The generation of `restarts_unhealthy`; 0: none.
	bool restarts_unhealthy;
};

/// How often the status of its containers is to be logged, in seconds; 0: never, or that cannot be
/// read.
unsigned policy_cache_frequency_s(struct policy_cache *c, unsigned generation);
/// Whether its unhealthy containers are to be restarted; false: or that cannot be read.
bool policy_cache_restarts_unhealthy(struct policy_cache *c, unsigned generation);
