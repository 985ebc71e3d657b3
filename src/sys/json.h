// SPDX-License-Identifier: Apache-2.0
#pragma once

/// jansson, with our rules for bad input: UTF-8 only, no duplicate keys, no NUL in texts, at most
/// LIMIT_JSON_DEPTH levels, any type at the top.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline void json_cleanup_decref(json_t **j)
{
	json_decref(*j);
}
#define lm_auto_json lm_auto(json_cleanup_decref)

/// Parses one document. LM_E_INVALID with "line L, column C: what is wrong". `*ret` is the
/// caller's.
lm_rc json_parse(struct lm_str text, json_t **ret, struct lm_err *err);
/// A bound, found without parsing, on how many values and keys json_parse makes of the text: each
/// takes a few hundred bytes, and a text may have one for every two of its own.
size_t json_count(struct lm_str text);
/// Reads and parses a file of at most `max` bytes; the message begins with the path.
lm_rc json_read_file(const char *path, size_t max, json_t **ret, struct lm_err *err);
/// Appends the compact form. False over the buffer's ceiling.
bool json_write(const json_t *j, struct lm_buf *out);

/// "an object", "an array", "a string", "a number", "true", "false", "null": for messages.
const char *json_type_name(const json_t *j);
/// The member's text, or NULL if it is absent or no string. Borrowed.
const char *json_get_text(const json_t *object, const char *key);
/// A copy of it; "" if it is absent or no string. The caller frees.
char *json_copy_text(const json_t *object, const char *key);
struct lm_str json_text(const json_t *string);
/// A text as JSON, NULL as null. What is not UTF-8 in it (output of other programs) becomes \xNN.
json_t *json_from_text(const char *text);
/// The member as integer, or `fallback`.
int64_t json_get_int(const json_t *object, const char *key, int64_t fallback);
bool json_get_bool(const json_t *object, const char *key, bool fallback);
