// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the supervisor: supervisor.c takes orders and decides what is next; attempt.c runs a
/// deployment; ending.c records how it ended; takedown.c takes down; planning.c plans; reporting.c
/// tells the world; watching.c tells those who keep out of the way.

#include "base/error.h"
#include "connector/definition.h"
#include "daemon/control.h"
#include "daemon/job.h"
#include "daemon/supervisor.h"
#include "deploy/launch.h"

#include <stdint.h>

enum order_kind { ORDER_NONE, ORDER_DEPLOY, ORDER_START, ORDER_STOP, ORDER_END };

struct order {
	enum order_kind kind;
	struct group *group; ///< DEPLOY; owned.
	bool reuse;          ///< DEPLOY
	bool resumes;        ///< START and DEPLOY: by the program's own start.
	struct supervisor_waiter waiter;
};

/// A deployment under way, or one whose end is still to be recorded.
struct attempt {
	unsigned generation;
	unsigned previous; ///< What ran when it began; 0: nothing.
	bool resumes;
	struct group *group;
	char *copy_sha256;  ///< Of the compose file that it is about to deploy; NULL: not known,
	char *copy_version; ///< or not known to be what the definition names. "": of no version.
	int64_t started_ms; ///< Wall clock.
	uint64_t began_ms;  ///< On lm_clock_mono_ms().
};

/// How it ended, until that is in the store.
struct ending {
	bool pending;
	bool success;
	bool untouched; ///< What ran before runs on.
	char *stage, *error, *message, *compose_version, *effect, *status;
	int64_t ended_ms;
	unsigned tries;
};

struct supervisor {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	struct outgoing *outgoing;
	char *worker; ///< Path of lighterman-worker.

	struct order order; ///< The one that waits.
	struct job *job;    ///< The worker that runs; NULL: none.
	struct attempt attempt;
	struct ending ending;
	struct supervisor_waiter waiter; ///< For what is being done.
	struct group *down_group;        ///< While taking down.
	unsigned down_generation;
	bool down_ended;                      ///< ORDER_END: it was tried.
	bool planning;                        ///< `job` makes a plan,
	struct supervisor_waiter plan_waiter; ///< for them.
	const char *why_cancelled;            ///< Set when we told the worker to stop.

	char stage[STORE_STAGE_SIZE]; ///< Of what is being done; "": none yet.
	uint64_t stage_began_ms;
	json_t *stages; ///< Of the last deployment: [{"stage","ms"},…].
	char *compose_stamp, *compose_version;
	struct metrics_deployments counts; ///< What is not in the store.

	struct loop_timer *again; ///< For the lock, and for what the disk refused.
	struct loop_timer *report_again;
	unsigned report_tries;
	struct loop_timer *resume_again;
	unsigned resume_tries;  ///< Of the start at our own start, while it fails.
	uint64_t lock_since_ms; ///< 0: nobody holds it.
	struct supervisor_watcher watcher;
	unsigned frequency_of; ///< The generation of `frequency_s`; 0: none.
	unsigned frequency_s;
	loop_cb *ended;
	void *ended_ctx;
};

// supervisor.c
/// Begins the order that waits, if nothing is being done.
void supervisor_next(struct supervisor *s);
/// Starts a worker. `compose_fd` stays the caller's. `fallback` as in launch_make_document.
/// `previous` is the generation that runs, whose compose file and destination the worker gets as
/// well; 0: none.
lm_rc supervisor_start_job(struct supervisor *s, const char *kind, const struct group *group,
	int compose_fd, const json_t *fallback, unsigned previous, const struct job_events *events,
	struct lm_err *err);
/// The job that has ended, for the caller to destroy, with the folder for its credentials removed.
struct job *supervisor_take_job(struct supervisor *s);
/// For struct job_events: spares the next job the search.
void supervisor_note_compose(void *ctx, const char *stamp, const char *version);
/// The definition of a generation as it was kept. The message names the generation.
lm_rc supervisor_read_group(
	struct supervisor *s, unsigned n, struct group **ret, struct lm_err *err);
/// The last line for whoever waits for what was being done; drops the reference.
void supervisor_answer(struct supervisor *s, json_t *last);
/// {"fault":{…}}; a new reference.
json_t *supervisor_fault_line(const struct definition_fault *fault);
/// Tells whoever watches.
void supervisor_changed(struct supervisor *s);

// watching.c
/// Tells the watcher that a worker is about to start.
void watching_begin(const struct supervisor *s);
/// Tells the watcher, if that is so, that nothing is being done.
void watching_rest(const struct supervisor *s);

// attempt.c
/// The generation that a start takes up; 0: there is none.
unsigned attempt_find_generation(const struct supervisor *s);
void attempt_begin_deploy(struct supervisor *s, struct order *order);
void attempt_begin_start(struct supervisor *s, struct order *order);
void attempt_finish(struct attempt *a);

// ending.c
/// The deployment has ended; puts together what is to be remembered of it, records it, and goes on
/// with what waits.
void ending_begin(struct supervisor *s, const struct job_result *result);
/// Records the ending that waits for that; true once it is done.
bool ending_record(struct supervisor *s);
void ending_finish(struct ending *e);

// takedown.c
/// The generation that runs while one with the definition `group` is deployed; 0: none. Before its
/// attempt begins.
unsigned takedown_previous(struct supervisor *s, const struct group *group);
/// The generation by which to take down, or 0: there is nothing to.
unsigned takedown_generation(const struct supervisor *s);
/// Whether the end of the program takes the application down.
bool takedown_is_due(struct supervisor *s);
void takedown_begin(struct supervisor *s);

// planning.c
/// Ends the plan that is being made, if one is. `why` is in static storage.
void planning_cancel(struct supervisor *s, const char *why);

// view.c
/// When a deployment last succeeded, by the outcomes that are kept; 0: never.
int64_t view_last_success_ms(struct supervisor *s);

// reporting.c
/// A line of a worker's stderr, for struct job_events.
void reporting_text(void *ctx, struct lm_str line);
/// Sends each status message that is not known to be in the outboxes; tries again later if that
/// fails.
void reporting_send(struct supervisor *s);
/// Publishes the failure of a definition that never became a generation.
void reporting_refuse(struct supervisor *s, const char *message);
/// Passes a stage's line on: to the waiter, to the log, and, unless it only says how far, to the
/// progress topic.
void reporting_stage(struct supervisor *s, const json_t *line);
/// As reporting_stage for a stage of lightermand's own.
void reporting_own_stage(struct supervisor *s, const char *stage, uint64_t began_ms);
