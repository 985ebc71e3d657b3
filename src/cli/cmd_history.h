// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman history`: the generations that are kept.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

#include <stdint.h>

/// Appends the page for the array `history` of the answer; lines are broken at `columns`.
void history_render(const json_t *history, int64_t now_ms, size_t columns, struct lm_buf *out);

int cmd_history(const struct call *call);
