// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A check of `lighterman doctor`, and what it found. The command line makes some itself and a
/// worker the others, with this module; the results of both are the same JSON (docs/formats.md).

#include "base/error.h"
#include "sys/json.h"

#include <stddef.h>

enum check_verdict { CHECK_OK, CHECK_WARNING, CHECK_PROBLEM, CHECK_SKIPPED };

/// Who receives the results of checks. `add` takes ownership of the reference.
struct check_report {
	const char *name; ///< Of the current check. Borrowed.
	size_t problems, warnings;
	void (*add)(void *ctx, json_t *result);
	void *ctx;
};

/// Reports a result of the current check; a check may have several. `fix`: what to do beyond what
/// the message says; NULL: nothing.
void check_ok(struct check_report *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void check_warning(struct check_report *r, const char *message, const char *fix);
void check_problem(struct check_report *r, const char *message, const char *fix);
/// It was not made; the text says why: "not needed: …".
void check_skip(struct check_report *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/// Reports a result from another process. Takes ownership of the reference.
void check_forward(struct check_report *r, json_t *result);

/// Anything that is not a result counts as a problem.
enum check_verdict check_verdict_of(const json_t *result);
