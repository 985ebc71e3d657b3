// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Our own connection to the local broker of the client devices, as the connector: for the topics
/// of ours that a subscription of the group has it as the source of. It is there as long as the
/// group is served, so that what it is to get waits while the broker is away.
///
/// From the loop's thread.

#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/mqtt_brokers.h"
#include "sys/loop.h"

#include <stdbool.h>

struct local_connection;

/// Everything is borrowed and outlives it.
struct local_connection *local_connection_create(
	struct loop *loop, const struct host_settings *host, struct mqtt_brokers *brokers);
/// Takes NULL.
void local_connection_destroy(struct local_connection *l);

/// The group that is served from now on. A connection that does not change is kept.
void local_connection_set_group(struct local_connection *l, const struct group *group);
/// `is_served`: the group is; `is_up`: its broker runs.
void local_connection_update(struct local_connection *l, bool is_served, bool is_up);
