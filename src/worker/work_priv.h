// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A job at work: what its stages share, and the stages themselves (struct deploy_ops says what
/// each has to do). Each is in the file named above it.

#include "base/buf.h"
#include "config/definition.h"
#include "docker/compose.h"
#include "docker/compose_file.h"
#include "docker/engine.h"
#include "worker/cloud.h"
#include "worker/image_action.h"
#include "worker/job.h"
#include "worker/previous.h"
#include "worker/report.h"
#include "worker/secrets.h"
#include "worker/tokens.h"
#include "worker/user_logins.h"

/// A directory in which docker-compose works: `.env` and relative paths are looked up there.
struct work_place {
	const char *directory;
	int fd; ///< -1: it cannot be used.
};

struct work {
	const struct job *job; ///< Its group may be NULL for a check.
	struct report *report;
	struct wait_limit limit; ///< Of the whole job.
	int previous_fd;         ///< The compose file of the generation that runs; -1: none.
	int compose_fd; ///< lightermand's compose file: to be written by a deploy, read by a down.

	struct engine engine;     ///< socket_path is NULL until it is open.
	struct compose compose;   ///< program is NULL until it is found.
	char **env;               ///< For docker-compose.
	int destination_fd;       ///< -1: not open.
	struct previous previous; ///< Of a deployment.

	struct lm_buf text;  ///< The compose file of this deployment.
	bool fell_back;      ///< It is not what was fetched, if anything was.
	char *store_version; ///< As the store named it, or once did; NULL if it did not.
	struct lm_buf own;   ///< The generation's own compose file, at a start.
	struct cloud cloud;
	struct registry_list secrets; ///< The logins that the definition names.
	struct tokens tokens;         ///< Those for ECR.
	struct user_logins user;      ///< Those that the user has by hand.
	struct lm_buf unset;  ///< Variables that the file uses and that are not set, a line each.
	struct lm_buf config; ///< What docker-compose made of it; may hold passwords.
	struct compose_services services;
	char *default_platform;       ///< DOCKER_DEFAULT_PLATFORM; NULL: none is set.
	struct compose_images images; ///< Of the active services.
};

static inline const struct connector_definition *work_definition(const struct work *w)
{
	return &w->job->group->connector;
}

static inline struct work_place work_destination(const struct work *w)
{
	return (struct work_place){work_definition(w)->destination, w->destination_fd};
}

/// Where the local copy is by which what runs was started.
static inline struct work_place work_running_place(const struct work *w)
{
	return w->previous.moved
		       ? (struct work_place){w->previous.directory, w->previous.directory_fd}
		       : work_destination(w);
}

void work_init(
	struct work *w, const struct job *job, struct report *report, const struct handover *files);
/// Takes back what outlives the job: logins of ours in the keeping of the user's helpers.
void work_withdraw(struct work *w);
void work_finish(struct work *w);
/// What to report as the compose file's version; NULL: nothing is known. Borrowed.
const char *work_compose_version(const struct work *w);
/// Sends a line (drops the reference). Whoever waits next finds out if nobody reads any more.
void work_tell(const struct work *w, json_t *line);

// prepare.c
lm_rc prepare_engine(struct work *w, struct lm_err *err);
lm_rc prepare_compose(struct work *w, struct lm_err *err);
/// Opens the destination, which must be there and be ours to write.
lm_rc prepare_destination(struct work *w, struct lm_err *err);
/// Opens the destination of the generation that runs, and reads its compose file. What cannot be
/// used is warned of.
void prepare_previous(struct work *w);

// fetch.c
lm_rc fetch_all(struct work *w, struct lm_err *err);
/// Offline mode: takes the generation's own compose file, or else the local copy, if it may be what
/// the definition names.
lm_rc fetch_local_copy(struct work *w, struct lm_err *err);
/// Offline mode, at a start: as deploy_ops.take_own.
lm_rc fetch_take_own(struct work *w, bool *ret_changed, struct lm_err *err);

// images.c
lm_rc images_resolve(struct work *w, struct lm_err *err);
/// What the engine has under an image's name (`ret->id` NULL: nothing), and whether that is for the
/// platform that is asked for.
lm_rc images_find(const struct work *w, const struct compose_image *image, struct engine_image *ret,
	bool *ret_here, struct lm_err *err);
/// What image_action_decide goes by; `here` as images_find has it.
struct image_case images_case(
	const struct work *w, const struct compose_image *image, bool here, enum deploy_pull mode);
/// Whether this docker-compose's `up` pulls it whatever is here.
bool images_is_pulled_by_up(const struct work *w, const struct compose_image *image);
/// LM_E_NOT_FOUND: images are not here, and may be neither pulled nor built. LM_E_REFUSED: offline,
/// and `up` would pull nevertheless.
lm_rc images_check(const struct work *w, enum deploy_pull mode, struct lm_err *err);
lm_rc images_pull(struct work *w, enum deploy_pull mode, struct lm_err *err);

// authenticate.c
lm_rc images_authenticate(struct work *w, struct lm_err *err);
/// Its parts. Fetches what tokens are missing, and lists the logins of ours, each once.
lm_rc authenticate_list(struct work *w, struct registry_list *to, struct lm_err *err);
/// Logs in with one, once.
lm_rc authenticate_one(struct work *w, const struct registry_credentials *c, struct lm_err *err);

// availability.c
/// Asks the registries whether they have the images that are to be pulled, without pulling any.
/// LM_E_NOT_FOUND: one does not. What cannot be found out is no failure.
lm_rc availability_check(struct work *w, enum deploy_pull mode, struct lm_err *err);

// admit.c
lm_rc admit_deployment(struct work *w, enum deploy_pull mode, struct lm_err *err);

// application.c
/// Whether the engine has anything that carries our project's label.
lm_rc application_exists(const struct work *w, bool *ret, struct lm_err *err);
lm_rc application_up(struct work *w, struct lm_err *err);
/// Builds the images of these services.
lm_rc application_build(struct work *w, const char *const *services, size_t n, struct lm_err *err);
/// Removes all that carries our project's label; each thing goes to the log.
lm_rc application_remove(struct work *w, struct lm_err *err);

// application_conflicts.c
/// Stops and removes what carries our project's label and is in the way of `up`; no more.
lm_rc application_remove_conflicts(struct work *w, struct lm_err *err);
/// Removes networks of ours that no container uses any more: after `down` all of them, else those
/// that the compose file does not have. A failure is warned of.
void application_sweep_networks(const struct work *w, bool is_down);

// application_down.c
/// All that a `down` may take (spec: "10-minute timeout for cleanup operations").
enum { APPLICATION_DOWN_MS = 600 * 1000 };

/// How to take down what runs. All borrowed.
struct application_down {
	struct work_place place; ///< Where the application's local copy is.
	struct lm_str fallback;  ///< A compose file, if the local copy does not serve; n 0: none.
	const char *fallback_words; ///< What that is.
	bool by_label; ///< Without a file that serves, or without docker-compose: by our label.
	const struct lm_err *no_compose; ///< Why docker-compose cannot be run; NULL: it can.
	uint64_t timeout_ms;             ///< For all of it.
};

/// LM_E_NOT_FOUND: there is no file to go by. LM_E_TIMEOUT: what was started for it has been ended;
/// the message names what still runs.
lm_rc application_down(struct work *w, const struct application_down *how, struct lm_err *err);
/// Warns of containers with our label that are there although the application was taken down.
void application_warn_left(const struct work *w);

// settle.c
lm_rc settle_application(struct work *w, struct lm_err *err);

// deploy_job.c, down_job.c, plan_job.c: run the job to its end; there is always an outcome.
void deploy_job_run(struct work *w, struct deploy_outcome *ret);
void down_job_run(struct work *w, struct deploy_outcome *ret);
void plan_job_run(struct work *w, struct deploy_outcome *ret);
/// Makes sure of this machine, for a deployment and for what only looks.
lm_rc deploy_job_prepare(struct work *w, struct lm_err *err);
/// What a definition asks of the state machine.
struct deploy_options deploy_job_options(const struct connector_definition *d);

// check_job.c
/// Checks this machine and tells what it found. Fails only if it was told to stop.
void check_job_run(struct work *w, struct deploy_outcome *ret);
