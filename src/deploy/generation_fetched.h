// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What an attempt fetches, in the folder of its generation (`dir_fd`): the compose file, and which
/// images it names. It lies beside the generation's own, compose.yml and images.json, until the
/// outcome is in place. Used by the store only.

#include "base/encoding.h"
#include "base/error.h"

#include <stdbool.h>

/// A new, empty compose.yml.new for the worker to write into; the caller closes.
lm_rc generation_fetched_create(int dir_fd, int *ret_fd, struct lm_err *err);
/// compose.yml.new is complete: syncs it and calls it compose.yml.kept. LM_E_NOT_FOUND,
/// LM_E_INVALID, LM_E_TOO_LARGE, LM_E_SYS.
lm_rc generation_fetched_keep(int dir_fd, struct lm_err *err);
/// The SHA-256 of the compose file that was fetched and is complete. LM_E_NOT_FOUND: there is none;
/// and as generation_compose_open.
lm_rc generation_fetched_sha256(int dir_fd, char ret[LM_SHA256_HEX + 1], struct lm_err *err);
/// What was fetched becomes the generation's own. May be done any number of times.
lm_rc generation_fetched_adopt(int dir_fd, struct lm_err *err);
/// Removes what was fetched.
lm_rc generation_fetched_drop(int dir_fd, struct lm_err *err);

/// The SHA-256 of the generation's own compose file as it is. As generation_compose_open.
lm_rc generation_compose_sha256(int dir_fd, char ret[LM_SHA256_HEX + 1], struct lm_err *err);
/// Opens the generation's own compose file for reading; the caller closes. `sha256` is what the
/// outcome has of it, "" if it has none. LM_E_NOT_FOUND; LM_E_INVALID: it is another one, or no
/// regular file; LM_E_TOO_LARGE, LM_E_DENIED, LM_E_SYS.
lm_rc generation_compose_open(int dir_fd, const char *sha256, int *ret_fd, struct lm_err *err);
