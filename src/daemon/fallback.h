// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a deployment in offline mode may go on with when something cannot be fetched
/// (docs/life.md): found in the store, for the worker.

#include "connector/definition.h"
#include "deploy/store.h"
#include "sys/json.h"

#include <stdbool.h>

struct fallback {
	/// The member `fallback` of the worker's document (docs/formats.md); NULL: there is none.
	json_t *document;
	/// It is a start: what the worker is handed is to hold the generation's own compose file.
	bool is_start;
};

/// For an attempt of generation `n`, or, with 0, for a definition that is none yet. `restores`: it
/// brings up what ran before, which does as a start in offline mode whatever the definition says.
/// What of the store cannot be read counts for nothing.
struct fallback fallback_find(struct store *store, const struct connector_definition *definition,
	unsigned n, bool restores);
void fallback_finish(struct fallback *f);
