// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman device add|list|remove`.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

int cmd_device(const struct call *call);

/// Renders the answer to `device add`: what was made, and where. `registered`: an existing
/// certificate was accepted. Pure.
void device_render_added(const json_t *device, bool registered, struct lm_buf *out);
/// Renders the array of `device list`. Pure. Members that are missing or of another type are shown
/// as "-".
void device_render_list(const json_t *devices, struct lm_buf *out);
