// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand's `crashes` array as a page for people. Pure.

#include "base/buf.h"
#include "sys/json.h"

/// Appends the page. Members that are missing or of another type are left out, or shown as "-".
void crashes_page_add(const json_t *crashes, struct lm_buf *out);
