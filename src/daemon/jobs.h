// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The jobs of AWS IoT Jobs for this thing (docs/fleet.md), from the broker of the host file that
/// has them: deployments and rollbacks, one at a time. deploy/job_machine.h decides; this carries
/// it out, with the supervisor. From the loop's thread; logs.

#include "base/cleanup.h"
#include "config/host_file.h"
#include "daemon/metrics.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/supervisor.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdint.h>

struct jobs;

/// `changed` is called when what jobs_to_json returns has changed, perhaps from within jobs_look.
/// NULL: no broker has jobs, or the name of the thing is unknown, which is logged. The others take
/// NULL. All is borrowed; the supervisor is destroyed first, the brokers last.
struct jobs *jobs_create(struct loop *loop, const struct host_settings *host,
	struct mqtt_brokers *brokers, struct supervisor *supervisor, loop_cb *changed, void *ctx);
void jobs_destroy(struct jobs *j);
LM_DEFINE_CLEANUP(struct jobs, jobs_destroy)

/// What the supervisor does may be another. Gives no commands at once.
void jobs_look(struct jobs *j);
/// What `status` shows, or null; a new reference.
json_t *jobs_to_json(const struct jobs *j);
/// The metrics of jobs.
struct metrics_jobs jobs_measure(const struct jobs *j);
