// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by the files that write credentials as JSON.

#include "base/buf.h"
#include "base/str.h"

/// Appends a JSON string. By our own hand: jansson would leave copies of a password on the heap.
void registry_add_json_string(struct lm_buf *out, struct lm_str s);
