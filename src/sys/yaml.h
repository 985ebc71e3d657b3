// SPDX-License-Identifier: Apache-2.0
#pragma once

/// YAML documents as a tree, with ceilings: LIMIT_YAML_DEPTH levels, LIMIT_YAML_NODES nodes (an
/// alias counts as what it stands for, so a "billion laughs" file is refused), LIMIT_YAML_TEXT
/// bytes in each value, one document.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_doc;
struct yaml_node; ///< Belongs to its document.

/// Parses one document. LM_E_INVALID: "line L, column C: what is wrong" (from 1). An empty text, or
/// a second document, is LM_E_INVALID too.
lm_rc yaml_parse(struct lm_str text, struct yaml_doc **ret, struct lm_err *err);
/// Parses all documents of the text, at most LIMIT_YAML_DOCUMENTS. `*ret` has `*ret_n` of them, at
/// least one. LM_E_INVALID as yaml_parse; LM_E_TOO_LARGE: over one of the
/// ceilings.
lm_rc yaml_parse_all(struct lm_str text, struct yaml_doc ***ret, size_t *ret_n, struct lm_err *err);
void yaml_destroy_all(struct yaml_doc **docs, size_t n);
void yaml_destroy(struct yaml_doc *doc);
LM_DEFINE_CLEANUP(struct yaml_doc, yaml_destroy)

const struct yaml_node *yaml_root(const struct yaml_doc *doc);
enum yaml_kind yaml_kind(const struct yaml_node *n);
unsigned yaml_line(const struct yaml_node *n);
unsigned yaml_column(const struct yaml_node *n);
/// The scalar's text; empty for other kinds. Borrowed.
struct lm_str yaml_text(const struct yaml_node *n);
/// Whether a scalar is null by YAML 1.1: empty, ~, null, Null, NULL, and plain.
bool yaml_is_null(const struct yaml_node *n);
/// Whether a scalar stands there without quotes, as a word that YAML may take for a number.
bool yaml_is_plain(const struct yaml_node *n);
/// Members of a mapping (pairs) or items of a sequence.
size_t yaml_size(const struct yaml_node *n);
const struct yaml_node *yaml_item(const struct yaml_node *sequence, size_t i);
const struct yaml_node *yaml_key(const struct yaml_node *mapping, size_t i);
const struct yaml_node *yaml_value(const struct yaml_node *mapping, size_t i);
/// The value of a key ("<<" merges are followed), or NULL.
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);

/// The same for a `mapping` that may be NULL or of another kind. The text of a scalar member
/// without blanks around it; empty if it is absent, null or no scalar.
struct lm_str yaml_get_text(const struct yaml_node *mapping, const char *key);
/// The member, if it is of that kind; else NULL.
const struct yaml_node *yaml_get_of(
	const struct yaml_node *mapping, const char *key, enum yaml_kind kind);
/// Whether the member is there and not null.
bool yaml_has(const struct yaml_node *mapping, const char *key);
