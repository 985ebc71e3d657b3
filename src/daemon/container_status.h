// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every so often one line a container in the log: what the connector did every
/// DockerContainerStatusLogFrequency seconds.
///
/// While nothing happens to the containers, by the monitor's word, the engine is asked for their
/// list every five minutes only, as it might hang; else each time. What a list does not tell
/// (restarts, exact times) is asked of single containers, and only of those that are new or have
/// changed their state since they were last asked. Logs. From the loop's thread.

#include "base/buf.h"
#include "base/cleanup.h"
#include "docker/answer.h"
#include "docker/container_state.h"
#include "events/monitor.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct container_status;

/// `docker_socket` and `project` are copied. `monitor` must outlive it; NULL: the list is asked for
/// each time. Nothing is done before a frequency is set.
struct container_status *container_status_create(struct loop *loop, const char *docker_socket,
	const char *project, const struct monitor *monitor);
void container_status_destroy(struct container_status *l);
LM_DEFINE_CLEANUP(struct container_status, container_status_destroy)

/// From now on every `frequency_s` seconds; 0: not any more. The same again changes nothing.
void container_status_set_frequency(struct container_status *l, unsigned frequency_s);

// One line (docs/formats.md, "Logs"), and whether what is known of a container still holds. Pure.

/// What the engine said of one container, and when.
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
/// uptime_s=3600". `state` may be NULL: what only it tells is then "-", and the uptime the least
/// that the list can mean.
void container_status_format(struct lm_buf *out, const struct engine_container *c,
	const struct engine_container_state *state, int64_t now_wall_ms);
