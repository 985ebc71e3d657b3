// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every so often one line a container in the log: what the connector did every
/// DockerContainerStatusLogFrequency seconds.
///
/// While nothing happens to the containers, by the monitor's word, the engine is asked for their
/// list every five minutes only, as it might hang; else each time. What a list does not tell
/// (restarts, exact times) is asked of single containers, and only of those that are new or have
/// changed their state since they were last asked. Logs. From the loop's thread.

#include "base/cleanup.h"
#include "events/monitor.h"
#include "sys/loop.h"

struct status_lines;

/// `docker_socket` and `project` are copied. `monitor` must outlive it; NULL: the list is asked for
/// each time. Nothing is done before a frequency is set.
struct status_lines *status_lines_create(struct loop *loop, const char *docker_socket,
	const char *project, const struct monitor *monitor);
void status_lines_destroy(struct status_lines *l);
LM_DEFINE_CLEANUP(struct status_lines, status_lines_destroy)

/// From now on every `frequency_s` seconds; 0: not any more. The same again changes nothing.
void status_lines_set_frequency(struct status_lines *l, unsigned frequency_s);
