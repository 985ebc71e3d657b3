// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman crashes`.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

int cmd_crashes(const struct call *call);

/// Renders lightermand's `crashes` array. Pure. Members that are missing or of another type are
/// left out, or shown as "-".
void crashes_render(const json_t *crashes, struct lm_buf *out);
