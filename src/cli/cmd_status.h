// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman status` and `metrics`.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

#include <stdint.h>

int cmd_status(const struct call *call);
int cmd_metrics(const struct call *call);

/// Renders lightermand's `status` object. Pure. Members that are missing or of another type are
/// left out, or shown as "-".
void status_render(const json_t *status, int64_t now_ms, struct lm_buf *out);
