// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The container status line of the log (docs/formats.md, "Logs"), and when what is known of a
/// container must be asked for again. Pure.

#include "base/buf.h"
#include "docker/answer.h"
#include "docker/container_state.h"

#include <stdbool.h>
#include <stdint.h>

/// What the engine said of one container, and when.
struct status_known {
	struct engine_container_state state;
	char word[16];    ///< Its state in the list then: "running".
	uint64_t seen_ms; ///< On lm_clock_mono_ms().
};

/// Whether the container, as a list has it that came at `now_ms` (on lm_clock_mono_ms()), has been
/// in the same state since `known` was seen: restarts, exit code and start are then still the same.
bool status_is_fresh(
	const struct status_known *known, const struct engine_container *c, uint64_t now_ms);

/// Appends "service=web name=… image=… state=running health=healthy restarts=0 exit_code=-
/// uptime_s=3600". `state` may be NULL: what only it tells is then "-", and the uptime the least
/// that the list can mean.
void status_format(struct lm_buf *out, const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms);
