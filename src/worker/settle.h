// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The policy's health gate, as a verdict on a list of containers. Pure.

#include "base/buf.h"
#include "docker/answer.h"

enum settle_verdict {
	SETTLE_READY,  ///< All run, and those with a health check are healthy.
	SETTLE_WAIT,   ///< Some are not there yet.
	SETTLE_FAILED, ///< One is unhealthy, dead, or has ended with an exit code that is not 0.
};

/// Appends to `why` what is waited for ("p_web_1 (restarting), p_db_1 (health: starting)"), or what
/// failed ("container p_web_1 has ended with exit code 3"). A container that has ended with exit
/// code 0 has done its work; those of `docker-compose run` do not count.
enum settle_verdict settle_judge(const struct engine_containers *list, struct lm_buf *why);
