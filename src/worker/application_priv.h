// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How this job runs docker-compose; for the files that do.

#include "worker/candidate.h"
#include "worker/work_priv.h"

/// Puts a compose file that is not the local copy where docker-compose can read it: in `place`,
/// beside the local copy, or where that cannot be (no destination, a full disk) in the job's
/// directory in memory.
lm_rc application_write_candidate(const struct work *w, const struct work_place *place,
	struct lm_str text, struct candidate *ret, struct lm_err *err);
/// For texts that may hold resolved secrets: in memory only.
lm_rc application_write_secret_candidate(
	const struct work *w, struct lm_str text, struct candidate *ret, struct lm_err *err);
/// In `place`, by a candidate, which messages call by the definition's key. Borrows all. Each line
/// that compose prints goes to the log.
struct compose_job application_candidate_job(const struct work *w, const struct work_place *place,
	char *const *env, const struct candidate *candidate);
/// By the local copy at `path`.
struct compose_job application_copy_job(
	const struct work *w, const struct work_place *place, char *const *env, const char *path);

// application_conflicts.c
/// Removes networks of ours that this generation of docker-compose refuses: the other one labelled
/// them otherwise. LM_E_REFUSED: a stranger's container uses one; the message says what to run.
lm_rc application_replace_networks(const struct work *w, struct lm_err *err);
/// After `up` has failed with `rc`: if something is in the way, the message names it.
/// LM_E_CONFLICT: ForceDeploy may help. LM_E_INVALID: the compose file contradicts itself.
lm_rc application_explain_conflict(const struct work *w, lm_rc rc, struct lm_err *err);
/// Before anything is stopped: calls `found` with a sentence for each thing that the compose file
/// wants and others hold, whatever becomes of what runs. `sees_programs`: the engine uses the
/// network that we are in.
lm_rc application_list_strangers(const struct work *w, bool sees_programs,
	void (*found)(void *ctx, const char *text), void *ctx, struct lm_err *err);
