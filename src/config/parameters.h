// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The connector's parameters, and our policies, as tables: one row a parameter.

#include "base/buf.h"
#include "config/definition.h"

#include <stdbool.h>
#include <stddef.h>

struct parameter {
	const char *name; ///< First: faults_nearest reads it.
	bool required;
	unsigned since, until; ///< Connector versions that have it.
	const char *pattern;   ///< As documented.
	const char *fallback;  ///< The default as text; NULL: none.
	/// Checks a value and puts it at `field`. False: `why` has the rule that it breaks.
	bool (*set)(const struct parameter *p, struct lm_str value, unsigned version, void *field,
		struct lm_buf *why);
	size_t field;             ///< Offset in struct connector_definition.
	unsigned lowest, highest; ///< For numbers.
};

extern const struct parameter PARAMETERS[];
extern const size_t PARAMETERS_N;
extern const struct parameter POLICIES[];
extern const size_t POLICIES_N;

/// Reads the object `values` by a table into `def` (whose version is set) and fills in defaults.
/// `prefix` stands in front of names in faults ("" or "Policy."). `values` may be NULL.
void parameters_read(const struct parameter *table, size_t n, const json_t *values,
	const char *entry, const char *prefix, struct connector_definition *def,
	struct definition_faults *faults);
