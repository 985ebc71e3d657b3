// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The state machine of one deployment: which stages run, in which order, and what a failure of
/// each of them means.
///
/// Runs in the worker and waits inside the operations. It knows nothing of Docker, of the store, of
/// files or of the clock: all that is behind `struct deploy_ops`. Holds no secret, never logs. The
/// stages `validate` and `commit` belong to the program that starts and records the deployment;
/// they have names here so that every program spells them alike.

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum deploy_stage {
	DEPLOY_VALIDATE,
	DEPLOY_PREPARE,
	DEPLOY_FETCH,
	DEPLOY_RESOLVE,
	DEPLOY_AUTHENTICATE,
	DEPLOY_ADMIT,
	DEPLOY_PULL,
	DEPLOY_SNAPSHOT, ///< Stops what runs, so that its volumes can be copied.
	DEPLOY_DOWN,
	DEPLOY_UP,
	DEPLOY_WAIT_HEALTHY,
	DEPLOY_COMMIT,
	DEPLOY_STAGES, ///< How many there are; also: none.
};

/// "validate", "prepare", … "commit"; "" for anything else. Static storage.
const char *deploy_stage_name(enum deploy_stage stage);
/// The stage of that name, or DEPLOY_STAGES.
enum deploy_stage deploy_stage_from_name(const char *name);

/// Whether the stage changes what runs.
bool deploy_stage_acts(enum deploy_stage stage);

/// What the definition asks for. A setting that `version` does not know has its default, whatever
/// stands here.
struct deploy_options {
	unsigned version;     ///< Of the connector: 1 to 7.
	bool force_deploy;    ///< From 2. Default false.
	bool pull_before_up;  ///< From 5. Default true.
	bool stop_containers; ///< From 6. Default true.
	bool offline_mode;    ///< From 7. Default false.
	bool wait_healthy;    ///< The policy has a health gate; any version.
	bool snapshot;        ///< The volumes are copied before `down`; any version.
	bool adopts;          ///< What runs was started by another program: no `down`; any version.
	/// Images are pulled before anything is stopped; any version. Not if it repairs.
	bool pulls_first;
	/// It is a start of what was deployed before, whose own compose file is at hand: in offline
	/// mode that takes the place of whatever cannot be had, for whatever reason.
	bool has_own;
	/// It starts again what ran before: with `has_own` nothing is fetched, as long as all of it
	/// is on this device.
	bool restores;
	/// Replaces damaged images: `down` removes them, before `pull` gets them again; what is not
	/// damaged runs on. Without offline mode.
	bool repairs;
	/// A plan: runs only the stages that change nothing, and needs only their operations.
	/// Registries are not logged in to.
	bool read_only;
};

#define DEPLOY_OPTIONS_DEFAULT(v)                                                                  \
	((struct deploy_options){.version = (v), .pull_before_up = true, .stop_containers = true})

/// The stages that deploy_run would run, in order: into `out`, which has room for DEPLOY_STAGES.
/// Returns their number.
size_t deploy_plan_stages(const struct deploy_options *options, enum deploy_stage *out);

enum deploy_pull {
	DEPLOY_PULL_ALL,     ///< Every image that is not built here.
	DEPLOY_PULL_MISSING, ///< Only images that are not on this device (`up` would pull them
			     ///< too).
	DEPLOY_PULL_LOCAL,   ///< None: fail, naming it, if one is not on this device.
};

/// Whether a failure of this class is one that offline mode helps against.
bool deploy_is_away(lm_rc rc);
/// What the stage `pull` would do, as long as it is online.
enum deploy_pull deploy_pull_mode(const struct deploy_options *options);
/// Whether what runs is stopped before the stage `pull`.
bool deploy_pulls_after_down(const struct deploy_options *options);

enum deploy_state { DEPLOY_BEGIN, DEPLOY_PROGRESS, DEPLOY_END, DEPLOY_FAIL };

/// "begin", "progress", "end", "fail".
const char *deploy_state_name(enum deploy_state state);

struct deploy_event {
	enum deploy_stage stage;
	enum deploy_state state;
	uint64_t ms;         ///< END and FAIL: how long the stage worked.
	const char *message; ///< PROGRESS and FAIL: a sentence. Borrowed for the call.
	bool is_warning;     ///< PROGRESS: the sentence is one.
};

/// Everything the state machine reaches. Each fails with an error class as in base/error.h and
/// nothing else in `err`; the classes that matter here are LM_E_INVALID (the definition, or what it
/// names, is wrong), LM_E_NETWORK, LM_E_TIMEOUT and LM_E_REFUSED (offline mode may help),
/// LM_E_CONFLICT (`up` only: ForceDeploy may help) and LM_E_CANCELLED.
struct deploy_ops {
	lm_rc (*prepare)(void *ctx, struct lm_err *err);
	/// Compose file, secrets and registry tokens.
	lm_rc (*fetch)(void *ctx, struct lm_err *err);
	/// Offline mode, after `fetch` failed: takes what is at hand as the compose file instead.
	lm_rc (*fetch_local)(void *ctx, struct lm_err *err);
	/// A start in offline mode, after a login or a pull failed: takes the own compose file.
	/// `*ret_changed`: it was another one until now, so that it is to be resolved again.
	lm_rc (*take_own)(void *ctx, bool *ret_changed, struct lm_err *err);
	/// A restore, instead of `fetch`: whether the own compose file and its images are on this
	/// device. Then `take_own` follows.
	lm_rc (*own_suffices)(void *ctx, bool *ret, struct lm_err *err);
	lm_rc (*resolve)(void *ctx, struct lm_err *err);
	lm_rc (*authenticate)(void *ctx, struct lm_err *err);
	/// `mode` is what the pull will be: it decides how much disk is needed.
	lm_rc (*admit)(void *ctx, enum deploy_pull mode, struct lm_err *err);
	lm_rc (*pull)(void *ctx, enum deploy_pull mode, struct lm_err *err);
	/// Stops the containers that run, and leaves them there.
	lm_rc (*stop)(void *ctx, struct lm_err *err);
	/// Takes down what runs by the old local copy.
	lm_rc (*down)(void *ctx, struct lm_err *err);
	/// Replaces the local copy by the fetched file (nothing to do after fetch_local).
	lm_rc (*place)(void *ctx, struct lm_err *err);
	/// Starts by the new local copy.
	lm_rc (*up)(void *ctx, struct lm_err *err);
	/// ForceDeploy: removes what is in the way of `up` and carries our project label, and
	/// nothing else.
	lm_rc (*remove_leftovers)(void *ctx, struct lm_err *err);
	lm_rc (*wait_healthy)(void *ctx, struct lm_err *err);
	/// DEPLOY_BEGIN returns only when the stage is on record elsewhere; the stage acts only
	/// after LM_OK. After a failure of a report nothing more is started.
	lm_rc (*report)(void *ctx, const struct deploy_event *event, struct lm_err *err);
	/// Milliseconds on a clock that never jumps.
	uint64_t (*now)(void *ctx);
};

/// What a deployment that ended has done to what ran before it.
enum deploy_effect {
	DEPLOY_UNTOUCHED, ///< What ran before runs on; so does the old local copy.
	DEPLOY_STOPPING,  ///< `snapshot` or `down` was begun and did not end: some may be gone.
	DEPLOY_STOPPED,   ///< It was stopped, or taken down; nothing new was started.
	DEPLOY_STARTING,  ///< `up` was begun and did not end: some of the new may run.
	DEPLOY_STARTED,   ///< `up` is done.
	DEPLOY_EFFECTS,   ///< How many there are; also: unknown.
};

/// "untouched", "stopping", "stopped", "starting", "started". Static storage.
const char *deploy_effect_name(enum deploy_effect effect);
/// The effect of that name, or DEPLOY_EFFECTS; `name` may be NULL.
enum deploy_effect deploy_effect_from_name(const char *name);
/// A sentence for people: "the previous application was not changed", …
const char *deploy_effect_text(enum deploy_effect effect);

enum deploy_error_class {
	DEPLOY_INVALID_PARAMETER, ///< The definition, or something it names, is wrong.
	DEPLOY_INTERNAL_ERROR,
};

/// "InvalidParameter" or "InternalError", as the status message spells them (spec "Output data").
const char *deploy_error_class_name(enum deploy_error_class error_class);

struct deploy_outcome {
	/// LM_OK, LM_E_CANCELLED (which is no failure of the deployment), or the failure.
	lm_rc rc;
	enum deploy_stage failed; ///< Where it ended if `rc` is not LM_OK, else DEPLOY_STAGES.
	enum deploy_error_class error_class; ///< Holds if the deployment failed.
	enum deploy_effect effect;
	bool offline;                  ///< The local compose file or local images had to do.
	bool forced;                   ///< Leftovers of an earlier deployment were removed.
	uint64_t started_ms, ended_ms; ///< By now().
	struct lm_err err;             ///< The whole sentence; empty after LM_OK.
};

/// Runs a deployment to its end. There is always an outcome, which is also returned in `*ret`;
/// the caller frees nothing.
void deploy_run(const struct deploy_options *options, const struct deploy_ops *ops, void *ctx,
	struct deploy_outcome *ret);
