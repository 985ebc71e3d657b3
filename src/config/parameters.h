// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The connector's parameters, and our policies, as tables for schema_read: one row a parameter,
/// whose value is a string. Read into a struct connector_definition whose version is set.

#include "config/definition.h"
#include "config/schema.h"

extern const struct schema PARAMETERS;
/// Of an entry with a Source: without the keys that say where the file is in S3.
extern const struct schema PARAMETERS_BESIDE_SOURCE;
extern const struct schema SOURCES;
extern const struct schema POLICIES;
