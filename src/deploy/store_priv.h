// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the store: the generation folders, and what follows an outcome.

#include "base/buf.h"
#include "deploy/store.h"

#include <jansson.h>

#define STORE_DEFINITION "definition.json"
#define STORE_COMPOSE "compose.yml"
#define STORE_COMPOSE_NEW "compose.yml.new"   ///< Being written by the worker.
#define STORE_COMPOSE_KEPT "compose.yml.kept" ///< Complete and synced; waits for the outcome.
#define STORE_IMAGES "images.json"
#define STORE_IMAGES_NEW "images.json.new" ///< Waits for the outcome.
#define STORE_COPIES "copies.json"
#define STORE_OUTCOME "outcome.json"
#define STORE_REPORTED "reported"
#define STORE_CURRENT "current"
#define STORE_LAST_GOOD "last-good"
#define STORE_STOPPED "stopped" ///< Of a release before the link `wanted`.

enum {
	STORE_OUTCOME_MAX = 1 << 20, ///< A message of LIMIT_MQTT_PAYLOAD, escaped as JSON may be.
	STORE_GENERATION_MAX = 999999999,
	STORE_NAME_SIZE = 32,
};

struct store {
	int root_fd;
	int generations_fd;
	struct store_state state;
	bool open_acted; ///< After store_open: what was interrupted had changed what runs.
	json_t *images;  ///< Of the attempt under way; NULL until the first.
	char *note;
};

/// What outcome.json says, as far as the store acts on it.
struct store_verdict {
	unsigned attempt; ///< 0: no outcome.
	bool success, good, has_status;
};

/// Opens the folder of generation `n`. LM_E_NOT_FOUND: there is no such generation.
lm_rc store_open_generation(const struct store *s, unsigned n, int *ret_fd, struct lm_err *err);
/// All generations, ascending; the caller frees.
lm_rc store_numbers(const struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err);
/// The number that `name` spells ("7", not "07"), or 0.
unsigned store_parse_number(struct lm_str name);
/// Removes a generation so that a crash in the middle leaves no half one under its number.
lm_rc store_discard(const struct store *s, unsigned n, struct lm_err *err);

/// Opens a regular file, never through a link. LM_E_NOT_FOUND, LM_E_INVALID.
lm_rc store_file_open(int dir_fd, const char *name, int *ret_fd, struct lm_err *err);
/// Reads one under the ceiling of `out`. LM_E_NOT_FOUND, LM_E_INVALID, LM_E_TOO_LARGE.
lm_rc store_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err);
lm_rc store_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err);
/// Replaces a file by the document.
lm_rc store_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err);

/// Reads outcome.json; an absent or damaged one is attempt 0.
lm_rc store_verdict_read(int generation_fd, struct store_verdict *ret, struct lm_err *err);
/// Whether the last outcome has a message that is not known to be in the outbox.
lm_rc store_is_unreported(
	int generation_fd, const struct store_verdict *verdict, bool *ret, struct lm_err *err);
/// Removes what an attempt without outcome has left beside.
lm_rc store_drop_fetched(int generation_fd, struct lm_err *err);
/// Everything that follows an outcome in place: adopts or drops what was fetched, sets the links,
/// ends the journal. May be done any number of times.
lm_rc store_commit(struct store *s, unsigned n, struct lm_err *err);
/// Puts in order what a crash left, and fills `s->state`.
lm_rc store_recover(struct store *s, struct lm_err *err);
