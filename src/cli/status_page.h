// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand's `status` object as a page for people. Pure.

#include "base/buf.h"
#include "sys/json.h"

#include <stdint.h>

/// Appends the page. Members that are missing or of another type are left out, or shown as "-".
void status_page_add(const json_t *status, int64_t now_ms, struct lm_buf *out);
