// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happens to a job of AWS IoT Jobs: what is asked for, carried out, recorded and reported.
///
/// Pure: a state and an event give the next state and a list of actions. It knows nothing of
/// brokers, files or clocks; src/daemon/jobs.c carries out the actions. One job is carried out at a
/// time. What has to survive a power cut is in `list`, which JOB_ACTION_SAVE puts on disk
/// (deploy/job_record.h) before a job is begun and once it has ended: the same execution of a job
/// never runs twice, and its outcome is reported until the cloud has it, or has closed the
/// execution by itself.

#include "base/error.h"
#include "config/job_document.h"
#include "config/job_messages.h"
#include "deploy/lifecycle.h"
#include "deploy/stages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOBS_KEPT = 16, JOB_STAGE_SIZE = 32 };

/// An execution of a job, as it is on disk.
struct job_entry {
	char id[JOB_ID_SIZE];
	int64_t number; ///< Of the execution.
	enum job_operation operation;
	bool begun;          ///< The deployment is on record in the store.
	unsigned generation; ///< JOB_DEPLOYS: which it is, once it has begun. JOB_ROLLS_BACK: which
			     ///< it goes back to; 0: none.
	unsigned newest;     ///< The newest generation before it had begun.
	bool acted;          ///< What runs may have been changed: it is not cancelled any more.
	enum job_status status;     ///< IN_PROGRESS, or how it has ended.
	bool acknowledged;          ///< The cloud knows.
	bool closed;                ///< Until then: the cloud has ended the execution,
	enum job_status closed_as;  ///< as this; JOB_STATUSES: it is gone.
	char reason[JOB_TEXT_SIZE]; ///< FAILED, REJECTED: why.
	int64_t ended_ms;           ///< Wall clock.
};

/// The newest first; only that one can be unacknowledged.
struct job_list {
	struct job_entry items[JOBS_KEPT];
	size_t n;
};

enum job_event_kind {
	JOB_EVENT_CONNECTED, ///< The topics are subscribed to.
	JOB_EVENT_LOST,      ///< They are not any more.
	JOB_EVENT_MESSAGE,   ///< `message` came. `newest`, `back` and `why_not` are given.
	JOB_EVENT_TIMER,     ///< That of JOB_ACTION_SET_TIMER.
	JOB_EVENT_SAVED,     ///< What JOB_ACTION_SAVE asked for is done,
	JOB_EVENT_NOT_SAVED, ///< or the disk has refused it: `reason`.
	JOB_EVENT_BEGUN,     ///< The job is being deployed as `generation`.
	JOB_EVENT_STAGE,     ///< It has begun `stage`.
	JOB_EVENT_ACTS,      ///< It is about to change what runs, and waits for JOB_ACTION_GO.
	JOB_EVENT_STAYS,     ///< It does not, after all: nobody waits any more.
	JOB_EVENT_NO_ANSWER, ///< It has waited for that for too long.
	JOB_EVENT_ENDED,     ///< The job is over: `status`, `reason`, `now_ms`.
};

struct job_event {
	enum job_event_kind kind;
	const struct job_message *message; ///< Borrowed.
	unsigned newest;                   ///< The newest generation.
	unsigned back;                     ///< What a rollback goes back to; 0: nothing, `why_not`.
	const char *why_not;
	unsigned generation;
	const char *stage;
	enum job_status status;
	const char *reason;
	int64_t now_ms; ///< Wall clock.
};

enum job_action_kind {
	JOB_ACTION_SEND,      ///< `request` of the machine.
	JOB_ACTION_SAVE,      ///< `list` of the machine.
	JOB_ACTION_RUN,       ///< Begin `document` of the machine.
	JOB_ACTION_ABANDON,   ///< The deployment of the job, if it has changed nothing yet.
	JOB_ACTION_GO,        ///< JOB_EVENT_ACTS waits no longer.
	JOB_ACTION_SET_TIMER, ///< For a reply, or, with `tries`, for the next try after so many.
	JOB_ACTION_STOP_TIMER,
	JOB_ACTION_SHOW, ///< To a person: `text`.
};

struct job_action {
	enum job_action_kind kind;
	unsigned tries;
	char *text; ///< For the one who performs it to free.
	bool is_warning;
};

enum { JOB_ACTIONS_MAX = 12 };

struct job_actions {
	struct job_action items[JOB_ACTIONS_MAX];
	size_t n;
};

struct job_machine {
	struct job_list list;
	struct job_request request; ///< The one that was sent last; with texts of the machine.
	struct job_document document;
	const char *nonce; ///< Of this run of the program; borrowed.

	bool connected;
	enum job_kind asked; ///< A reply is awaited.
	bool waits;          ///< Until the next try.
	bool hurried;        ///< A notification has cut that, or a reply's limit, short.
	unsigned tries;      ///< In vain, in a row.
	unsigned serial;     ///< Of the last request.
	char token[JOB_TOKEN_SIZE];

	bool next_due;       ///< Whether there is a job.
	bool check_due;      ///< What the cloud knows of the present one.
	bool progress_due;   ///< `stage` is to be reported.
	bool run_due;        ///< `document` is to be run once that is on disk.
	bool runs;           ///< The supervisor has the present one.
	bool holds;          ///< It waits for JOB_ACTION_GO.
	bool reason_refused; ///< The service does not take the reason of the outcome.
	bool asks_to_act;    ///< The update that was sent last is for that.
	int64_t version;     ///< expectedVersion; 0: unknown.
	char stage[JOB_STAGE_SIZE];
	uint64_t ended[JOB_STATUSES]; ///< Jobs of this run of the program, by how they ended.
};

/// `list` is that of the last run. If its newest entry was under way and the store shows that its
/// deployment has begun, `begun` and `generation` are set in it.
struct job_machine job_machine_begin(const struct job_list *list, const char *nonce);
void job_machine_finish(struct job_machine *m);
/// Changes the state and appends to `actions`.
void job_machine_step(
	struct job_machine *m, const struct job_event *event, struct job_actions *actions);
/// The job that is under way, or whose outcome the cloud does not know; NULL: none.
const struct job_entry *job_machine_present(const struct job_machine *m);
/// Whether the deployment of that generation has to ask before it changes what runs.
bool job_machine_asks(const struct job_machine *m, unsigned generation);

enum job_verdict {
	JOB_GOES_ON, ///< It is still tried.
	JOB_PROVES,  ///< It runs, on probation.
	JOB_IS_DONE,
	JOB_HAS_FAILED,
};

/// What has become of a job that has begun.
enum job_verdict job_judge(const struct job_entry *e, const struct lifecycle *l);
