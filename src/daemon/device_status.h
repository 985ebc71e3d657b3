// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the broker of the client devices says about itself:
/// `<runtimeDirectory>/devices/status.json` (docs/formats.md), which is written by a user that
/// lightermand does not trust.

#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/// Reads the file that the broker with this process ID has written; a new reference. NULL: there is
/// none, or it is another process's, too large, a link, or nothing that a broker writes.
json_t *device_status_read(const char *path, pid_t pid);
/// The same for its text.
json_t *device_status_parse(struct lm_str text, pid_t pid);
/// A count of it; 0 if it is absent. `status` may be NULL. `group` NULL: at the top.
uint64_t device_status_count(const json_t *status, const char *group, const char *key);
/// How many clients are connected.
size_t device_status_connected(const json_t *status);
/// Whether the client is connected.
bool device_status_is_connected(const json_t *status, const char *name);
/// Whether the bridge is connected to the cloud: 1, 0, or -1: there is none, or that is not known.
int device_status_cloud(const json_t *status);
/// Puts what is in it into the answer of `status`: "connected", "routed", "delivered", "refused",
/// "refused_connections", "shadows", "cloud", "clients".
void device_status_show(const json_t *status, json_t *answer);
