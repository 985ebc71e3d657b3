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
#include <stdint.h>

#define GENERATION_DEFINITION "definition.json"
#define GENERATION_COMPOSE "compose.yml"
#define GENERATION_COMPOSE_NEW "compose.yml.new"   ///< Being written by the worker.
#define GENERATION_COMPOSE_KEPT "compose.yml.kept" ///< Complete and synced; waits for the outcome.
#define GENERATION_IMAGES "images.json"
#define GENERATION_IMAGES_NEW "images.json.new" ///< Waits for the outcome.
#define GENERATION_COPIES "copies.json"
#define GENERATION_OUTCOME "outcome.json"
#define GENERATION_REPORTED "reported"
#define GENERATION_QUARANTINE "quarantine.json"

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
/// The number of the next generation, which none had before it.
lm_rc generation_folder_next(int generations_fd, unsigned *ret_n, struct lm_err *err);
/// The number that `name` spells ("7", not "07"), or 0.
unsigned generation_parse_number(struct lm_str name);

/// Reads a file that is a record (sys/record.h) of a JSON document. As record_read.
lm_rc generation_json_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err);
/// The same for an object that nothing depends on: "{}" if there is none, or what there is cannot
/// be understood. LM_E_SYS.
lm_rc generation_object_read(int dir_fd, const char *name, json_t **ret, struct lm_err *err);
/// Replaces a file by the document.
lm_rc generation_json_replace(int dir_fd, const char *name, const json_t *j, struct lm_err *err);

/// The compose files that it has put at the destination, the newest first:
/// [{"sha256","version"},…]. "[]" if there is nothing, or what there is cannot be understood.
lm_rc generation_read_copies(int dir_fd, json_t **ret, struct lm_err *err);
/// Adds one; the last few are kept.
lm_rc generation_note_copy(int dir_fd, const char *sha256, const char *version, struct lm_err *err);

/// {"<ref>":{"digest","id"},…}. "{}" if there is nothing, or what there is cannot be understood. A
/// release before this one had {"<ref>":"<digest>",…}.
lm_rc generation_read_images(int dir_fd, json_t **ret, struct lm_err *err);
/// LM_E_INVALID: what generation `n` had of them is damaged, and it was not deployed since.
/// LM_E_SYS.
lm_rc generation_check_images(int dir_fd, unsigned n, struct lm_err *err);

/// Also on a full disk, then without the reason.
lm_rc generation_quarantine(int dir_fd, const char *reason, int64_t at_ms, struct lm_err *err);
lm_rc generation_lift(int dir_fd, struct lm_err *err);
/// LM_E_NOT_FOUND: it is in no quarantine. The caller frees the reason.
lm_rc generation_read_quarantine(
	int dir_fd, char **ret_reason, int64_t *ret_at_ms, struct lm_err *err);
