// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a deployment in offline mode may go on with when something cannot be fetched
/// (docs/life.md): found in the store, for the worker.

#include "config/definition.h"
#include "deploy/store.h"
#include "sys/json.h"

#include <stdbool.h>

struct fallback {
	/// The member `fallback` of the worker's document (docs/formats.md); NULL: there is none.
	json_t *document;
	/// It is a start: what the worker is handed is to hold the generation's own compose file.
	bool is_start;
};

enum fallback_use {
	FALLBACK_ORDINARY,
	/// It brings up what ran before: as a start in offline mode, whatever the definition says.
	FALLBACK_RESTORES,
	FALLBACK_KEEPS, ///< The same, and what of it still runs runs on.
};

/// For an attempt of generation `n`, or, with 0, for a definition that is none yet. What of the
/// store cannot be read counts for nothing.
struct fallback fallback_find(struct store *store, const struct connector_definition *definition,
	unsigned n, enum fallback_use use);
void fallback_finish(struct fallback *f);
