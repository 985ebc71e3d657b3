// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the engine's list of containers tells of a container's state only roughly, or not at all.
/// Pure, as docker/answer.h.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "docker/answer.h"

#include <stdbool.h>
#include <stdint.h>

/// What the engine does when a container ends by itself.
enum engine_restart {
	ENGINE_RESTART_NO,
	ENGINE_RESTART_ON_FAILURE, ///< Starts it again unless it exited with 0, perhaps only so
				   ///< often.
	ENGINE_RESTART_ALWAYS,     ///< "always", "unless-stopped"
};

/// What only the engine's word on a single container has.
struct engine_container_state {
	unsigned restart_count; ///< By its restart policy, since it was created.
	int exit_code;          ///< Of its last run; -1: it runs, or never ran.
	int64_t started_ms;     ///< Wall clock, of the engine's host; 0: it never ran.
	int64_t ended_ms;       ///< The end of its last run that has ended; 0: none has.
	bool oom_killed;
	enum engine_health health;
	int stop_signal; ///< By which the engine stops it; 0: one that is not known here.
	enum engine_restart restart_policy;
	char state[16]; ///< As engine_container.state.
};

/// Appends "/v1.<minor>/containers/<id>/json". False if that cannot be a target.
bool engine_container_target(struct lm_buf *out, unsigned minor, const char *id);
/// Reads GET /containers/{id}/json. LM_E_PROTOCOL.
lm_rc engine_parse_container_state(
	struct lm_str body, struct engine_container_state *ret, struct lm_err *err);

/// For how many seconds, at least, a container has been in its state, by the status that a list has
/// for people: "Up 5 minutes (healthy)", "Exited (137) About an hour ago". -1: it does not tell.
int64_t engine_status_age_s(const char *status);
