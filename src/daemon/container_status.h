// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Logs the status of each container, every DockerContainerStatusLogFrequency seconds.
///
/// While the monitor sees no container event, the engine is asked for the list every five minutes
/// only (it might hang); otherwise each time. What a list does not contain (restarts, exact times)
/// is requested for single containers, and only if they are new or have changed their state since.
/// Logs. From the loop's thread.

#include "base/buf.h"
#include "base/cleanup.h"
#include "docker/engine_json.h"
#include "events/monitor.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct container_status;

/// `docker_socket` and `project` are copied. `monitor` must outlive it; NULL: the list is requested
/// each time. Idle until a frequency is set.
struct container_status *container_status_create(struct loop *loop, const char *docker_socket,
	const char *project, const struct monitor *monitor);
void container_status_destroy(struct container_status *l);
LM_DEFINE_CLEANUP(struct container_status, container_status_destroy)

/// 0: stops. The same value again changes nothing.
void container_status_set_frequency(struct container_status *l, unsigned frequency_s);

// One line (docs/formats.md, "Logs"), and whether an earlier inspection still holds. Pure.

/// The result of an inspection, and when it was made.
struct container_status_known {
	struct engine_container_state state;
	char word[16];    ///< Its state in the list then: "running".
	uint64_t seen_ms; ///< On lm_clock_mono_ms().
};

/// Whether the container, as a list has it that came at `now_ms` (on lm_clock_mono_ms()), has been
/// in the same state since `known` was seen: restarts, exit code and start are then still the same.
bool container_status_is_fresh(const struct container_status_known *known,
	const struct engine_container *c, uint64_t now_ms);

/// Appends "service=web name=… image=… state=running health=healthy restarts=0 exit_code=-
/// uptime_s=3600". `state` may be NULL: what only it has is then "-", and the uptime the least that
/// the list can mean.
void container_status_format(struct lm_buf *out, const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms);
