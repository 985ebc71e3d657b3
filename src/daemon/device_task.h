// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `devices` of lighterman-worker: whatever has to do with keys and certificates of client
/// devices. Pure.

#include "config/definition.h"
#include "daemon/own_tasks.h"

/// For the group that is deployed (NULL: none is); its document may get more members. The removal
/// of a device waits for nothing: a stolen key must not be good for as long as others are made.
struct own_task_spec device_task(const char *action, const struct group *group);
