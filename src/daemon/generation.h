// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The generations in the store, as deployments, teardowns and the status need them.

#include "config/definition.h"
#include "deploy/store.h"
#include "sys/json.h"

#include <stdbool.h>

/// The definition of generation `n` as it was kept. The message names the generation. LM_E_SYS: it
/// cannot be read or parsed: what was accepted once is no error of its author.
lm_rc generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err);
/// The generation whose definition a teardown uses: of those whose containers may run the first
/// whose definition can be read. LM_E_NOT_FOUND: nothing was deployed. As
/// generation_read.
lm_rc generation_to_take_down(
	struct store *s, unsigned *ret_n, struct group **ret, struct lm_err *err);
/// The generation that runs while one with the definition `group` is deployed; 0: none. Before its
/// attempt begins. `left`: that one is rolled back, and may have changed what runs; 0: none is.
unsigned generation_before(struct store *s, const struct group *group, unsigned left);
/// The outcome of the last attempt of `n`, or NULL; a new reference.
json_t *generation_outcome(struct store *s, unsigned n);
/// The outcome that was recorded last, of whichever generation; a new reference, or NULL.
json_t *generation_last_outcome(struct store *s);
/// The IDs of the images of all generations: {"<id>":true,…}, a new reference. What cannot be read
/// is left out.
json_t *generation_list_images(struct store *s);
/// Why and since when `n` is in quarantine: {"reason","at_ms"}, a new reference; NULL: it is not.
json_t *generation_describe_quarantine(struct store *s, unsigned n);
/// How many of the generations are in quarantine.
unsigned generation_count_quarantined(struct store *s);
/// When a deployment last succeeded, by the outcomes that are kept; 0: never.
int64_t generation_last_success_ms(struct store *s);

/// What a deployment in offline mode may go on with when something cannot be fetched
/// (docs/life.md): found in the store, for the worker.
struct fallback {
	/// The member `fallback` of the worker's document (docs/formats.md); NULL: there is none.
	json_t *document;
	/// It is a start: the worker gets the generation's own compose file.
	bool is_start;
};

/// Whether it was deployed once, so that another attempt only starts it.
bool generation_was_deployed(struct store *store, unsigned n);

enum fallback_use {
	FALLBACK_ORDINARY,
	/// It starts what ran before, as in offline mode, whatever the definition has.
	FALLBACK_RESTORES,
	FALLBACK_KEEPS, ///< The same, and containers of it that still run are kept.
};

/// For an attempt of generation `n`, or, with 0, for a definition that is none yet. What cannot
/// be read of the store is ignored.
struct fallback fallback_find(struct store *store, const struct connector_definition *definition,
	unsigned n, enum fallback_use use);
void fallback_finish(struct fallback *f);
