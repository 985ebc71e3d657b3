// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How often the containers of each service were restarted.

#include "base/cleanup.h"
#include "daemon/metrics.h"

struct restarts {
	struct metrics_restarts *items; ///< Owns the names.
	size_t n;
};

/// Adds a container's. Once LIMIT_SERVICES are known, all others count as the service "".
void restarts_add(struct restarts *r, const char *service, uint64_t n);
void restarts_finish(struct restarts *r);
