// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a document is that was given as a group file and is none: the output of another AWS
/// command, a template, a recipe, a compose file, a compressed or UTF-16 file. Pure.
///
/// Each function returns the rule that the document breaks, for validation_errors_add, as "is a
/// compose file; upload it to …": what it is, and what to do. NULL: it is of no form that is known
/// here. The caller frees.

#include "base/str.h"
#include "sys/json.h"

/// Without the UTF-8 byte order mark, if it begins with one.
struct lm_str group_form_skip_mark(struct lm_str text);
/// Of bytes that no JSON parser takes: nothing at all, UTF-16, gzip, binary.
char *group_form_explain_bytes(struct lm_str text);
/// Of text that is not valid JSON: YAML, HCL, tables, HTML.
char *group_form_explain_text(struct lm_str text);
/// Of a JSON document.
char *group_form_explain_document(const json_t *document);
/// Whether the text, YAML or JSON, is a compose file.
bool group_form_is_compose(struct lm_str text);
/// Whether the array is one of connectors, as `--query Definition.Connectors` prints it.
bool group_form_is_connectors(const json_t *array);
