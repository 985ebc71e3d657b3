// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman plan`.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

int cmd_plan(const struct call *call);

/// Puts the `plan` objects of an answer together: the summary's members, `services`, `images`,
/// `problems`. NULL without a summary. A new reference.
json_t *plan_document(const json_t *lines);
/// Renders that document. Pure. Members that are missing or of another type are left out, or shown
/// as "-".
void plan_render(const json_t *plan, struct lm_buf *out);
