// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The arrays of a group file as a table: which keys an item may have, and of which kind.

#include "config/faults.h"
#include "sys/json.h"

/// "Connectors[0] (MyId)"; the Id, shortened, only if there is one. The caller frees.
char *items_place(const char *array, size_t i, const json_t *item);
/// Checks one known array of the group: an array of objects, keys, kinds, and Ids that are unique.
/// An `array` that is not in ITEMS_ARRAYS is only checked for being one.
void items_check(const char *array, const json_t *items, struct definition_faults *faults);
/// The names of the known arrays.
extern const char *const ITEMS_ARRAYS[];
extern const size_t ITEMS_ARRAYS_N;
/// A number, or a string of digits as CloudFormation writes it; `fallback` if absent.
unsigned items_number(const json_t *value, unsigned fallback);
/// true, or "true" in any case.
bool items_bool(const json_t *value);
