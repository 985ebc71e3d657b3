// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is wrong in a group file: every fault with its place, so that a person mends all at once.
/// The list owns its texts.

#include "base/buf.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

/// Faults kept; further ones are only counted.
enum { FAULTS_MAX = 200 };

struct definition_fault {
	char *entry;        ///< "Connectors[0] (MyId)"; NULL: the whole text.
	char *parameter;    ///< Parameter or key; NULL: the entry itself.
	char *value;        ///< As found, shortened; NULL if it is absent.
	bool value_is_text; ///< It was a JSON string (and is printed in quotes).
	char *rule;         ///< What it breaks, in words.
};

struct definition_faults {
	struct definition_fault *items;
	size_t n;
	size_t more; ///< Faults beyond FAULTS_MAX.
};

/// `entry`, `parameter`, `value` may be NULL; all are copied.
void faults_add(struct definition_faults *faults, const char *entry, const char *parameter,
	const json_t *value, const char *rule, ...) __attribute__((format(printf, 5, 6)));
void faults_finish(struct definition_faults *faults);
/// "Connectors[0] (MyId): DockerUserId: "x": rule", without a line end. The caller frees.
char *fault_text(const struct definition_fault *fault);

/// The name of the list nearest to `name` (at most two letters differ), or NULL. Names stand
/// `stride` bytes apart, so that a table's first member can be searched.
const char *faults_nearest(const char *name, const void *names, size_t n, size_t stride);
