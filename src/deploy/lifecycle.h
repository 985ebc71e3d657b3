// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the application's supervisor does next: what is wanted, what actually runs, what is being
/// done about the difference, and the one function that changes them.
///
/// Pure: a state and an event give the next state and a list of actions. It knows nothing of
/// workers, files, sockets or clocks; src/daemon/supervisor.c carries out the actions and reports
/// what came of them as events. docs/architecture.md ("The supervisor") has the table of
/// transitions, which tests/unit/deploy/lifecycle_test.c compares with this code.

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum lifecycle_wanted { WANTED_NOTHING, WANTED_UP, WANTED_DOWN };

/// The state to reach. UP: this generation runs. DOWN: none does, and a start brings up this one.
struct lifecycle_target {
	enum lifecycle_wanted state;
	unsigned generation;
};

enum lifecycle_actual {
	ACTUAL_UNKNOWN,
	ACTUAL_NOTHING, ///< No container of ours runs.
	ACTUAL_WHOLE,   ///< One generation, as it was deployed with success.
	ACTUAL_PARTIAL, ///< A deployment or a teardown has begun to change it, and did not finish.
	ACTUAL_COUNT,
};

enum lifecycle_activity {
	ACTIVITY_IDLE,
	ACTIVITY_LOOKING,    ///< Asks the engine which containers of ours run.
	ACTIVITY_PLANNING,   ///< A worker makes a plan.
	ACTIVITY_DEPLOYING,  ///< A worker deploys `subject`.
	ACTIVITY_CANCELLING, ///< A worker that plans or deploys is being stopped.
	ACTIVITY_STOPPING,   ///< A worker takes the application down.
	ACTIVITY_WAITING,    ///< Tries again when the timer fires.
	ACTIVITY_RECORDING,  ///< Nothing is left but to write down what the disk has refused.
	ACTIVITY_EXITED,
	ACTIVITY_COUNT,
};

enum lifecycle_command {
	COMMAND_NONE,
	COMMAND_DEPLOY,
	COMMAND_START,
	COMMAND_STOP,
	COMMAND_PLAN,
	COMMAND_ROLLBACK, ///< To `generation`, which was deployed with success once.
};

enum lifecycle_failure {
	FAILURE_TRANSIENT, ///< May go away by itself.
	FAILURE_DEFINITE,  ///< A user has to change something first.
	/// It was refused for lack of disk space, and has changed nothing: it goes on by itself
	/// once there is some, even if a user has ordered it.
	FAILURE_NO_SPACE,
};

enum lifecycle_event_kind {
	EVENT_RESUME,       ///< The program has started.
	EVENT_COMMAND,      ///< `command` of `client`; `own`: of the program itself, at its start.
	EVENT_FORGET,       ///< `client` is gone.
	EVENT_EXIT,         ///< The program is to exit. `takes_down`: with a teardown.
	EVENT_BEGUN,        ///< `generation` is on record, and its worker runs.
	EVENT_NOT_BEGUN,    ///< A worker could not be started: `failure`.
	EVENT_ACTS,         ///< The worker is about to change containers.
	EVENT_DEPLOYED,     ///< The worker has deployed. `probation`: the definition asks for one.
	EVENT_FAILED,       ///< The worker has failed: `failure`, `rolls_back`.
	EVENT_CANCELLED,    ///< The worker has stopped, as ACTION_CANCEL asked.
	EVENT_TORN_DOWN,    ///< The worker has taken the application down.
	EVENT_PLANNED,      ///< The plan has finished or failed.
	EVENT_RUNS_NOTHING, ///< The engine reports that the application is down,
	EVENT_RUNS_SOMETHING, ///< or that it is not,
	EVENT_ENGINE_AWAY,    ///< or nothing.
	EVENT_DAMAGED,        ///< What runs has images that are to be replaced,
	EVENT_SOUND,          ///< or has none any more.
	EVENT_ENGINE_BACK,    ///< It was away, or was restarted, and answers again.
	EVENT_TIMER,          ///< That of ACTION_SET_TIMER.
	EVENT_SAVED,          ///< What is wanted is on disk.
	EVENT_NOT_SAVED,
	EVENT_RECORDED, ///< The last outcome is on disk.
	EVENT_NOT_RECORDED,
	EVENT_QUARANTINED, ///< What ACTION_QUARANTINE names is, on disk.
	EVENT_NOT_QUARANTINED,
	EVENT_CONFIRMED, ///< What ACTION_CONFIRM names is the last good one, on disk.
	EVENT_NOT_CONFIRMED,
	EVENT_DEBT_TIMER, ///< Time to write down again what the disk has refused.
	EVENT_PROVEN,     ///< What is on probation has passed it.
	EVENT_UNSOUND,    ///< What is on probation does not run as it should.
	EVENT_KINDS,
};

struct lifecycle_event {
	enum lifecycle_event_kind kind;
	enum lifecycle_command command;
	enum lifecycle_failure failure;
	unsigned client; ///< Who waits for an answer; 0: nobody.
	unsigned generation;
	bool own;
	bool takes_down;
	bool stopped;     ///< What ran was stopped, and nothing else was changed.
	bool abandoned;   ///< FAILURE_DEFINITE: who has ordered it does not want it any more.
	bool rolls_back;  ///< If it has changed what runs, what ran before is to run again.
	bool probation;   ///< It is the last good one only once it has run for a while.
	bool quarantined; ///< COMMAND_ROLLBACK: that generation is.
};

enum lifecycle_action_kind {
	/// Deploy `generation`, or, with 0, the command's definition as a new generation that is
	/// wanted with `before` (on record together).
	ACTION_BEGIN,
	ACTION_TAKE_DOWN, ///< Start the worker that takes down.
	ACTION_PLAN,      ///< Start the worker that plans.
	ACTION_CANCEL,    ///< Stop the worker.
	ACTION_LOOK,      ///< Ask the engine what runs.
	ACTION_SAVE,      ///< Put on disk what is wanted.
	/// Record the outcome; `publish`: and publish it. `back`: what is wanted instead from now
	/// on. `probation`: a success after which the last good one stays the one before.
	ACTION_RECORD,
	/// `generation`, which was deployed with success, has failed in its probation: record and
	/// publish that, with `back`, as above.
	ACTION_REVOKE,
	ACTION_QUARANTINE,   ///< `generation` is not to be tried again: `why`.
	ACTION_LIFT,         ///< It may be, if it was not until now: a person does.
	ACTION_CONFIRM,      ///< `generation` has passed its probation: it is the last good one.
	ACTION_RECORD_AGAIN, ///< What could not be recorded before.
	ACTION_PUBLISH,      ///< The failure of something that has no outcome.
	ACTION_ANSWER,       ///< `client` gets its last line.
	ACTION_SET_TIMER,    ///< After the failure number `tries` in a row.
	ACTION_STOP_TIMER,
	ACTION_SET_DEBT_TIMER,
	ACTION_EXIT,
};

enum lifecycle_answer {
	ANSWER_DONE,
	ANSWER_NOT_LASTING, ///< Done, but not on disk: a restart would undo it.
	ANSWER_FAILED,
	ANSWER_CANCELLED,
	ANSWER_SUPERSEDED, ///< It waited, and a later command came.
	ANSWER_EXITING,    ///< The program exits.
	ANSWER_STOP_LATER, ///< The program exits; its next start takes the application down.
	ANSWER_BUSY,
	ANSWER_NOTHING_DEPLOYED,
	ANSWER_PLANNED,
	ANSWER_ROLLED_BACK,     ///< It failed, and what ran before runs again,
	ANSWER_NOT_ROLLED_BACK, ///< or was to, and that has failed, or was cancelled.
};

/// Why a worker is to stop.
enum lifecycle_reason {
	REASON_NONE,
	REASON_DEPLOY, ///< A newer deployment.
	REASON_START,
	REASON_STOP,
	REASON_EXIT,
	REASON_FORGOTTEN, ///< Nobody waits for it any more.
	REASON_ROLLBACK,
};

/// Why a generation is quarantined.
enum lifecycle_quarantine {
	QUARANTINE_FAILED,    ///< As that which was just reported.
	QUARANTINE_BY_PERSON, ///< A person has left it.
	QUARANTINE_AS_BEFORE, ///< It was until ACTION_LIFT.
};

struct lifecycle_action {
	enum lifecycle_action_kind kind;
	unsigned generation;
	struct lifecycle_target before;
	bool own;      ///< BEGIN: by the program itself.
	bool restores; ///< BEGIN: starts what ran before, from what this device has of it.
	bool keeps;    ///< BEGIN: nothing has changed the application; what runs of it goes on.
	bool touched;  ///< BEGIN: something has, and that is on record with what is wanted.
	bool success, publish;
	bool probation;
	enum lifecycle_quarantine why;
	struct lifecycle_target back;
	unsigned client;
	unsigned tries;
	bool awaits_space; ///< SET_TIMER: it fires when there is disk space.
	enum lifecycle_answer answer;
	enum lifecycle_reason reason;
};

enum { LIFECYCLE_ACTIONS_MAX = 16 };

struct lifecycle_actions {
	struct lifecycle_action items[LIFECYCLE_ACTIONS_MAX];
	size_t n;
};

struct lifecycle {
	struct lifecycle_target wanted;
	/// What is wanted again if `wanted.generation`, which was never deployed with success,
	/// fails before it has changed anything.
	struct lifecycle_target before;
	unsigned good; ///< Deployed with success last, and not quarantined; 0: none.
	/// The last good one: `good`, or an older one while that is on probation; 0: none.
	unsigned proven;
	/// What is wanted takes the place of this one, which was rolled back and whose data may be
	/// that of the application, until a deployment succeeds; 0: none.
	unsigned leaves;
	bool quarantines_left; ///< `leaves` is not quarantined yet.
	/// This one had changed what ran and failed, when a person stopped the application: a
	/// rollback goes back from it, until a deployment begins or succeeds; 0: none.
	unsigned failed;
	bool touched; ///< An attempt has changed what runs, and none has succeeded since.
	bool damaged; ///< WHOLE: it has damaged images, which the next success replaces.
	bool unsaved; ///< `wanted` is not on disk yet.
	bool unrecorded;
	unsigned unquarantined; ///< The generation that is to be quarantined; 0: none.
	bool unconfirmed;       ///< `proven` is not the last good one on disk yet.

	enum lifecycle_actual actual;
	unsigned runs; ///< WHOLE: this generation. PARTIAL: this one has changed it; 0: unknown.

	enum lifecycle_activity activity;
	unsigned subject;               ///< DEPLOYING: this generation; 0: not begun yet.
	enum lifecycle_command command; ///< What the activity is for.
	unsigned client;                ///< Who waits for it.
	bool own;                       ///< Nobody ordered it.
	bool acted;                     ///< DEPLOYING: it has changed what runs.
	bool goes_back;                 ///< What is brought up now is what ran before.
	bool probation;                 ///< `good` is on probation while it runs,
	bool unsound;                   ///< and has failed in it, with nothing to go back to.
	bool rolled_back; ///< What `client` waits for has failed: it gets its answer after the
			  ///< rollback.
	bool lifted;      ///< `subject` was quarantined until now.

	bool given_up;    ///< Nothing more is tried: the reason was published.
	bool restore_due; ///< `good` is to be brought up before the next try of what is wanted.
	bool restore_failed;
	bool lacks_space; ///< Of what is wanted, when it failed last: FAILURE_NO_SPACE.
	bool retry_due;   ///< The timer is to be set,
	bool waits;       ///< and is.
	unsigned tries;   ///< Failures in a row.

	enum lifecycle_command next; ///< The command that waits,
	unsigned next_client;        ///< for them,
	bool next_own;               ///< or of the program itself,
	unsigned next_generation;    ///< a rollback to this one,
	bool next_quarantined;
	bool start_waits;      ///< Behind that one, a stop, comes a start,
	unsigned start_client; ///< for them.
	bool exits;            ///< EVENT_EXIT came.
	bool exit_takes_down;
	bool exit_tried;
};

/// What is on record when the program starts.
struct lifecycle_record {
	struct lifecycle_target wanted, before;
	unsigned current;   ///< Deployed with success last.
	unsigned last_good; ///< The last good one.
	bool touched;       ///< As in struct lifecycle,
	unsigned leaves, failed;
	/// An earlier run of the program has left this one running, as it was deployed with
	/// success, and the device has run on since; 0: none.
	unsigned left_running;
	/// Those generations are quarantined.
	bool wanted_quarantined, before_quarantined, current_quarantined, last_good_quarantined,
		leaves_quarantined;
};

/// The state in which the program starts.
struct lifecycle lifecycle_begin(const struct lifecycle_record *record);
/// Changes the state and appends to `actions`.
void lifecycle_step(struct lifecycle *l, const struct lifecycle_event *event,
	struct lifecycle_actions *actions);
/// Nothing is being done, nothing waits, and no timer is set.
bool lifecycle_is_at_rest(const struct lifecycle *l);
/// What runs is what is wanted.
bool lifecycle_is_fulfilled(const struct lifecycle *l);
/// The generation that runs and is on probation; 0: none.
unsigned lifecycle_on_probation(const struct lifecycle *l);
/// The generation that a person who names none goes back to; 0: there is none that is known here,
/// and the newest one before `good` that was once good counts.
unsigned lifecycle_rollback_target(const struct lifecycle *l);
/// The one table of failures that the definition causes, or whose cause is not known to be
/// none: by what failed, whichever stage it failed in. What a worker calls an InternalError is
/// transient whatever its class: an image that no registry has may come. LM_OK and LM_E_CANCELLED
/// (somebody else ended the worker) count as transient.
enum lifecycle_failure lifecycle_failure_of(lm_rc rc);

/// "idle", "looking", …; static storage.
const char *lifecycle_activity_name(enum lifecycle_activity activity);
/// "unknown", "nothing", "whole", "partial"; static storage.
const char *lifecycle_actual_name(enum lifecycle_actual actual);
/// "nothing", "up", "down"; static storage.
const char *lifecycle_wanted_name(enum lifecycle_wanted wanted);
/// "resume", "command", …; static storage.
const char *lifecycle_event_name(enum lifecycle_event_kind kind);
