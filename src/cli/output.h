// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where a command's output and errors go, as text or as one JSON document.

#include "base/str.h"
#include "cli/options.h"
#include "sys/json.h"

/// Prints "lighterman: <message>", sanitized.
void output_error(FILE *err, const char *message);
/// Writes to `out`: text, or a document as with --json.
void output_text(const struct call *call, struct lm_str text);
void output_json(const struct call *call, const json_t *document);
/// Call it right after a write to `out`: keeps errno of the first one that failed, which is
/// reported when the program exits. Returns `done`.
bool output_note(const struct call *call, bool done);
/// Reports that the command failed: prints the error or, with --json, {"exit","message"} as its one
/// document. Returns `status`.
int output_fail(const struct call *call, int status, const char *message);
