// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Logs the status of each container (docs/formats.md, "Logs"), every
/// DockerContainerStatusLogFrequency seconds.
///
/// While the monitor sees no container event, the engine is asked for the list every five minutes
/// only (it might hang); otherwise each time. What a list does not contain (restarts, exact times)
/// is requested for single containers, and only if they are new or have changed their state since.
/// Logs. From the loop's thread.

#include "base/cleanup.h"
#include "events/monitor.h"
#include "sys/loop.h"

struct container_status;

/// `docker_socket` and `project` are copied. `monitor` must outlive it; NULL: the list is requested
/// each time. Idle until a frequency is set.
struct container_status *container_status_create(struct loop *loop, const char *docker_socket,
	const char *project, const struct monitor *monitor);
void container_status_destroy(struct container_status *l);
LM_DEFINE_CLEANUP(struct container_status, container_status_destroy)

/// 0: stops. The same value again changes nothing.
void container_status_set_frequency(struct container_status *l, unsigned frequency_s);
