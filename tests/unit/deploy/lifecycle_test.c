// SPDX-License-Identifier: Apache-2.0
/// Walks through all that can happen, in every order, to a given depth: commands, workers' results,
/// signals, an engine that goes away, a disk that fills up, kills and restarts. In every state it
/// checks what the supervisor promises.
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "deploy/lifecycle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEPTH = 8,
	DEPTH_ON_PROBATION = 6, ///< While a generation that is on probation is to be replaced.
	GENERATIONS_MAX = 3,
	CLIENTS_MAX = 2,
	STEPS_TO_REST = 64,
	QUEUE_MAX = 16,
	HAPPENINGS = 35,
	CUTS = 5, ///< The power is cut before one of so many actions.
};

enum worker { WORKER_NONE, WORKER_PLANS, WORKER_DEPLOYS, WORKER_TAKES_DOWN };

/// Everything that the supervisor has to do with. Compared as bytes: made from zeroed memory.
struct world {
	struct lifecycle l;
	// On disk.
	struct lifecycle_record disk;
	unsigned quarantine; ///< A bit for each generation that is in it.
	unsigned newest;
	unsigned open; ///< The attempt in the journal; 0: none.
	bool open_acted;
	// The outcome that the disk has refused.
	unsigned owed;
	bool owed_success, owed_probation;
	unsigned was_good; ///< A bit for each generation that was deployed with success.
	// The engine.
	enum lifecycle_actual runs; ///< Never ACTUAL_UNKNOWN.
	unsigned runs_generation;
	unsigned ran; ///< Before nothing did.
	bool engine_away;
	bool restarts; ///< It starts again what a restart policy says.
	bool disk_full;
	bool refuses; ///< No worker can be started,
	bool refuses_for_good;
	// The worker.
	enum worker worker;
	unsigned worker_generation;
	bool worker_acted, worker_told;
	bool looks;
	bool timer, debt_timer;
	bool awaits_space; ///< The timer does.
	bool is_exited;
	bool reuses; ///< The group file's definition is that of the newest generation.
	enum lifecycle_command waiting[CLIENTS_MAX + 1];
	// What people were promised.
	bool told_down;              ///< A stop was accepted, and nothing since that takes it back.
	bool told_down_before;       ///< And so it was before the deployment that was ordered last.
	enum lifecycle_command last; ///< That was ordered; COMMAND_NONE: none since the start.
	bool is_published;           ///< A failure was published since the last command,
	bool series_told;            ///< or in the series of tries that goes on.
	bool tried_down;             ///< To take down, since the program was told to end.
	bool takes_down;             ///< It is to.
	bool failed_acted;           ///< The deployment that failed last had changed what runs.
	bool goes_back;              ///< What a deployment fails by now is rolled back.
	unsigned rolled_back; ///< A bit for each generation that was, and that nobody tried again.
	// How it came to that; not compared.
	unsigned char path[16];
	unsigned path_n;
};

static const char *const names[] = {"deploy", "hangup", "start", "stop", "plan", "forget",
	"end, takes down", "end", "restart", "restart with a group file", "acts", "success",
	"transient failure", "definite failure", "leaves something", "look", "timer", "debt timer",
	"engine", "disk", "reuse", "stop without client", "refuses", "restart policy",
	"success, on probation", "transient failure, rolled back", "definite failure, rolled back",
	"proven", "unsound", "no space", "rollback", "damaged", "sound", "abandoned",
	"stopped for a snapshot"};

struct explorer {
	uint64_t *seen; ///< Hashes; 0: free.
	size_t seen_size, seen_n;
	struct world *frontier, *next;
	size_t frontier_n, next_n, next_size;
	unsigned char edges[ACTIVITY_COUNT][EVENT_KINDS][ACTIVITY_COUNT];
	unsigned cut_after; ///< The power is cut before the action of this number; 0: it is not,
	bool is_cut;        ///< and was.
	char trace[128];    ///< Of the present step.
};

static struct explorer *explorer;

static void show(const struct world *w, const char *why)
{
	const struct lifecycle *l = &w->l;

	for (unsigned i = 0; i < w->path_n; i++)
		print_error("%s%s, ", names[w->path[i] % HAPPENINGS],
			w->path[i] < HAPPENINGS ? "" : " (cut)");
	print_error(
		"%s, after '%s': wanted %s %u (else %s %u), good %u, actual %s %u, activity %s, "
		"subject %u, leaves %u, proven %u, quarantine %x, next %d, given up %d, waits %d, "
		"runs %s %u, open %u, worker %d, told "
		"%d\n",
		why, explorer->trace, lifecycle_wanted_name(l->wanted.state), l->wanted.generation,
		lifecycle_wanted_name(l->before.state), l->before.generation, l->good,
		lifecycle_actual_name(l->actual), l->runs, lifecycle_activity_name(l->activity),
		l->subject, l->leaves, l->proven, w->quarantine, (int)l->next, l->given_up,
		l->waits, lifecycle_actual_name(w->runs), w->runs_generation, w->open,
		(int)w->worker, w->is_published);
}

static void require(const struct world *w, bool holds, const char *promise)
{
	if (holds)
		return;
	show(w, promise);
	fail_msg("%s", promise);
}

struct queue {
	struct lifecycle_event items[QUEUE_MAX];
	size_t n;
};

static void post(struct queue *q, struct lifecycle_event event)
{
	assert_true(q->n < QUEUE_MAX);
	q->items[q->n++] = event;
}

static void save_outcome(struct world *w, struct queue *q)
{
	if (w->disk_full) {
		post(q, (struct lifecycle_event){.kind = EVENT_NOT_RECORDED});
		return;
	}
	if (w->owed_success)
		w->disk.current = w->owed;
	if (w->owed_success && !w->owed_probation)
		w->disk.last_good = w->owed;
	if (w->open == w->owed) {
		w->open = 0;
		w->open_acted = false;
	}
	w->owed = 0;
	w->owed_success = w->owed_probation = false;
	post(q, (struct lifecycle_event){.kind = EVENT_RECORDED});
}

static unsigned bit(unsigned n)
{
	return n ? 1U << n : 0;
}

static bool is_quarantined(const struct world *w, unsigned n)
{
	return (w->quarantine & bit(n)) != 0;
}

static void quarantine(struct world *w, unsigned n, struct queue *q)
{
	if (w->disk_full) {
		post(q, (struct lifecycle_event){.kind = EVENT_NOT_QUARANTINED});
		return;
	}
	w->quarantine |= bit(n);
	post(q, (struct lifecycle_event){.kind = EVENT_QUARANTINED});
}

static void lift(struct world *w, unsigned n)
{
	if (w->disk_full)
		return;
	w->quarantine &= ~bit(n);
	w->rolled_back &= ~bit(n);
}

static void confirm(struct world *w, unsigned n, struct queue *q)
{
	if (w->disk_full || w->disk.current != n) {
		post(q, (struct lifecycle_event){.kind = EVENT_NOT_CONFIRMED});
		return;
	}
	w->disk.last_good = n;
	post(q, (struct lifecycle_event){.kind = EVENT_CONFIRMED});
}

/// What the disk has refused is written down before anything begins.
static void settle(struct world *w, struct queue *q)
{
	if (w->owed)
		save_outcome(w, q);
	if (w->l.unquarantined)
		quarantine(w, w->l.unquarantined, q);
	if (w->l.unconfirmed)
		confirm(w, w->l.proven, q);
}

static void begin_new(struct world *w, const struct lifecycle_action *action, unsigned *ret)
{
	bool reuses = action->own && w->reuses && w->newest > 0;
	unsigned n = reuses ? w->newest : w->newest + 1;
	const struct lifecycle_target target = {WANTED_UP, n};

	w->newest = n;
	*ret = n;
	w->told_down_before = w->told_down;
	w->told_down = false;
	if (memcmp(&w->disk.wanted, &target, sizeof(target)) == 0)
		return;
	w->disk.wanted = target;
	w->disk.touched = action->touched;
	w->disk.leaves = w->disk.failed = 0;
	w->disk.before =
		action->before.generation == n ? (struct lifecycle_target){0} : action->before;
}

/// As the disk, or what the worker needs, decides.
static bool refuse(struct world *w, struct queue *q)
{
	if (!w->refuses)
		return false;
	post(q, (struct lifecycle_event){.kind = EVENT_NOT_BEGUN,
			.failure = w->refuses_for_good ? FAILURE_DEFINITE : FAILURE_TRANSIENT});
	return true;
}

static void begin(struct world *w, const struct lifecycle_action *action, struct queue *q)
{
	unsigned n = action->generation;

	require(w, w->worker == WORKER_NONE, "at most one worker");
	require(w, !action->keeps || w->runs != ACTUAL_PARTIAL || w->runs_generation == n,
		"what another generation has changed is taken down");
	if (refuse(w, q))
		return;
	if (w->disk_full) {
		post(q, (struct lifecycle_event){
				.kind = EVENT_NOT_BEGUN, .failure = FAILURE_TRANSIENT});
		return;
	}
	settle(w, q);
	if (n == 0 && action->own && w->reuses && is_quarantined(w, w->newest)) {
		post(q, (struct lifecycle_event){
				.kind = EVENT_NOT_BEGUN, .failure = FAILURE_DEFINITE});
		return;
	}
	if (n == 0)
		begin_new(w, action, &n);
	require(w, !is_quarantined(w, n), "what is quarantined is not tried again");
	require(w, w->l.command != COMMAND_ROLLBACK || action->restores,
		"a rollback needs nothing but what this device has");
	require(w, !action->restores || (w->was_good & bit(n)) != 0,
		"only what ran before can be restored");
	require(w, n <= w->newest, "only a generation that exists is begun");
	w->open = n;
	w->open_acted = false;
	w->worker = WORKER_DEPLOYS;
	w->worker_generation = n;
	w->worker_acted = w->worker_told = false;
	post(q, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = n});
}

static void start_worker(struct world *w, enum worker worker, struct queue *q)
{
	require(w, w->worker == WORKER_NONE, "at most one worker");
	w->tried_down |= worker == WORKER_TAKES_DOWN;
	if (refuse(w, q))
		return;
	w->worker = worker;
	w->worker_acted = w->worker_told = false;
	w->worker_generation = 0;
}

static void save(struct world *w, struct queue *q)
{
	if (w->disk_full) {
		post(q, (struct lifecycle_event){.kind = EVENT_NOT_SAVED});
		return;
	}
	w->disk.wanted = w->l.wanted;
	w->disk.before = w->l.before;
	w->disk.touched = w->l.touched;
	w->disk.leaves = w->l.leaves;
	w->disk.failed = w->l.leaves ? 0 : w->l.failed;
	if (w->l.wanted.state == WANTED_UP && w->last == COMMAND_ROLLBACK && w->told_down) {
		w->told_down_before = true;
		w->told_down = false;
	}
	if (w->l.wanted.state == WANTED_UP && w->last == COMMAND_START)
		w->told_down = false; // also if the power is cut now
	post(q, (struct lifecycle_event){.kind = EVENT_SAVED});
}

static void answer(struct world *w, const struct lifecycle_action *action)
{
	enum lifecycle_command command = w->waiting[action->client];

	require(w, command != COMMAND_NONE, "each client gets one answer");
	w->waiting[action->client] = COMMAND_NONE;
	if (command == COMMAND_STOP && action->answer == ANSWER_DONE) {
		require(w, w->runs == ACTUAL_NOTHING, "a stop is answered when nothing runs");
		require(w, w->l.wanted.state != WANTED_DOWN || w->disk.wanted.state == WANTED_DOWN,
			"a stop that is answered lasts");
	}
	if ((command == COMMAND_DEPLOY || command == COMMAND_START ||
		    command == COMMAND_ROLLBACK) &&
		action->answer == ANSWER_DONE)
		require(w, w->runs == ACTUAL_WHOLE && w->runs_generation == w->l.good,
			"success is what runs");
	require(w,
		!w->goes_back || action->answer == ANSWER_ROLLED_BACK ||
			action->answer == ANSWER_NOT_ROLLED_BACK,
		"who waits for a deployment that is rolled back waits for that");
	if (action->answer == ANSWER_ROLLED_BACK)
		require(w,
			(w->runs == ACTUAL_WHOLE && w->runs_generation == w->l.good) ||
				(w->runs == ACTUAL_NOTHING &&
					(w->told_down_before || w->l.wanted.state == WANTED_DOWN)),
			"who waits for a deployment that is rolled back waits for that");
}

static void exit_program(struct world *w)
{
	require(w, w->worker == WORKER_NONE, "no worker outlives the program");
	require(w, !w->timer, "no timer outlives the program");
	if (w->takes_down || w->l.wanted.state == WANTED_DOWN)
		require(w, w->runs == ACTUAL_NOTHING || w->tried_down,
			"the end takes down what is not to run on");
	w->is_exited = true;
}

static void perform(struct world *w, const struct lifecycle_action *action, struct queue *q)
{
	switch (action->kind) {
	case ACTION_BEGIN:
		begin(w, action, q);
		break;
	case ACTION_TAKE_DOWN:
		start_worker(w, WORKER_TAKES_DOWN, q);
		break;
	case ACTION_PLAN:
		start_worker(w, WORKER_PLANS, q);
		break;
	case ACTION_CANCEL:
		require(w, w->worker == WORKER_PLANS || w->worker == WORKER_DEPLOYS,
			"only what may be cut short is");
		w->worker_told = true;
		break;
	case ACTION_LOOK:
		w->looks = true;
		break;
	case ACTION_SAVE:
		save(w, q);
		break;
	case ACTION_RECORD:
		w->owed = action->generation;
		w->owed_success = action->success;
		w->owed_probation = action->probation;
		if (action->success)
			w->was_good |= bit(action->generation);
		w->is_published |= action->publish && !action->success;
		w->series_told |= action->publish && !action->success;
		save_outcome(w, q);
		break;
	case ACTION_RECORD_AGAIN:
		save_outcome(w, q);
		break;
	case ACTION_QUARANTINE:
		quarantine(w, action->generation, q);
		break;
	case ACTION_LIFT:
		lift(w, action->generation);
		break;
	case ACTION_CONFIRM:
		confirm(w, action->generation, q);
		break;
	case ACTION_REVOKE:
	case ACTION_PUBLISH:
		w->is_published = w->series_told = true;
		break;
	case ACTION_ANSWER:
		answer(w, action);
		break;
	case ACTION_SET_TIMER:
		w->timer = true;
		w->awaits_space = action->awaits_space;
		break;
	case ACTION_STOP_TIMER:
		w->timer = false;
		break;
	case ACTION_SET_DEBT_TIMER:
		w->debt_timer = true;
		break;
	case ACTION_EXIT:
		exit_program(w);
		break;
	}
}

static void note_promises(struct world *w, const struct lifecycle_event *event)
{
	const struct lifecycle *l = &w->l;

	if (event->kind == EVENT_COMMAND && event->command == COMMAND_START &&
		l->wanted.state == WANTED_UP)
		w->told_down = false;
	if (event->kind == EVENT_COMMAND && event->command != COMMAND_PLAN)
		w->is_published = false;
	if (event->kind == EVENT_COMMAND && event->command == COMMAND_STOP &&
		l->wanted.state == WANTED_DOWN && w->disk.wanted.state == WANTED_DOWN)
		w->told_down = true;
}

/// States are compared as bytes, also those between the members.
static void clear_padding(struct lifecycle *l)
{
	struct lifecycle clean;

	memset(&clean, 0, sizeof(clean));
#define COPY(member) clean.member = l->member
	COPY(wanted);
	COPY(before);
	COPY(good);
	COPY(proven);
	COPY(leaves);
	COPY(quarantines_left);
	COPY(failed);
	COPY(touched);
	COPY(unsaved);
	COPY(unrecorded);
	COPY(unquarantined);
	COPY(unconfirmed);
	COPY(actual);
	COPY(runs);
	COPY(activity);
	COPY(subject);
	COPY(command);
	COPY(client);
	COPY(own);
	COPY(acted);
	COPY(goes_back);
	COPY(probation);
	COPY(unsound);
	COPY(rolled_back);
	COPY(lifted);
	COPY(given_up);
	COPY(restore_due);
	COPY(restore_failed);
	COPY(retry_due);
	COPY(waits);
	COPY(tries);
	COPY(next);
	COPY(next_client);
	COPY(next_own);
	COPY(next_generation);
	COPY(next_quarantined);
	COPY(start_waits);
	COPY(start_client);
	COPY(exits);
	COPY(exit_takes_down);
	COPY(exit_tried);
#undef COPY
	memcpy(l, &clean, sizeof(*l));
}

/// Whether the power is cut before the next action.
static bool is_cut(void)
{
	return explorer->cut_after > 0 && --explorer->cut_after == 0;
}

/// The event and all that follows from it at once, unless the power is cut.
static void step(struct world *w, struct lifecycle_event first)
{
	struct queue q = {.n = 0};

	post(&q, first);
	for (size_t i = 0; i < q.n; i++) {
		struct lifecycle_actions actions = {.n = 0};
		enum lifecycle_activity before = w->l.activity;

		lifecycle_step(&w->l, &q.items[i], &actions);
		explorer->edges[before][q.items[i].kind][w->l.activity] = 1;
		for (size_t k = 0; k < actions.n; k++) {
			if (is_cut()) {
				explorer->is_cut = true;
				return;
			}
			perform(w, &actions.items[k], &q);
		}
		if (i == 0)
			note_promises(w, &first);
	}
	if (w->l.tries == 0)
		w->series_told = false;
	if (w->l.tries > 2)
		w->l.tries = 2; // only whether it is the first one matters
}

/// As the program finds it when it starts.
static struct lifecycle read_disk(const struct world *w)
{
	struct lifecycle_record record = w->disk;

	record.touched |= w->open_acted;
	record.wanted_quarantined = is_quarantined(w, record.wanted.generation);
	record.before_quarantined = is_quarantined(w, record.before.generation);
	record.current_quarantined = is_quarantined(w, record.current);
	record.last_good_quarantined = is_quarantined(w, record.last_good);
	record.leaves_quarantined = is_quarantined(w, record.leaves);
	struct lifecycle l = lifecycle_begin(&record);
	clear_padding(&l);
	return l;
}

static bool has_clients(const struct world *w)
{
	for (unsigned i = 1; i <= CLIENTS_MAX; i++) {
		if (w->waiting[i] != COMMAND_NONE)
			return true;
	}
	return false;
}

static void check(const struct world *w)
{
	const struct lifecycle *l = &w->l;

	if (!l->unsaved && l->wanted.state != WANTED_NOTHING)
		require(w, memcmp(&l->wanted, &w->disk.wanted, sizeof(l->wanted)) == 0,
			"what is wanted is on disk");
	if (w->told_down)
		require(w, l->wanted.state == WANTED_DOWN, "what was stopped stays down");
	if (l->activity == ACTIVITY_EXITED || lifecycle_is_at_rest(l)) {
		require(w, !has_clients(w), "at rest nobody waits");
		require(w, w->worker == WORKER_NONE && !w->looks, "at rest no worker runs");
	}
	if (l->activity != ACTIVITY_EXITED && lifecycle_is_at_rest(l)) {
		require(w, lifecycle_is_fulfilled(l) || w->is_published,
			"at rest what runs is what is wanted, or why not was published");
		if (w->runs == ACTUAL_PARTIAL && l->good && !w->refuses)
			require(w,
				w->failed_acted || w->runs_generation == l->good ||
					l->subject == l->good,
				"what a superseded deployment left half done is put right");
		if (l->wanted.state == WANTED_DOWN)
			require(w, w->runs == ACTUAL_NOTHING, "what is stopped does not run");
		if (l->wanted.state == WANTED_UP && lifecycle_is_fulfilled(l))
			require(w,
				w->runs == ACTUAL_WHOLE &&
					w->runs_generation == l->wanted.generation,
				"what is said to run does");
	}
	if (l->wanted.state != WANTED_NOTHING)
		require(w, !is_quarantined(w, l->wanted.generation),
			"what is quarantined is not wanted");
	require(w, !is_quarantined(w, l->good) && !is_quarantined(w, l->proven),
		"what is quarantined is not gone back to");
	require(w, (w->rolled_back & ~w->quarantine & ~bit(l->unquarantined)) == 0,
		"what was rolled back is quarantined");
	if (lifecycle_on_probation(l))
		require(w, l->proven != l->good, "what is proven is not on probation");
	if (lifecycle_is_at_rest(l) && !l->unrecorded && !l->unconfirmed && !l->unquarantined) {
		struct lifecycle read = read_disk(w);

		require(w, read.good == l->good && read.proven == l->proven,
			"what can be gone back to is on disk");
	}
	require(w, l->tries == 0 || w->series_told, "the first failure of a series is published");
	require(w, l->activity != ACTIVITY_WAITING || w->timer, "who waits has a timer");
	require(w, l->activity != ACTIVITY_RECORDING || w->debt_timer, "who owes has a timer");
}

/// The end of the worker, with what it has done.
static void end_worker(struct world *w, struct lifecycle_event event)
{
	w->worker = WORKER_NONE;
	w->worker_told = w->worker_acted = false;
	step(w, event);
}

static bool may_deploy(const struct world *w)
{
	return w->newest < GENERATIONS_MAX;
}

static bool do_command(
	struct world *w, enum lifecycle_command command, bool has_client, const char *name)
{
	unsigned client = 1;

	if (command == COMMAND_DEPLOY && !may_deploy(w))
		return false;
	(void)snprintf(explorer->trace, sizeof(explorer->trace), "%s", name);
	while (client <= CLIENTS_MAX && w->waiting[client] != COMMAND_NONE)
		client++;
	if (has_client && client > CLIENTS_MAX)
		return false;
	if (has_client)
		w->waiting[client] = command;
	if (command != COMMAND_PLAN)
		w->last = command;
	step(w, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = command,
			.client = has_client ? client : 0});
	if (command == COMMAND_START && has_client && !explorer->is_cut &&
		w->waiting[client] == COMMAND_START)
		require(w, w->l.wanted.state == WANTED_UP, "a start that is accepted is wanted");
	return true;
}

static bool do_forget(struct world *w)
{
	if (w->waiting[1] == COMMAND_NONE)
		return false;
	w->waiting[1] = COMMAND_NONE;
	step(w, (struct lifecycle_event){.kind = EVENT_FORGET, .client = 1});
	return true;
}

static bool do_end(struct world *w, bool takes_down)
{
	if (w->l.exits)
		return false;
	w->takes_down = takes_down;
	w->tried_down = w->worker == WORKER_TAKES_DOWN;
	step(w, (struct lifecycle_event){.kind = EVENT_EXIT, .takes_down = takes_down});
	return true;
}

/// Killed with its worker, and started again, without or with a group file.
static bool do_restart(struct world *w, bool has_file)
{
	bool deploys = has_file && w->disk.wanted.state != WANTED_DOWN &&
		       !(w->reuses && is_quarantined(w, w->newest));

	if (deploys && !w->reuses && !may_deploy(w))
		return false;
	w->l = read_disk(w);
	w->rolled_back &= w->quarantine; // the disk was full
	w->worker = WORKER_NONE;
	w->worker_told = w->worker_acted = false;
	w->looks = w->timer = w->debt_timer = w->is_exited = false;
	w->owed = 0;
	w->owed_success = w->owed_probation = false;
	memset(w->waiting, 0, sizeof(w->waiting));
	w->last = COMMAND_NONE;
	w->series_told = false;
	w->is_published = w->failed_acted = w->takes_down = w->tried_down = false;
	if (deploys)
		step(w, (struct lifecycle_event){
				.kind = EVENT_COMMAND, .command = COMMAND_DEPLOY, .own = true});
	else
		step(w, (struct lifecycle_event){.kind = EVENT_RESUME});
	return true;
}

static bool do_act(struct world *w)
{
	if (w->worker != WORKER_DEPLOYS || w->worker_acted || w->worker_told || w->engine_away)
		return false;
	if (w->disk_full) { // the stage cannot be put on record
		end_worker(w, (struct lifecycle_event){
				      .kind = EVENT_FAILED, .failure = FAILURE_TRANSIENT});
		return true;
	}
	w->worker_acted = true;
	w->open_acted = true;
	w->runs = ACTUAL_PARTIAL;
	w->runs_generation = w->worker_generation;
	step(w, (struct lifecycle_event){.kind = EVENT_ACTS});
	return true;
}

static bool do_succeed(struct world *w, bool probation)
{
	if (w->worker == WORKER_PLANS && !probation) {
		end_worker(w, (struct lifecycle_event){.kind = EVENT_PLANNED});
		return true;
	}
	if (w->worker == WORKER_NONE || w->engine_away ||
		(probation && w->worker != WORKER_DEPLOYS))
		return false;
	if (w->worker == WORKER_TAKES_DOWN) {
		w->ran = w->runs_generation;
		w->runs = ACTUAL_NOTHING;
		w->runs_generation = 0;
		end_worker(w, (struct lifecycle_event){.kind = EVENT_TORN_DOWN});
		return true;
	}
	if (!w->worker_acted || (probation && w->worker_generation == w->l.proven))
		return false;
	unsigned left = w->l.command == COMMAND_ROLLBACK && w->l.wanted.state == WANTED_UP
				? w->l.leaves
				: 0;
	w->runs = ACTUAL_WHOLE;
	w->runs_generation = w->worker_generation;
	end_worker(w, (struct lifecycle_event){.kind = EVENT_DEPLOYED, .probation = probation});
	if (left && !explorer->is_cut)
		require(w, is_quarantined(w, left) || w->l.unquarantined == left,
			"what a person goes back from is quarantined");
	return true;
}

static void fail_deployment(
	struct world *w, enum lifecycle_failure failure, bool rolls_back, bool stopped)
{
	bool is_ordered =
		(w->l.command == COMMAND_DEPLOY && !w->l.own) || w->l.command == COMMAND_ROLLBACK;
	bool untouched = !w->worker_acted && !w->l.touched && is_ordered &&
			 w->l.wanted.state == WANTED_UP && w->told_down_before;
	unsigned n = w->worker_generation, good = w->l.good;
	bool is_back =
		rolls_back && w->worker_acted && n == w->l.wanted.generation && good && good != n;

	if (is_back)
		w->rolled_back |= bit(n);
	w->goes_back = is_back;
	end_worker(w, (struct lifecycle_event){.kind = EVENT_FAILED,
			      .failure = failure,
			      .stopped = stopped,
			      .rolls_back = rolls_back});
	w->goes_back = false;
	if (is_back && !explorer->is_cut) {
		require(w, w->l.wanted.generation == good, "what ran before is wanted again");
		require(w,
			w->l.activity != ACTIVITY_IDLE || lifecycle_is_fulfilled(&w->l) ||
				w->l.given_up,
			"what ran before is started again");
	} else if (is_back) {
		w->rolled_back &= ~bit(n) | w->quarantine;
	}
	if (untouched && w->l.wanted.state == WANTED_DOWN && !w->l.unsaved)
		w->told_down = true;
	if (untouched)
		require(w, w->l.wanted.state == WANTED_DOWN || w->l.activity == ACTIVITY_DEPLOYING,
			"a deployment refused after a stop leaves the application stopped");
}

static bool do_fail(struct world *w, enum lifecycle_failure failure, bool rolls_back)
{
	if (w->worker == WORKER_NONE || w->worker == WORKER_PLANS)
		return false;
	if (rolls_back && (w->worker != WORKER_DEPLOYS || w->worker_told || !w->l.touched))
		return false; // as without
	w->failed_acted = w->worker == WORKER_DEPLOYS && w->worker_acted;
	if (w->worker_told)
		end_worker(w, (struct lifecycle_event){.kind = EVENT_CANCELLED});
	else if (w->worker == WORKER_DEPLOYS)
		fail_deployment(w, failure, rolls_back, false);
	else
		end_worker(w, (struct lifecycle_event){.kind = EVENT_FAILED, .failure = failure});
	return true;
}

/// It has stopped what runs for a snapshot of its volumes, and fails, or is stopped, before it
/// acts.
static bool do_stop_for_snapshot(struct world *w)
{
	if (w->worker != WORKER_DEPLOYS || w->worker_acted || w->engine_away ||
		w->runs != ACTUAL_WHOLE || w->runs_generation == w->worker_generation)
		return false;
	unsigned ran = w->runs_generation;
	w->runs = ACTUAL_PARTIAL;
	w->failed_acted = false;
	if (w->worker_told)
		end_worker(w, (struct lifecycle_event){.kind = EVENT_CANCELLED, .stopped = true});
	else
		fail_deployment(w, FAILURE_TRANSIENT, false, true);
	if (explorer->is_cut || w->l.wanted.state != WANTED_UP || w->l.next != COMMAND_NONE ||
		w->l.exits || ran != w->l.good)
		return true;
	require(w, w->l.actual != ACTUAL_WHOLE, "what was stopped is not taken for running");
	require(w,
		w->l.activity == ACTIVITY_DEPLOYING || w->l.waits || w->l.retry_due ||
			w->l.restore_due || w->l.given_up,
		"what was stopped for a snapshot is started again");
	return true;
}

/// Nothing was changed. What was ordered, or was to run, goes on by itself.
static bool do_lack_space(struct world *w)
{
	unsigned n = w->worker_generation;

	if (w->worker != WORKER_DEPLOYS || w->worker_acted || w->worker_told ||
		w->l.command == COMMAND_ROLLBACK || n != w->l.wanted.generation ||
		w->l.wanted.state != WANTED_UP)
		return false;
	w->failed_acted = false;
	end_worker(w, (struct lifecycle_event){.kind = EVENT_FAILED, .failure = FAILURE_NO_SPACE});
	if (explorer->is_cut || w->l.exits || w->l.next != COMMAND_NONE)
		return true;
	require(w, w->l.wanted.state == WANTED_UP && w->l.wanted.generation == n,
		"what lacks space stays wanted");
	require(w, w->l.waits || w->l.retry_due, "what lacks space goes on by itself");
	require(w, w->l.activity != ACTIVITY_WAITING || w->awaits_space,
		"what lacks space waits for it, not for a time");
	return true;
}

/// Who has ordered it does not want it any more.
static bool do_abandon(struct world *w)
{
	unsigned n = w->worker_generation;

	if (w->worker != WORKER_DEPLOYS || w->worker_acted || w->worker_told ||
		n != w->l.wanted.generation || w->l.wanted.state != WANTED_UP || w->l.good == n)
		return false;
	w->failed_acted = false;
	end_worker(
		w, (struct lifecycle_event){
			   .kind = EVENT_FAILED, .failure = FAILURE_DEFINITE, .abandoned = true});
	// What is half there of an earlier attempt of it stays as it is.
	if (!explorer->is_cut && !(w->l.touched && (w->l.runs == 0 || w->l.runs == n)))
		require(w, w->l.wanted.state != WANTED_UP || w->l.wanted.generation != n,
			"what is abandoned stays away");
	return true;
}

/// The worker is content, and something runs all the same.
static bool do_leave_behind(struct world *w)
{
	if (w->worker != WORKER_TAKES_DOWN || w->runs == ACTUAL_NOTHING || w->engine_away)
		return false;
	end_worker(w, (struct lifecycle_event){.kind = EVENT_TORN_DOWN});
	return true;
}

static bool do_look(struct world *w)
{
	enum lifecycle_event_kind kind = w->engine_away              ? EVENT_ENGINE_AWAY
					 : w->runs == ACTUAL_NOTHING ? EVENT_RUNS_NOTHING
								     : EVENT_RUNS_SOMETHING;

	if (!w->looks)
		return false;
	w->looks = false;
	step(w, (struct lifecycle_event){.kind = kind});
	return true;
}

static bool do_timer(struct world *w)
{
	if (!w->timer)
		return false;
	w->timer = false;
	step(w, (struct lifecycle_event){.kind = EVENT_TIMER});
	return true;
}

static bool do_debt_timer(struct world *w)
{
	if (!w->debt_timer)
		return false;
	w->debt_timer = false;
	step(w, (struct lifecycle_event){.kind = EVENT_DEBT_TIMER});
	return true;
}

static bool do_engine(struct world *w)
{
	w->engine_away = !w->engine_away;
	// It may start again what it ran.
	if (!w->engine_away && w->restarts && w->ran > 0 && w->worker == WORKER_NONE &&
		w->runs == ACTUAL_NOTHING) {
		w->runs = ACTUAL_PARTIAL;
		w->runs_generation = w->ran;
	}
	if (!w->engine_away)
		step(w, (struct lifecycle_event){.kind = EVENT_ENGINE_BACK});
	return true;
}

static bool do_disk(struct world *w)
{
	w->disk_full = !w->disk_full;
	return true;
}

static bool do_reuse(struct world *w)
{
	w->reuses = !w->reuses;
	return true;
}

static bool do_refuse(struct world *w)
{
	w->refuses = !w->refuses || !w->refuses_for_good;
	w->refuses_for_good = w->refuses && !w->refuses_for_good;
	return true;
}

static bool do_restarts(struct world *w)
{
	w->restarts = !w->restarts;
	return true;
}

static bool do_probation(struct world *w, enum lifecycle_event_kind kind)
{
	const struct lifecycle *l = &w->l;
	unsigned n = lifecycle_on_probation(l);
	bool watches = l->activity == ACTIVITY_IDLE || l->activity == ACTIVITY_WAITING ||
		       l->activity == ACTIVITY_RECORDING;
	bool is_back = kind == EVENT_UNSOUND && l->proven;

	if (!n || !watches)
		return false;
	if (is_back)
		w->rolled_back |= bit(n);
	step(w, (struct lifecycle_event){.kind = kind});
	if (is_back && explorer->is_cut)
		w->rolled_back &= ~bit(n) | w->quarantine;
	return true;
}

/// A person goes back to the generation that ran before, or to the oldest that ever did.
static bool do_rollback(struct world *w, const char *name)
{
	unsigned n = lifecycle_rollback_target(&w->l), client = 1;

	for (unsigned i = 1; i <= GENERATIONS_MAX && !n; i++) {
		if ((w->was_good & bit(i)) && i != w->l.wanted.generation)
			n = i;
	}
	while (client <= CLIENTS_MAX && w->waiting[client] != COMMAND_NONE)
		client++;
	if (!n || client > CLIENTS_MAX)
		return false;
	(void)snprintf(explorer->trace, sizeof(explorer->trace), "%s", name);
	w->waiting[client] = COMMAND_ROLLBACK;
	w->last = COMMAND_ROLLBACK;
	step(w, (struct lifecycle_event){.kind = EVENT_COMMAND,
			.command = COMMAND_ROLLBACK,
			.client = client,
			.generation = n,
			.quarantined = is_quarantined(w, n)});
	return true;
}

/// Whatever can happen next: number `i` of it. False: that cannot happen now.
/// As supervisor_repair reports it.
static bool do_damage(struct world *w)
{
	if (w->l.activity != ACTIVITY_IDLE || w->l.wanted.state != WANTED_UP ||
		!lifecycle_is_fulfilled(&w->l))
		return false;
	step(w, (struct lifecycle_event){.kind = EVENT_DAMAGED});
	if (!explorer->is_cut)
		require(w, w->l.activity == ACTIVITY_DEPLOYING || w->l.waits || w->l.given_up,
			"what is damaged is deployed again, now or later");
	return true;
}

static bool do_mend(struct world *w)
{
	if (!w->l.damaged)
		return false;
	step(w, (struct lifecycle_event){.kind = EVENT_SOUND});
	if (!explorer->is_cut)
		require(w, !w->l.waits || !lifecycle_is_fulfilled(&w->l),
			"what is sound again is not tried again");
	return true;
}

static bool happen(struct world *w, unsigned i)
{
	(void)snprintf(explorer->trace, sizeof(explorer->trace), "%s", names[i] ? names[i] : "");
	switch (i) {
	case 0:
		return do_command(w, COMMAND_DEPLOY, true, names[i]);
	case 1:
		return do_command(w, COMMAND_DEPLOY, false, names[i]);
	case 2:
		return do_command(w, COMMAND_START, true, names[i]);
	case 3:
		return do_command(w, COMMAND_STOP, true, names[i]);
	case 4:
		return do_command(w, COMMAND_PLAN, true, names[i]);
	case 5:
		return do_forget(w);
	case 6:
		return do_end(w, true);
	case 7:
		return do_end(w, false);
	case 8:
		return do_restart(w, false);
	case 9:
		return do_restart(w, true);
	case 10:
		return do_act(w);
	case 11:
		return do_succeed(w, false);
	case 12:
		return do_fail(w, FAILURE_TRANSIENT, false);
	case 13:
		return do_fail(w, FAILURE_DEFINITE, false);
	case 14:
		return do_leave_behind(w);
	case 15:
		return do_look(w);
	case 16:
		return do_timer(w);
	case 17:
		return do_debt_timer(w);
	case 18:
		return do_engine(w);
	case 19:
		return do_disk(w);
	case 20:
		return do_reuse(w);
	case 21:
		return do_command(w, COMMAND_STOP, false, names[i]);
	case 22:
		return do_refuse(w);
	case 23:
		return do_restarts(w);
	case 24:
		return do_succeed(w, true);
	case 25:
		return do_fail(w, FAILURE_TRANSIENT, true);
	case 26:
		return do_fail(w, FAILURE_DEFINITE, true);
	case 27:
		return do_probation(w, EVENT_PROVEN);
	case 28:
		return do_probation(w, EVENT_UNSOUND);
	case 29:
		return do_lack_space(w);
	case 30:
		return do_rollback(w, names[i]);
	case 31:
		return do_damage(w);
	case 32:
		return do_mend(w);
	case 33:
		return do_abandon(w);
	default:
		return do_stop_for_snapshot(w);
	}
}

/// The same, with the power cut before the action of that number that follows from it.
static bool happen_cut(struct world *w, unsigned i, unsigned cut_after)
{
	explorer->cut_after = cut_after;
	explorer->is_cut = false;
	bool happens = happen(w, i);
	explorer->cut_after = 0;
	if (!happens || !explorer->is_cut)
		return false;
	explorer->is_cut = false;
	(void)strncat(explorer->trace, ", cut", sizeof(explorer->trace) - 6);
	return do_restart(w, false);
}

/// If from now on nobody orders anything and everything works, it comes to rest, and what is
/// wanted runs unless that was given up.
static void check_way_to_an_end(const struct world *from)
{
	struct world w = *from;

	w.engine_away = w.disk_full = w.refuses = w.refuses_for_good = false;
	for (unsigned i = 0; i < STEPS_TO_REST; i++) {
		if (lifecycle_is_at_rest(&w.l) && !w.debt_timer)
			break;
		(void)snprintf(explorer->trace, sizeof(explorer->trace), "all is well");
		if (!do_look(&w) && !do_act(&w) && !do_succeed(&w, false) &&
			!(w.worker_told && do_fail(&w, FAILURE_TRANSIENT, false)) &&
			!do_debt_timer(&w))
			(void)do_timer(&w);
		check(&w);
	}
	require(&w, lifecycle_is_at_rest(&w.l), "every state has a way to an end");
	require(&w, !w.l.unsaved && !w.l.unrecorded && !w.l.unquarantined && !w.l.unconfirmed,
		"nothing is owed for ever");
	require(&w, !has_clients(&w), "each client gets its answer");
}

static uint64_t hash_of(const struct world *w)
{
	const unsigned char *bytes = (const unsigned char *)w;
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < offsetof(struct world, path); i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	hash ^= hash >> 29;
	return hash ? hash : 1;
}

static void grow(struct explorer *e)
{
	uint64_t *old = e->seen;
	size_t old_size = e->seen_size;

	e->seen_size = old_size ? old_size * 2 : 1 << 16;
	e->seen = lm_xcalloc(e->seen_size, sizeof(*e->seen));
	for (size_t i = 0; i < old_size; i++) {
		size_t at = old[i] & (e->seen_size - 1);

		if (!old[i])
			continue;
		while (e->seen[at])
			at = (at + 1) & (e->seen_size - 1);
		e->seen[at] = old[i];
	}
	free(old);
}

/// Whether the state was never visited before.
static bool visit(struct explorer *e, const struct world *w)
{
	uint64_t hash = hash_of(w);

	if (e->seen_n * 2 >= e->seen_size)
		grow(e);
	size_t at = hash & (e->seen_size - 1);
	while (e->seen[at] && e->seen[at] != hash)
		at = (at + 1) & (e->seen_size - 1);
	if (e->seen[at] == hash)
		return false;
	e->seen[at] = hash;
	e->seen_n++;
	return true;
}

static void keep(struct explorer *e, const struct world *w)
{
	if (e->next_n == e->next_size) {
		e->next_size = e->next_size ? e->next_size * 2 : 1024;
		e->next = lm_xrealloc(e->next, e->next_size * sizeof(*e->next));
	}
	memcpy(&e->next[e->next_n++], w, sizeof(*w));
}

static void expand(struct explorer *e, const struct world *from)
{
	for (unsigned i = 0; i < HAPPENINGS * (1 + CUTS); i++) {
		struct world w;
		unsigned cut_after = i / HAPPENINGS;

		memcpy(&w, from, sizeof(w));
		if (!(cut_after ? happen_cut(&w, i % HAPPENINGS, cut_after) : happen(&w, i)) ||
			!visit(e, &w))
			continue;
		w.path[w.path_n++] = (unsigned char)i;
		check(&w);
		check_way_to_an_end(&w);
		keep(e, &w);
	}
}

/// From the state that these happenings lead to, one after the other.
static void explore(struct explorer *e, const unsigned *seed, size_t seed_n, unsigned depth)
{
	struct world *first = lm_xcalloc(1, sizeof(*first));

	first->runs = ACTUAL_NOTHING;
	first->l = lifecycle_begin(&first->disk);
	clear_padding(&first->l);
	step(first, (struct lifecycle_event){.kind = EVENT_RESUME});
	for (size_t i = 0; i < seed_n; i++)
		assert_true(happen(first, seed[i]));
	(void)visit(e, first);
	e->next_n = 0;
	keep(e, first);
	free(first);
	for (unsigned d = 0; d < depth; d++) {
		free(e->frontier);
		e->frontier = e->next;
		e->frontier_n = e->next_n;
		e->next = NULL;
		e->next_n = e->next_size = 0;
		for (size_t i = 0; i < e->frontier_n; i++)
			expand(e, &e->frontier[i]);
	}
}

/// One row for each activity: what happens, and what is done then, as docs/architecture.md shows
/// it.
static void write_table(const struct explorer *e, struct lm_buf *out)
{
	(void)lm_buf_puts(out, "| while | what happens | then |\n|---|---|---|\n");
	for (unsigned from = 0; from < ACTIVITY_COUNT; from++) {
		for (unsigned to = 0; to < ACTIVITY_COUNT; to++) {
			bool first = true;

			for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
				if (from == to || !e->edges[from][kind][to])
					continue;
				if (first)
					(void)lm_buf_printf(out, "| %s | ",
						lifecycle_activity_name(
							(enum lifecycle_activity)from));
				(void)lm_buf_printf(out, "%s%s", first ? "" : ", ",
					lifecycle_event_name((enum lifecycle_event_kind)kind));
				first = false;
			}
			if (!first)
				(void)lm_buf_printf(out, " | %s |\n",
					lifecycle_activity_name((enum lifecycle_activity)to));
		}
	}
}

static void the_table_in_the_documents_is_what_the_code_does(void **state)
{
	lm_auto_buf struct lm_buf expected = LM_BUF(64 << 10), text = LM_BUF(1 << 20);
	struct lm_err err = {LM_OK};

	(void)state;
	write_table(explorer, &expected);
	if (lm_file_read(DOCUMENT, &text, &err) != LM_OK)
		fail_msg("%s", err.msg);
	if (strstr(lm_buf_cstr(&text), lm_buf_cstr(&expected)))
		return;
	(void)fputs(lm_buf_cstr(&expected), stdout);
	fail_msg("docs/architecture.md does not have the table above");
}

static void every_failure_is_transient_or_definite_by_what_failed(void **state)
{
	static const lm_rc definite[] = {LM_E_INVALID, LM_E_NOT_FOUND, LM_E_TOO_LARGE};
	static const lm_rc transient[] = {LM_E_SYS, LM_E_DENIED, LM_E_TIMEOUT, LM_E_NETWORK,
		LM_E_PROTOCOL, LM_E_REFUSED, LM_E_CONFLICT, LM_E_CANCELLED};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(definite); i++)
		assert_int_equal(lifecycle_failure_of(definite[i]), FAILURE_DEFINITE);
	for (size_t i = 0; i < LM_ARRAY_SIZE(transient); i++)
		assert_int_equal(lifecycle_failure_of(transient[i]), FAILURE_TRANSIENT);
}

/// Takes one event; whether a failure was published.
static bool publishes(struct lifecycle *l, struct lifecycle_event event)
{
	struct lifecycle_actions actions = {.n = 0};
	bool published = false;

	lifecycle_step(l, &event, &actions);
	for (size_t i = 0; i < actions.n; i++)
		published |= actions.items[i].kind == ACTION_PUBLISH ||
			     (actions.items[i].kind == ACTION_RECORD && actions.items[i].publish);
	return published;
}

static void a_series_of_retries_publishes_its_first_and_its_last_failure(void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 1}, .current = 1, .last_good = 1};
	const struct lifecycle_event fails = {.kind = EVENT_FAILED, .failure = FAILURE_TRANSIENT};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	assert_false(publishes(&l, (struct lifecycle_event){.kind = EVENT_RESUME}));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(l.activity, ACTIVITY_DEPLOYING);
		assert_int_equal(publishes(&l, fails), i == 0);
		assert_int_equal(l.activity, ACTIVITY_WAITING);
		assert_false(publishes(&l, (struct lifecycle_event){.kind = EVENT_TIMER}));
	}
	assert_true(publishes(
		&l, (struct lifecycle_event){.kind = EVENT_FAILED, .failure = FAILURE_DEFINITE}));
	assert_true(lifecycle_is_at_rest(&l));
}

static void what_ran_before_runs_while_an_interrupted_deployment_is_tried_again(void **state)
{
	const struct lifecycle_record record = {.wanted = {WANTED_UP, 2},
		.before = {WANTED_UP, 1},
		.current = 1,
		.last_good = 1,
		.touched = true};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_RESUME});
	assert_int_equal(l.subject, 2);
	(void)publishes(
		&l, (struct lifecycle_event){.kind = EVENT_FAILED, .failure = FAILURE_TRANSIENT});
	assert_int_equal(l.activity, ACTIVITY_DEPLOYING);
	assert_int_equal(l.subject, 1);
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_ACTS});
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_DEPLOYED});
	assert_int_equal(l.activity, ACTIVITY_WAITING);
	assert_int_equal(l.wanted.generation, 2);
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_TIMER});
	assert_int_equal(l.subject, 2);
}

static void an_ordered_deployment_that_lacks_space_waits_for_it_and_a_later_command_replaces_it(
	void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 1}, .current = 1, .last_good = 1};
	const struct lifecycle_event deploy = {
		.kind = EVENT_COMMAND, .command = COMMAND_DEPLOY, .client = 7};
	const struct lifecycle_event lacks = {.kind = EVENT_FAILED, .failure = FAILURE_NO_SPACE};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_RESUME});
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_ACTS});
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_DEPLOYED});
	(void)publishes(&l, deploy);
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = 2});
	assert_true(publishes(&l, lacks));
	assert_int_equal(l.client, 0); // it has its answer
	assert_int_equal(l.activity, ACTIVITY_WAITING);
	assert_true(l.lacks_space);
	assert_int_equal(l.wanted.generation, 2);
	assert_int_equal(l.runs, 1);
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_TIMER});
	assert_int_equal(l.subject, 2);
	assert_false(publishes(&l, lacks)); // once is enough
	(void)publishes(&l, deploy);
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = 3});
	assert_int_equal(l.wanted.generation, 3);
	assert_int_equal(l.before.generation, 1);
	assert_true(publishes(
		&l, (struct lifecycle_event){.kind = EVENT_FAILED, .failure = FAILURE_TRANSIENT}));
	assert_int_equal(l.wanted.generation, 1);
	assert_true(lifecycle_is_at_rest(&l));
}

static void a_first_deployment_that_is_abandoned_stays_away(void **state)
{
	const struct lifecycle_record record = {.wanted = {WANTED_NOTHING, 0}};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	(void)publishes(
		&l, (struct lifecycle_event){.kind = EVENT_COMMAND, .command = COMMAND_DEPLOY});
	(void)publishes(&l, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = 1});
	assert_true(publishes(
		&l, (struct lifecycle_event){
			    .kind = EVENT_FAILED, .failure = FAILURE_DEFINITE, .abandoned = true}));
	assert_int_equal(l.wanted.state, WANTED_DOWN);
	assert_int_equal(l.wanted.generation, 1);
	assert_true(lifecycle_is_at_rest(&l) && lifecycle_is_fulfilled(&l));
}

/// Takes one event; the first action of that kind. Fails if there is none.
static struct lifecycle_action act_of(
	struct lifecycle *l, struct lifecycle_event event, enum lifecycle_action_kind kind)
{
	struct lifecycle_actions actions = {.n = 0};
	size_t i = 0;

	lifecycle_step(l, &event, &actions);
	while (i < actions.n && actions.items[i].kind != kind)
		i++;
	assert_true(i < actions.n);
	return actions.items[i];
}

static struct lifecycle begin_left(struct lifecycle_record record)
{
	record.left_running = 2;
	return lifecycle_begin(&record);
}

static void what_was_left_running_goes_on_if_it_is_what_is_wanted(void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 2}, .current = 2, .last_good = 2};
	struct lifecycle_actions actions = {.n = 0};
	struct lifecycle l = begin_left(record);

	(void)state;
	lifecycle_step(&l, &(struct lifecycle_event){.kind = EVENT_RESUME}, &actions);
	assert_int_equal(actions.n, 0);
	assert_true(lifecycle_is_at_rest(&l) && lifecycle_is_fulfilled(&l));
	assert_int_equal(l.runs, 2);
	assert_int_equal(lifecycle_on_probation(&l), 0);
}

static void what_was_left_running_is_started_again_if_anything_else_is_on_record(void **state)
{
	const struct lifecycle_record others[] = {
		{.wanted = {WANTED_UP, 3}, .before = {WANTED_UP, 2}, .current = 2, .last_good = 2},
		{.wanted = {WANTED_UP, 2}, .current = 2, .last_good = 2, .touched = true},
		{.wanted = {WANTED_UP, 2}, .current = 2, .last_good = 2, .leaves = 3},
		{.wanted = {WANTED_UP, 2}, .current = 3, .last_good = 3},
	};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++) {
		struct lifecycle l = begin_left(others[i]);

		assert_false(lifecycle_is_fulfilled(&l));
		(void)act_of(&l, (struct lifecycle_event){.kind = EVENT_RESUME}, ACTION_BEGIN);
	}
	struct lifecycle l = begin_left((struct lifecycle_record){
		.wanted = {WANTED_DOWN, 2}, .current = 2, .last_good = 2});
	(void)act_of(&l, (struct lifecycle_event){.kind = EVENT_RESUME}, ACTION_LOOK);
}

static void what_was_left_running_on_probation_is_on_probation_again(void **state)
{
	struct lifecycle l = begin_left(
		(struct lifecycle_record){.wanted = {WANTED_UP, 2}, .current = 2, .last_good = 1});

	(void)state;
	assert_int_equal(lifecycle_on_probation(&l), 2);
	(void)act_of(&l, (struct lifecycle_event){.kind = EVENT_PROVEN}, ACTION_CONFIRM);
}

static void a_rollback_that_is_cut_short_goes_on_as_it_was_ordered(void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 2}, .current = 2, .last_good = 2};
	const struct lifecycle_record cut = {.wanted = {WANTED_UP, 1},
		.before = {WANTED_UP, 2},
		.current = 2,
		.last_good = 2,
		.leaves = 2};
	const struct lifecycle_event ordered = {
		.kind = EVENT_COMMAND, .command = COMMAND_ROLLBACK, .generation = 1};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	l.actual = ACTUAL_WHOLE;
	l.runs = 2;
	struct lifecycle_action begin = act_of(&l, ordered, ACTION_BEGIN);
	assert_int_equal(begin.generation, 1);
	assert_true(begin.restores && !begin.keeps);
	assert_int_equal(l.leaves, 2);
	l = lifecycle_begin(&cut);
	begin = act_of(&l, (struct lifecycle_event){.kind = EVENT_RESUME}, ACTION_BEGIN);
	assert_int_equal(begin.generation, 1);
	assert_true(begin.restores && !begin.keeps);
}

static void a_rollback_to_what_was_stopped_needs_nothing_but_what_this_device_has(void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_DOWN, 1}, .current = 1, .last_good = 1};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	(void)act_of(&l, (struct lifecycle_event){.kind = EVENT_RESUME}, ACTION_LOOK);
	lifecycle_step(&l, &(struct lifecycle_event){.kind = EVENT_RUNS_NOTHING},
		&(struct lifecycle_actions){.n = 0});
	struct lifecycle_action begin = act_of(&l,
		(struct lifecycle_event){
			.kind = EVENT_COMMAND, .command = COMMAND_ROLLBACK, .generation = 1},
		ACTION_BEGIN);
	assert_int_equal(begin.generation, 1);
	assert_true(begin.restores);
}

/// Takes one event.
static void take(struct lifecycle *l, struct lifecycle_event event)
{
	lifecycle_step(l, &event, &(struct lifecycle_actions){.n = 0});
}

/// Generation 2 has changed what runs and failed, in the place of 1; then the application is
/// stopped.
static struct lifecycle stopped_after_a_failure(void)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 1}, .current = 1, .last_good = 1};
	struct lifecycle l = lifecycle_begin(&record);

	l.actual = ACTUAL_WHOLE;
	l.runs = 1;
	take(&l, (struct lifecycle_event){.kind = EVENT_COMMAND, .command = COMMAND_DEPLOY});
	take(&l, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = 2});
	take(&l, (struct lifecycle_event){.kind = EVENT_ACTS});
	take(&l, (struct lifecycle_event){.kind = EVENT_FAILED});
	assert_int_equal(l.wanted.generation, 1);
	assert_int_equal(l.failed, 0);
	take(&l, (struct lifecycle_event){.kind = EVENT_COMMAND, .command = COMMAND_STOP});
	assert_int_equal(l.failed, 2); // before it is saved that the application is to be down
	take(&l, (struct lifecycle_event){.kind = EVENT_SAVED});
	take(&l, (struct lifecycle_event){.kind = EVENT_TORN_DOWN});
	take(&l, (struct lifecycle_event){.kind = EVENT_RUNS_NOTHING});
	assert_int_equal(l.failed, 2);
	assert_int_equal(lifecycle_rollback_target(&l), 1);
	return l;
}

static void assert_goes_back_from_2(struct lifecycle *l)
{
	take(l, (struct lifecycle_event){
			.kind = EVENT_COMMAND, .command = COMMAND_ROLLBACK, .generation = 1});
	assert_int_equal(l->leaves, 2);
	take(l, (struct lifecycle_event){.kind = EVENT_ACTS});
	struct lifecycle_action action =
		act_of(l, (struct lifecycle_event){.kind = EVENT_DEPLOYED}, ACTION_QUARANTINE);
	assert_int_equal(action.generation, 2);
	assert_int_equal(action.why, QUARANTINE_BY_PERSON);
	assert_int_equal(l->failed, 0);
}

static void a_rollback_after_a_stop_leaves_what_had_failed_before(void **state)
{
	const struct lifecycle_record stopped = {.wanted = {WANTED_DOWN, 1},
		.current = 1,
		.last_good = 1,
		.touched = true,
		.failed = 2};
	struct lifecycle l = stopped_after_a_failure();

	(void)state;
	assert_goes_back_from_2(&l);
	l = lifecycle_begin(&stopped);
	assert_int_equal(lifecycle_rollback_target(&l), 1);
	take(&l, (struct lifecycle_event){.kind = EVENT_RESUME});
	take(&l, (struct lifecycle_event){.kind = EVENT_RUNS_NOTHING});
	assert_goes_back_from_2(&l);
}

static void a_start_after_a_stop_quarantines_nothing(void **state)
{
	struct lifecycle l = stopped_after_a_failure();

	(void)state;
	take(&l, (struct lifecycle_event){.kind = EVENT_COMMAND, .command = COMMAND_START});
	take(&l, (struct lifecycle_event){.kind = EVENT_ACTS});
	const struct lifecycle_event deployed = {.kind = EVENT_DEPLOYED};
	struct lifecycle_actions actions = {.n = 0};
	lifecycle_step(&l, &deployed, &actions);
	for (size_t i = 0; i < actions.n; i++)
		assert_int_not_equal(actions.items[i].kind, ACTION_QUARANTINE);
	assert_int_equal(l.failed, 0);
}

static void what_is_deployed_after_a_stop_is_what_a_rollback_leaves(void **state)
{
	struct lifecycle l = stopped_after_a_failure();

	(void)state;
	take(&l, (struct lifecycle_event){.kind = EVENT_COMMAND, .command = COMMAND_DEPLOY});
	take(&l, (struct lifecycle_event){.kind = EVENT_BEGUN, .generation = 3});
	assert_int_equal(l.failed, 0);
	take(&l, (struct lifecycle_event){.kind = EVENT_ACTS});
	take(&l, (struct lifecycle_event){.kind = EVENT_FAILED});
	take(&l, (struct lifecycle_event){
			 .kind = EVENT_COMMAND, .command = COMMAND_ROLLBACK, .generation = 1});
	assert_int_equal(l.leaves, 3);
}

static void who_names_no_generation_goes_back_to_what_ran_before_what_fails(void **state)
{
	const struct lifecycle_record record = {
		.wanted = {WANTED_UP, 3}, .current = 3, .last_good = 2};
	struct lifecycle l = lifecycle_begin(&record);

	(void)state;
	l.actual = ACTUAL_WHOLE;
	l.runs = 3;
	assert_int_equal(lifecycle_rollback_target(&l), 2); // from one on probation
	l.proven = 3;
	assert_int_equal(lifecycle_rollback_target(&l), 0); // whatever else is kept
	l.touched = true;                                   // by one that failed
	l.actual = ACTUAL_PARTIAL;
	l.runs = 4;
	assert_int_equal(lifecycle_rollback_target(&l), 3);
	l = lifecycle_begin(&record);
	l.activity = ACTIVITY_DEPLOYING;
	l.command = COMMAND_DEPLOY;
	l.subject = 4;
	assert_int_equal(lifecycle_rollback_target(&l), 3); // from one that is not deployed yet
}

static void every_promise_holds_whatever_happens_in_whatever_order(void **state)
{
	enum { DEPLOY, ACT = 10, SUCCEED, SUCCEED_ON_PROBATION = 24 };
	static const unsigned seed[] = {
		DEPLOY, ACT, SUCCEED, DEPLOY, ACT, SUCCEED_ON_PROBATION, DEPLOY};

	(void)state;
	explore(explorer, NULL, 0, DEPTH);
	explore(explorer, seed, LM_ARRAY_SIZE(seed), DEPTH_ON_PROBATION);
	print_message("%zu states visited, to a depth of %d events\n", explorer->seen_n, DEPTH);
	assert_true(explorer->seen_n > 10000);
}

static int set_up(void **state)
{
	(void)state;
	explorer = lm_xcalloc(1, sizeof(*explorer));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(explorer->seen);
	free(explorer->frontier);
	free(explorer->next);
	free(explorer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_promise_holds_whatever_happens_in_whatever_order),
		cmocka_unit_test(the_table_in_the_documents_is_what_the_code_does),
		cmocka_unit_test(every_failure_is_transient_or_definite_by_what_failed),
		cmocka_unit_test(a_series_of_retries_publishes_its_first_and_its_last_failure),
		cmocka_unit_test(
			what_ran_before_runs_while_an_interrupted_deployment_is_tried_again),
		cmocka_unit_test(
			an_ordered_deployment_that_lacks_space_waits_for_it_and_a_later_command_replaces_it),
		cmocka_unit_test(a_first_deployment_that_is_abandoned_stays_away),
		cmocka_unit_test(what_was_left_running_goes_on_if_it_is_what_is_wanted),
		cmocka_unit_test(
			what_was_left_running_is_started_again_if_anything_else_is_on_record),
		cmocka_unit_test(what_was_left_running_on_probation_is_on_probation_again),
		cmocka_unit_test(a_rollback_that_is_cut_short_goes_on_as_it_was_ordered),
		cmocka_unit_test(a_rollback_after_a_stop_leaves_what_had_failed_before),
		cmocka_unit_test(a_start_after_a_stop_quarantines_nothing),
		cmocka_unit_test(what_is_deployed_after_a_stop_is_what_a_rollback_leaves),
		cmocka_unit_test(
			a_rollback_to_what_was_stopped_needs_nothing_but_what_this_device_has),
		cmocka_unit_test(who_names_no_generation_goes_back_to_what_ran_before_what_fails),
	};

	if (PLANTED) // it is the walk that has to find the fault
		cmocka_set_test_filter("every_promise*");
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
