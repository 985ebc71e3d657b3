// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The folder of a generation, <store>/generations/<n>/, and its files (deploy/store.h). Used by
/// the store only. `generations_fd` is the folder of all of them, `dir_fd` one of them.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

#define GENERATION_DEFINITION "definition.json"
#define GENERATION_COMPOSE "compose.yml"
#define GENERATION_COMPOSE_NEW "compose.yml.new"   ///< Being written by the worker.
#define GENERATION_COMPOSE_KEPT "compose.yml.kept" ///< Complete and synced; waits for the outcome.
#define GENERATION_IMAGES "images.json"
#define GENERATION_IMAGES_NEW "images.json.new" ///< Waits for the outcome.
#define GENERATION_COPIES "copies.json"
#define GENERATION_OUTCOME "outcome.json"
#define GENERATION_REPORTED "reported"

enum {
	GENERATION_OUTCOME_MAX =
		1 << 20, ///< A message of LIMIT_MQTT_PAYLOAD, escaped as JSON may be.
	GENERATION_MAX = 999999999,
	GENERATION_NAME_SIZE = 32,
};

/// Opens the folder of generation `n`. LM_E_NOT_FOUND: there is no such generation.
lm_rc generation_folder_open(int generations_fd, unsigned n, int *ret_fd, struct lm_err *err);
/// The numbers of all generations, ascending; the caller frees.
lm_rc generation_folder_list(
	int generations_fd, unsigned **ret, size_t *ret_count, struct lm_err *err);
/// Makes the folder `name` anew, with a definition.
lm_rc generation_folder_make(
	int generations_fd, const char *name, struct lm_str definition, struct lm_err *err);
/// Removes a generation so that a crash in the middle leaves no half one under its number.
lm_rc generation_folder_discard(int generations_fd, unsigned n, struct lm_err *err);
/// Removes ".new-<n>" (never got its number) and ".old-<n>" (lost it).
lm_rc generation_remove_unnumbered(int generations_fd, struct lm_err *err);
/// Whether there is a generation `n` with a definition, or one that cannot be read now.
lm_rc generation_is_complete(int generations_fd, unsigned n, bool *ret, struct lm_err *err);
/// The number that `name` spells ("7", not "07"), or 0.
unsigned generation_parse_number(struct lm_str name);

/// Opens a regular file, never through a link. LM_E_NOT_FOUND, LM_E_INVALID.
lm_rc generation_file_open(int dir_fd, const char *name, int *ret_fd, struct lm_err *err);
/// Reads one under the ceiling of `out`. LM_E_NOT_FOUND, LM_E_INVALID, LM_E_TOO_LARGE.
lm_rc generation_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err);
lm_rc generation_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err);
/// Replaces a file by the document.
lm_rc generation_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err);

/// What the store needs of outcome.json.
struct generation_verdict {
	unsigned attempt; ///< 0: no outcome.
	bool success, good, has_status;
};

/// Reads outcome.json; an absent or damaged one is attempt 0.
lm_rc generation_verdict_read(int dir_fd, struct generation_verdict *ret, struct lm_err *err);
/// Whether the last outcome has a message that is not known to be in the outbox.
lm_rc generation_is_unreported(
	int dir_fd, const struct generation_verdict *verdict, bool *ret, struct lm_err *err);
/// Removes what an attempt without outcome has left beside.
lm_rc generation_drop_fetched(int dir_fd, struct lm_err *err);
/// What was fetched becomes the generation's own, or is dropped, by the outcome. May be done any
/// number of times.
lm_rc generation_adopt_fetched(
	int dir_fd, const struct generation_verdict *verdict, struct lm_err *err);

/// The compose files that it has put at the destination, the newest first:
/// [{"sha256","version"},…]. "[]" if there is nothing, or what there is cannot be understood.
lm_rc generation_read_copies(int dir_fd, json_t **ret, struct lm_err *err);
/// Adds one; the last few are kept.
lm_rc generation_note_copy(int dir_fd, const char *sha256, const char *version, struct lm_err *err);
