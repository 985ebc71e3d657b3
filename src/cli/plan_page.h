// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A plan, from the lines of lightermand's answer to one document, and as a page for people. Pure.

#include "base/buf.h"
#include "sys/json.h"

/// Puts the `plan` objects of an answer together: the summary's members, `services`, `images`,
/// `problems`. NULL without a summary. A new reference.
json_t *plan_document(const json_t *lines);

/// Appends the page. Members that are missing or of another type are left out, or shown as "-".
void plan_page_add(const json_t *plan, struct lm_buf *out);
