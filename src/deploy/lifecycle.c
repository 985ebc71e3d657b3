// SPDX-License-Identifier: Apache-2.0
#include "deploy/lifecycle.h"

#include "base/cleanup.h"

#include <assert.h>

static void act(struct lifecycle_actions *actions, struct lifecycle_action action)
{
	assert(actions->n < LIFECYCLE_ACTIONS_MAX);
	actions->items[actions->n++] = action;
}

static void answer_client(
	struct lifecycle_actions *actions, unsigned client, enum lifecycle_answer text)
{
	if (client)
		act(actions, (struct lifecycle_action){
				     .kind = ACTION_ANSWER, .client = client, .answer = text});
}

static void answer_present(
	struct lifecycle *l, struct lifecycle_actions *actions, enum lifecycle_answer text)
{
	bool is_done = text == ANSWER_DONE || text == ANSWER_NOT_LASTING;

	if (l->rolled_back)
		text = is_done ? ANSWER_ROLLED_BACK : ANSWER_NOT_ROLLED_BACK;
	answer_client(actions, l->client, text);
	l->client = 0;
	l->rolled_back = false;
}

static void answer_next(
	struct lifecycle *l, struct lifecycle_actions *actions, enum lifecycle_answer text)
{
	answer_client(actions, l->next_client, text);
	l->next = COMMAND_NONE;
	l->next_client = 0;
	l->next_own = false;
	l->next_generation = 0;
	l->next_quarantined = false;
}

/// The start that waits behind a stop is not carried out.
static void answer_start(
	struct lifecycle *l, struct lifecycle_actions *actions, enum lifecycle_answer text)
{
	answer_client(actions, l->start_client, text);
	l->start_waits = false;
	l->start_client = 0;
}

static bool is_same_target(struct lifecycle_target a, struct lifecycle_target b)
{
	return a.state == b.state && a.generation == b.generation;
}

/// Sets what is wanted.
static void set_wanted(struct lifecycle *l, enum lifecycle_wanted state, unsigned n,
	struct lifecycle_actions *actions)
{
	const struct lifecycle_target target = {state, n};

	l->given_up = false;
	if (is_same_target(l->wanted, target) && !l->unsaved)
		return;
	if (l->wanted.generation != n)
		l->before = (struct lifecycle_target){0};
	l->wanted = target;
	l->unsaved = true; // until EVENT_SAVED
	act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
}

static void stop_timer(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (l->waits)
		act(actions, (struct lifecycle_action){.kind = ACTION_STOP_TIMER});
	l->waits = false;
	l->retry_due = false;
}

/// A failure that is not the last of its series.
static void retry(struct lifecycle *l)
{
	if (!l->retry_due) // else what was to run meanwhile could not begin either
		l->tries++;
	l->retry_due = true;
	l->lacks_space = false;
}

static bool has_ended_series(const struct lifecycle *l)
{
	return l->tries == 0;
}

/// Something is under way that reports its end.
static bool is_busy(const struct lifecycle *l)
{
	switch (l->activity) {
	case ACTIVITY_LOOKING:
	case ACTIVITY_PLANNING:
	case ACTIVITY_DEPLOYING:
	case ACTIVITY_CANCELLING:
	case ACTIVITY_STOPPING:
		return true;
	default:
		return false;
	}
}

bool lifecycle_is_fulfilled(const struct lifecycle *l)
{
	switch (l->wanted.state) {
	case WANTED_UP:
		return l->actual == ACTUAL_WHOLE && l->runs == l->wanted.generation && !l->damaged;
	case WANTED_DOWN:
		return l->actual == ACTUAL_NOTHING;
	case WANTED_NOTHING:
		break;
	}
	return true;
}

bool lifecycle_is_at_rest(const struct lifecycle *l)
{
	return (l->activity == ACTIVITY_IDLE || l->activity == ACTIVITY_RECORDING ||
		       l->activity == ACTIVITY_EXITED) &&
	       l->next == COMMAND_NONE && !l->start_waits && !l->waits && !l->retry_due &&
	       !l->restore_due;
}

static void set_actual(struct lifecycle *l, enum lifecycle_actual actual, unsigned generation)
{
	l->actual = actual;
	l->runs = generation;
	l->damaged = false;
}

/// What is wanted again if a deployment that is ordered now fails before it changes anything.
static struct lifecycle_target wanted_before(const struct lifecycle *l)
{
	if (l->wanted.state != WANTED_UP || l->wanted.generation == l->good)
		return l->wanted;
	if (!l->touched)
		return l->before;
	return (struct lifecycle_target){l->good ? WANTED_UP : WANTED_NOTHING, l->good};
}

/// What an attempt has changed outlives it.
static void save_touched(const struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (l->touched && l->wanted.state != WANTED_NOTHING)
		act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
}

static void begin_deploying(struct lifecycle *l, unsigned n, enum lifecycle_command command,
	bool own, struct lifecycle_actions *actions)
{
	bool is_back = n != 0 && l->goes_back && n == l->good;
	struct lifecycle_target before = {0};
	// After a stop nothing of what a person goes back from may be known any more.
	bool takes_place =
		command == COMMAND_ROLLBACK || (n != 0 && l->leaves && n == l->wanted.generation);

	if (n != 0) // the journal forgets what the attempt before has done
		save_touched(l, actions);
	else
		before = wanted_before(l);
	l->acted = false;
	l->activity = ACTIVITY_DEPLOYING;
	l->command = command;
	l->subject = n;
	l->own = own;
	act(actions, (struct lifecycle_action){.kind = ACTION_BEGIN,
			     .generation = n,
			     .own = own,
			     .restores = is_back || takes_place,
			     .keeps = is_back && !takes_place && l->actual != ACTUAL_PARTIAL &&
				      !l->touched,
			     .touched = l->touched,
			     .before = before});
}

static void begin_stopping(struct lifecycle *l, struct lifecycle_actions *actions)
{
	l->activity = ACTIVITY_STOPPING;
	l->command = COMMAND_STOP;
	act(actions, (struct lifecycle_action){.kind = ACTION_TAKE_DOWN});
}

static void begin_look(struct lifecycle *l, struct lifecycle_actions *actions)
{
	l->activity = ACTIVITY_LOOKING;
	act(actions, (struct lifecycle_action){.kind = ACTION_LOOK});
}

/// How a stop is answered, once nothing runs.
static enum lifecycle_answer stop_answer(const struct lifecycle *l)
{
	if (l->wanted.state == WANTED_NOTHING)
		return ANSWER_NOTHING_DEPLOYED;
	return l->unsaved ? ANSWER_NOT_LASTING : ANSWER_DONE;
}

/// The same for one that is not carried out any more.
static enum lifecycle_answer late_stop_answer(const struct lifecycle *l)
{
	if (l->actual == ACTUAL_NOTHING || l->wanted.state == WANTED_NOTHING)
		return stop_answer(l);
	return l->wanted.state == WANTED_DOWN ? ANSWER_STOP_LATER : ANSWER_EXITING;
}

/// Once the program is to exit. A stop that came before or meanwhile is carried out first.
static void proceed_to_exit(struct lifecycle *l, struct lifecycle_actions *actions)
{
	bool takes_down = (l->exit_takes_down || l->wanted.state == WANTED_DOWN) &&
			  l->wanted.state != WANTED_NOTHING && l->actual != ACTUAL_NOTHING;

	if (takes_down && !l->exit_tried) {
		l->exit_tried = true;
		if (l->next == COMMAND_STOP) {
			l->client = l->next_client;
			l->next_client = 0;
			l->next = COMMAND_NONE;
		}
		begin_stopping(l, actions);
		return;
	}
	answer_next(l, actions, l->next == COMMAND_STOP ? late_stop_answer(l) : ANSWER_EXITING);
	answer_start(l, actions, ANSWER_EXITING);
	stop_timer(l, actions);
	l->restore_due = false;
	l->activity = ACTIVITY_EXITED;
	act(actions, (struct lifecycle_action){.kind = ACTION_EXIT});
}

/// What a rollback to `n` takes the place of.
static unsigned find_left(const struct lifecycle *l, unsigned n)
{
	if (l->touched && l->runs && l->runs != n)
		return l->runs;
	if (l->failed && l->failed != n)
		return l->failed;
	if (l->wanted.generation != n)
		return l->wanted.generation;
	return l->good != n ? l->good : 0;
}

/// A person wants `n`, which was deployed with success once.
static void begin_rollback(
	struct lifecycle *l, unsigned n, bool quarantined, struct lifecycle_actions *actions)
{
	const struct lifecycle_target before = wanted_before(l);
	unsigned left = find_left(l, n);

	if (l->unquarantined == n)
		l->unquarantined = 0;
	act(actions, (struct lifecycle_action){.kind = ACTION_LIFT, .generation = n});
	l->lifted = quarantined;
	l->given_up = false;
	l->wanted = (struct lifecycle_target){WANTED_UP, n};
	l->before = before;
	if (is_same_target(before, l->wanted))
		l->before = (struct lifecycle_target){0};
	l->leaves = left;
	l->quarantines_left = left != 0;
	l->unsaved = true; // until EVENT_SAVED
	act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
	begin_deploying(l, n, COMMAND_ROLLBACK, false, actions);
}

static void begin_command(struct lifecycle *l, struct lifecycle_actions *actions)
{
	enum lifecycle_command command = l->next;
	unsigned generation = l->next_generation;
	bool own = l->next_own;
	bool quarantined = l->next_quarantined;

	l->client = l->next_client;
	l->next = l->start_waits ? COMMAND_START : COMMAND_NONE;
	l->next_client = l->start_client;
	l->next_own = l->start_waits = false;
	l->next_generation = 0;
	l->next_quarantined = false;
	l->start_client = 0;
	if (!own) {
		l->tries = 0;
		l->goes_back = false;
		l->restore_failed = false;
		l->restore_due = false;
		stop_timer(l, actions);
	}
	if (command == COMMAND_DEPLOY)
		begin_deploying(l, 0, command, own, actions);
	else if (command == COMMAND_START)
		begin_deploying(l, l->wanted.generation, command, own, actions);
	else if (command == COMMAND_ROLLBACK)
		begin_rollback(l, generation, quarantined, actions);
	else if (l->wanted.state == WANTED_NOTHING)
		answer_present(l, actions, ANSWER_NOTHING_DEPLOYED);
	else
		begin_stopping(l, actions);
}

/// The program's own command waits with its retry; one of a person does not.
static bool is_next_due(const struct lifecycle *l)
{
	return l->next != COMMAND_NONE && !(l->next_own && (l->retry_due || l->waits));
}

static void rest(struct lifecycle *l)
{
	bool owes = l->unsaved || l->unrecorded || l->unquarantined || l->unconfirmed;

	l->activity = owes ? ACTIVITY_RECORDING : ACTIVITY_IDLE;
}

/// Nothing is under way: what is next?
static void proceed(struct lifecycle *l, struct lifecycle_actions *actions)
{
	rest(l);
	if (l->exits) {
		proceed_to_exit(l, actions);
	} else if (is_next_due(l)) {
		begin_command(l, actions);
		if (!is_busy(l)) // answered at once
			proceed(l, actions);
	} else if (l->restore_due) {
		l->restore_due = false;
		l->goes_back = true;
		begin_deploying(l, l->good, COMMAND_NONE, true, actions);
	} else if (l->retry_due) {
		l->retry_due = false;
		l->waits = true;
		l->activity = ACTIVITY_WAITING;
		act(actions, (struct lifecycle_action){.kind = ACTION_SET_TIMER,
				     .tries = l->tries,
				     .awaits_space = l->lacks_space});
	} else if (l->waits) {
		l->activity = ACTIVITY_WAITING;
	} else if (l->given_up || lifecycle_is_fulfilled(l)) {
		return;
	} else if (l->wanted.state == WANTED_UP) {
		begin_deploying(l, l->wanted.generation, COMMAND_NONE, true, actions);
	} else if (l->actual == ACTUAL_UNKNOWN) {
		l->command = COMMAND_NONE;
		begin_look(l, actions);
	} else {
		begin_stopping(l, actions);
	}
}

static void begin_cancelling(
	struct lifecycle *l, enum lifecycle_reason reason, struct lifecycle_actions *actions)
{
	l->activity = ACTIVITY_CANCELLING;
	act(actions, (struct lifecycle_action){.kind = ACTION_CANCEL, .reason = reason});
}

/// A command takes the place of the one that waits, and the way of what gives way to it.
static void put_next(struct lifecycle *l, const struct lifecycle_event *event,
	enum lifecycle_reason reason, struct lifecycle_actions *actions)
{
	answer_next(l, actions, ANSWER_SUPERSEDED);
	answer_start(l, actions, ANSWER_SUPERSEDED);
	l->next = event->command;
	l->next_client = event->client;
	l->next_own = event->own;
	l->next_generation = event->generation;
	l->next_quarantined = event->quarantined;
	if (l->activity == ACTIVITY_PLANNING || l->activity == ACTIVITY_DEPLOYING)
		begin_cancelling(l, reason, actions);
	else if (!is_busy(l))
		proceed(l, actions);
}

static void step_plan(struct lifecycle *l, unsigned client, struct lifecycle_actions *actions)
{
	if (l->exits) {
		answer_client(actions, client, ANSWER_EXITING);
	} else if (is_busy(l) || l->next != COMMAND_NONE) {
		answer_client(actions, client, ANSWER_BUSY);
	} else {
		l->activity = ACTIVITY_PLANNING;
		l->command = COMMAND_PLAN;
		l->client = client;
		act(actions, (struct lifecycle_action){.kind = ACTION_PLAN});
	}
}

static void step_deploy(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	if (l->exits)
		answer_client(actions, event->client, ANSWER_EXITING);
	else
		put_next(l, event, REASON_DEPLOY, actions);
}

static void step_start(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	bool deploys = l->activity == ACTIVITY_DEPLOYING || l->next == COMMAND_START ||
		       (l->next == COMMAND_DEPLOY && !l->next_own) || l->start_waits;

	if (l->exits) {
		answer_client(actions, event->client, ANSWER_EXITING);
	} else if (deploys) {
		answer_client(actions, event->client, ANSWER_BUSY);
	} else if (l->wanted.state == WANTED_NOTHING) {
		answer_client(actions, event->client, ANSWER_NOTHING_DEPLOYED);
	} else if (l->next == COMMAND_STOP) {
		set_wanted(l, WANTED_UP, l->wanted.generation, actions);
		l->start_waits = true;
		l->start_client = event->client;
	} else {
		set_wanted(l, WANTED_UP, l->wanted.generation, actions);
		put_next(l, event, REASON_START, actions);
	}
}

/// Once it is down, it does not show any more what it was that failed. (What is still wanted, or
/// rolled back, is known anyway.)
static void note_failed(struct lifecycle *l)
{
	if (l->touched && l->runs && l->runs != l->wanted.generation && !l->leaves)
		l->failed = l->runs;
}

/// From now on the application shall be down, whatever becomes of the rest.
static void step_stop(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	bool has_begun = l->wanted.state != WANTED_NOTHING;
	bool begins = l->next == COMMAND_DEPLOY || l->activity == ACTIVITY_DEPLOYING ||
		      l->activity == ACTIVITY_CANCELLING;

	if (!has_begun && !begins) {
		answer_client(actions, event->client, ANSWER_NOTHING_DEPLOYED);
		return;
	}
	if (has_begun) {
		note_failed(l);
		set_wanted(l, WANTED_DOWN, l->wanted.generation, actions);
	}
	l->restore_due = false;
	if (l->activity == ACTIVITY_EXITED)
		answer_client(actions, event->client, late_stop_answer(l));
	else
		put_next(l, event, REASON_STOP, actions);
}

static void step_rollback(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	if (l->exits)
		answer_client(actions, event->client, ANSWER_EXITING);
	else if (l->wanted.state == WANTED_NOTHING)
		answer_client(actions, event->client, ANSWER_NOTHING_DEPLOYED);
	else
		put_next(l, event, REASON_ROLLBACK, actions);
}

static void step_command(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	switch (event->command) {
	case COMMAND_DEPLOY:
		step_deploy(l, event, actions);
		break;
	case COMMAND_START:
		step_start(l, event, actions);
		break;
	case COMMAND_STOP:
		step_stop(l, event, actions);
		break;
	case COMMAND_PLAN:
		step_plan(l, event->client, actions);
		break;
	case COMMAND_ROLLBACK:
		step_rollback(l, event, actions);
		break;
	case COMMAND_NONE:
		break;
	}
}

static void step_forget(struct lifecycle *l, unsigned client, struct lifecycle_actions *actions)
{
	if (client == 0)
		return;
	if (l->next_client == client)
		l->next_client = 0;
	if (l->start_client == client)
		l->start_client = 0;
	if (l->client != client)
		return;
	l->client = 0;
	if (l->activity == ACTIVITY_PLANNING)
		begin_cancelling(l, REASON_FORGOTTEN, actions);
}

static void step_exit_event(struct lifecycle *l, bool takes_down, struct lifecycle_actions *actions)
{
	if (l->exits)
		return;
	l->exits = true;
	l->exit_takes_down = takes_down;
	if (l->activity == ACTIVITY_PLANNING || l->activity == ACTIVITY_DEPLOYING)
		begin_cancelling(l, REASON_EXIT, actions);
	else if (!is_busy(l))
		proceed(l, actions);
}

static void step_begun(struct lifecycle *l, unsigned generation)
{
	bool is_new = l->command == COMMAND_DEPLOY && l->subject == 0;
	const struct lifecycle_target target = {WANTED_UP, generation};

	l->subject = generation;
	if (!is_new)
		return;
	l->given_up = false;
	l->restore_failed = false;
	if (is_same_target(l->wanted, target))
		return;
	l->leaves = l->failed = 0;
	l->quarantines_left = false;
	const struct lifecycle_target before = wanted_before(l);
	l->before = before;
	if (before.generation == generation)
		l->before = (struct lifecycle_target){0};
	l->wanted = target; // on record with the generation
	l->unsaved = false;
}

static void publish_failure(struct lifecycle_actions *actions)
{
	act(actions, (struct lifecycle_action){.kind = ACTION_PUBLISH});
}

static void record_failure(struct lifecycle *l, bool is_published, struct lifecycle_target back,
	struct lifecycle_actions *actions)
{
	l->unrecorded = true; // until EVENT_RECORDED
	act(actions, (struct lifecycle_action){.kind = ACTION_RECORD,
			     .generation = l->subject,
			     .publish = is_published,
			     .back = back});
}

static void record_success(struct lifecycle *l, bool probation, struct lifecycle_actions *actions)
{
	l->unrecorded = true; // until EVENT_RECORDED
	act(actions, (struct lifecycle_action){.kind = ACTION_RECORD,
			     .generation = l->subject,
			     .success = true,
			     .publish = true,
			     .probation = probation});
}

static void quarantine(struct lifecycle *l, unsigned n, enum lifecycle_quarantine why,
	struct lifecycle_actions *actions)
{
	l->unquarantined = n; // until EVENT_QUARANTINED
	act(actions,
		(struct lifecycle_action){.kind = ACTION_QUARANTINE, .generation = n, .why = why});
}

/// A person ordered what is deployed: a failure is answered, and it is not tried again.
static bool is_ordered(const struct lifecycle *l)
{
	return (l->command == COMMAND_DEPLOY && !l->own) || l->command == COMMAND_ROLLBACK;
}

/// What is wanted failed, and is not tried again: what was wanted before it, or ran before it, is
/// wanted again. If there is nothing, it stays what is wanted, until somebody does something.
static void go_back(struct lifecycle *l, struct lifecycle_actions *actions)
{
	struct lifecycle_target target = l->before;
	bool stays_down = target.state == WANTED_DOWN && is_ordered(l) && !l->acted;

	l->tries = 0;
	stop_timer(l, actions);
	if (target.state == WANTED_NOTHING || (l->touched && !stays_down))
		target = (struct lifecycle_target){l->good ? WANTED_UP : WANTED_NOTHING, l->good};
	if (target.state == WANTED_NOTHING || is_same_target(target, l->wanted)) {
		l->given_up = true;
		return;
	}
	set_wanted(l, target.state, target.generation, actions);
	l->goes_back = true;
}

/// What a rollback of `n` goes back to; 0: there is nothing.
static unsigned find_back(const struct lifecycle *l, unsigned n)
{
	if (l->good && l->good != n)
		return l->good;
	return l->proven != n ? l->proven : 0;
}

/// `n` has changed what runs, and failed: it is not tried again, and what ran before it is wanted
/// again, or, if nothing did as somebody had stopped it, nothing.
static void roll_back(struct lifecycle *l, unsigned n, struct lifecycle_actions *actions)
{
	unsigned back = find_back(l, n);
	bool was_down = l->wanted.generation == n && l->before.state == WANTED_DOWN;

	quarantine(l, n, QUARANTINE_FAILED, actions); // first: what is wanted is found to be
	l->tries = 0;
	stop_timer(l, actions);
	l->good = back;
	l->probation = l->unsound = false;
	l->touched = true;
	l->restore_failed = false;
	l->goes_back = true;
	if (l->wanted.generation == n) {
		set_wanted(l, was_down ? WANTED_DOWN : WANTED_UP, back, actions);
		l->leaves = n;
		l->quarantines_left = false;
	}
}

/// What was last deployed with success is to run until what is wanted does.
static void schedule_restore(struct lifecycle *l)
{
	if (l->good && !l->restore_failed && !(l->actual == ACTUAL_WHOLE && l->runs == l->good))
		l->restore_due = true;
}

/// Whether the failed attempt is to be rolled back: by its definition, and if it has changed what
/// runs, or an earlier attempt did and this is the last. Otherwise what is missing may come, and
/// what ran before can run meanwhile.
static bool is_rolled_back(const struct lifecycle *l, const struct lifecycle_event *event)
{
	bool is_last = event->failure == FAILURE_DEFINITE && l->touched && !is_ordered(l);

	return event->rolls_back && (l->acted || is_last) && find_back(l, l->subject) != 0;
}

/// Of an attempt of what is wanted, or of one that could not begin. Whether it is published.
static bool fail_own(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	bool is_first = has_ended_series(l);

	if (is_rolled_back(l, event)) {
		roll_back(l, l->subject, actions);
		return true;
	}
	if (event->failure == FAILURE_DEFINITE) {
		go_back(l, actions);
		return true;
	}
	retry(l);
	save_touched(l, actions);
	l->lacks_space = event->failure == FAILURE_NO_SPACE;
	// What a user has stopped comes up only when a user starts it.
	if (l->good != l->subject && (l->touched || l->before.state != WANTED_DOWN))
		schedule_restore(l);
	return is_first;
}

/// Nothing has come of a rollback by a person.
static void forget_rollback(struct lifecycle *l, struct lifecycle_actions *actions)
{
	l->leaves = 0;
	l->quarantines_left = false;
	if (l->lifted)
		quarantine(l, l->subject, QUARANTINE_AS_BEFORE, actions);
	l->lifted = false;
}

/// Of a deployment that a person ordered: not tried again, unless it only lacks space.
static bool fail_ordered(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	if (is_rolled_back(l, event)) {
		roll_back(l, l->subject, actions);
		return true;
	}
	if (event->failure == FAILURE_NO_SPACE && l->command == COMMAND_DEPLOY && !l->acted)
		return fail_own(l, event, actions);
	if (l->command == COMMAND_ROLLBACK && !l->acted)
		forget_rollback(l, actions);
	go_back(l, actions);
	// What it has changed stays as it is: going back is for those who ask for it.
	if (l->acted)
		l->given_up = true;
	return true;
}

/// `good`, which was to run until what is wanted does.
static bool fail_restore(struct lifecycle *l, enum lifecycle_failure failure)
{
	bool is_first = !l->restore_failed;

	l->restore_failed = failure == FAILURE_DEFINITE;
	return is_first && failure == FAILURE_DEFINITE;
}

/// Whether the failure is to be published.
static bool fail_wanted(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	if (l->wanted.state != WANTED_UP || l->subject != l->wanted.generation)
		return fail_restore(l, event->failure);
	return is_ordered(l) ? fail_ordered(l, event, actions) : fail_own(l, event, actions);
}

/// It has stopped what ran, without having acted: that is to run again.
static void note_stopped(struct lifecycle *l, const struct lifecycle_event *event)
{
	if (event->stopped && l->actual != ACTUAL_PARTIAL)
		set_actual(l, ACTUAL_UNKNOWN, 0);
}

/// What was abandoned is given up, as there is nothing to go back to. The next start must not bring
/// it up either: it stays down, or what has failed before it and is half there is wanted again.
static void stay_away(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (!l->touched) {
		set_wanted(l, WANTED_DOWN, l->subject, actions);
	} else if (l->runs && l->runs != l->subject) {
		set_wanted(l, WANTED_UP, l->runs, actions);
		l->given_up = true;
	}
}

static void end_deployment_failed(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	unsigned failed = l->subject;
	// What is wanted now is saved first: killed between the two, the attempt is found open.
	bool is_published = fail_wanted(l, event, actions);
	if (event->abandoned && l->given_up && !l->good && l->wanted.generation == failed)
		stay_away(l, actions);
	bool is_back = l->leaves == failed;

	record_failure(
		l, is_published, is_back ? l->wanted : (struct lifecycle_target){0}, actions);
	if (is_back && l->client)
		l->rolled_back = true; // the answer is what becomes of that
	else
		answer_present(l, actions, ANSWER_FAILED);
	proceed(l, actions);
}

static void step_stop_failed(struct lifecycle *l, struct lifecycle_actions *actions)
{
	set_actual(l, ACTUAL_UNKNOWN, 0);
	if (has_ended_series(l) || l->wanted.state != WANTED_DOWN || l->exits)
		publish_failure(actions);
	answer_present(l, actions, ANSWER_FAILED);
	if (l->wanted.state == WANTED_DOWN)
		retry(l);
	proceed(l, actions);
}

static void step_deployment_not_begun(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	bool is_published = true;

	if (l->command == COMMAND_DEPLOY && l->own && event->failure == FAILURE_TRANSIENT) {
		// What it brought waits for the next try.
		is_published = has_ended_series(l);
		retry(l);
		if (l->next == COMMAND_NONE) {
			l->next = COMMAND_DEPLOY;
			l->next_own = true;
		}
		schedule_restore(l);
	} else if (l->command != COMMAND_DEPLOY) {
		is_published = fail_wanted(l, event, actions);
	} else if (!l->own && l->wanted.state == WANTED_UP && l->wanted.generation != l->good) {
		// It was to replace one that was given up for it.
		go_back(l, actions);
	}
	if (is_published)
		publish_failure(actions);
	answer_present(l, actions, ANSWER_FAILED);
	proceed(l, actions);
}

static void step_not_begun(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	if (l->command == COMMAND_PLAN) {
		answer_present(l, actions, ANSWER_FAILED);
		proceed(l, actions);
	} else if (l->activity == ACTIVITY_STOPPING) {
		step_stop_failed(l, actions);
	} else {
		step_deployment_not_begun(l, event, actions);
	}
}

static void step_acts(struct lifecycle *l)
{
	set_actual(l, ACTUAL_PARTIAL, l->subject);
	l->acted = true;
	l->touched = true;
}

/// A person has gone back from what `leaves` is.
static void quarantine_left(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (!l->leaves || !l->quarantines_left || l->leaves == l->subject)
		return;
	quarantine(l, l->leaves, QUARANTINE_BY_PERSON, actions);
	if (l->proven == l->leaves) // while what is wanted is on probation there is none
		l->proven = 0;
}

static void step_deployed(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	unsigned n = l->subject;
	bool is_noted = l->leaves || l->failed || l->touched; // with what is wanted

	set_actual(l, ACTUAL_WHOLE, n);
	l->touched = false;
	l->probation = event->probation && n != l->proven;
	l->unsound = false;
	l->good = n;
	if (!l->probation)
		l->proven = n;
	l->goes_back = false;
	l->restore_failed = false;
	l->lifted = false;
	if (n == l->wanted.generation) {
		l->tries = 0;
		stop_timer(l, actions);
		l->before = (struct lifecycle_target){0};
		quarantine_left(l, actions);
	}
	record_success(l, l->probation, actions);
	l->leaves = l->failed = 0;
	l->quarantines_left = false;
	if (is_noted && l->wanted.state != WANTED_NOTHING)
		act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
	answer_present(l, actions, ANSWER_DONE);
	proceed(l, actions);
}

unsigned lifecycle_on_probation(const struct lifecycle *l)
{
	bool runs = l->actual == ACTUAL_WHOLE && l->runs == l->good;

	return l->probation && runs ? l->good : 0;
}

unsigned lifecycle_rollback_target(const struct lifecycle *l)
{
	bool deploys = l->activity == ACTIVITY_DEPLOYING || l->activity == ACTIVITY_CANCELLING;

	// Something else has taken its place, or was to.
	if (l->wanted.generation != l->good || (l->touched && l->runs != l->good) || l->failed ||
		(deploys && l->command != COMMAND_PLAN && l->subject != l->good))
		return l->good;
	return l->proven != l->good ? l->proven : 0;
}

static void step_proven(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (!lifecycle_on_probation(l))
		return;
	l->proven = l->good;
	l->probation = l->unsound = false;
	l->unconfirmed = true; // until EVENT_CONFIRMED
	act(actions, (struct lifecycle_action){.kind = ACTION_CONFIRM, .generation = l->good});
}

static void step_unsound(struct lifecycle *l, struct lifecycle_actions *actions)
{
	unsigned n = lifecycle_on_probation(l);

	if (!n || is_busy(l) || l->exits)
		return;
	if (find_back(l, n)) {
		roll_back(l, n, actions);
		if (l->wanted.generation != l->good) // of what runs until that does
			schedule_restore(l);
		act(actions, (struct lifecycle_action){.kind = ACTION_REVOKE,
				     .generation = n,
				     .back = {WANTED_UP, l->good}});
		proceed(l, actions);
	} else if (!l->unsound) {
		l->unsound = true; // it stays, as there is nothing else
		publish_failure(actions);
	}
}

static void step_looked(
	struct lifecycle *l, enum lifecycle_event_kind kind, struct lifecycle_actions *actions)
{
	bool after_stop = l->command == COMMAND_STOP;

	if (l->activity != ACTIVITY_LOOKING)
		return;
	if (kind == EVENT_RUNS_NOTHING) {
		set_actual(l, ACTUAL_NOTHING, 0);
		l->touched = false;
		l->tries = 0;
		answer_present(l, actions, stop_answer(l));
		proceed(l, actions);
	} else if (after_stop) {
		step_stop_failed(l, actions);
	} else if (kind == EVENT_RUNS_SOMETHING) {
		set_actual(l, ACTUAL_PARTIAL, 0);
		proceed(l, actions);
	} else {
		if (has_ended_series(l))
			publish_failure(actions);
		retry(l);
		proceed(l, actions);
	}
}

/// What a restart policy brings up is not what is wanted.
static void step_engine_back(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (l->wanted.state == WANTED_NOTHING || l->activity == ACTIVITY_STOPPING)
		return;
	if (l->wanted.state == WANTED_DOWN || l->actual == ACTUAL_NOTHING)
		set_actual(l, ACTUAL_UNKNOWN, 0);
	if (l->wanted.state != WANTED_DOWN || is_busy(l) || l->exits)
		return;
	stop_timer(l, actions);
	proceed(l, actions);
}

/// It is deployed once more, as after a start of the program: tried again until that succeeds.
static void step_damaged(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (l->actual != ACTUAL_WHOLE || l->exits)
		return;
	l->damaged = true;
	if (!is_busy(l))
		proceed(l, actions);
}

/// Nothing is to be replaced: a try that waits is not needed any more.
static void step_sound(struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (!l->damaged)
		return;
	l->damaged = false;
	if (lifecycle_is_fulfilled(l)) {
		l->tries = 0;
		stop_timer(l, actions);
	}
	if (!is_busy(l) && !l->exits)
		proceed(l, actions);
}

static void step_timer(struct lifecycle *l, struct lifecycle_actions *actions)
{
	l->waits = false;
	if (l->activity == ACTIVITY_WAITING)
		proceed(l, actions);
}

static void step_debt(struct lifecycle *l, bool owes, struct lifecycle_actions *actions)
{
	if (owes)
		act(actions, (struct lifecycle_action){.kind = ACTION_SET_DEBT_TIMER});
	if (l->activity == ACTIVITY_RECORDING || l->activity == ACTIVITY_IDLE)
		rest(l);
}

static void step_debt_timer(const struct lifecycle *l, struct lifecycle_actions *actions)
{
	if (l->unquarantined)
		act(actions, (struct lifecycle_action){
				     .kind = ACTION_QUARANTINE, .generation = l->unquarantined});
	if (l->unrecorded)
		act(actions, (struct lifecycle_action){.kind = ACTION_RECORD_AGAIN});
	if (l->unconfirmed)
		act(actions,
			(struct lifecycle_action){.kind = ACTION_CONFIRM, .generation = l->proven});
	if (l->unsaved)
		act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
}

/// What was to be written down is, or the disk has refused it.
static void step_written(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	bool owes = false;

	switch (event->kind) {
	case EVENT_NOT_SAVED:
		owes = true;
		l->unsaved = true;
		break;
	case EVENT_SAVED:
		l->unsaved = false;
		break;
	case EVENT_NOT_RECORDED:
		owes = true;
		l->unrecorded = true;
		break;
	case EVENT_RECORDED:
		l->unrecorded = false;
		break;
	case EVENT_NOT_QUARANTINED:
	case EVENT_NOT_CONFIRMED:
		owes = true;
		break;
	case EVENT_QUARANTINED:
		l->unquarantined = 0;
		break;
	default: // EVENT_CONFIRMED
		l->unconfirmed = false;
		break;
	}
	step_debt(l, owes, actions);
}

/// The worker, or what was to become one, has ended or is about to act.
static void step_worker(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	switch (event->kind) {
	case EVENT_BEGUN:
		step_begun(l, event->generation);
		break;
	case EVENT_NOT_BEGUN:
		step_not_begun(l, event, actions);
		break;
	case EVENT_ACTS:
		step_acts(l);
		break;
	case EVENT_DEPLOYED:
		step_deployed(l, event, actions);
		break;
	case EVENT_FAILED:
		note_stopped(l, event);
		if (l->command == COMMAND_STOP)
			step_stop_failed(l, actions);
		else
			end_deployment_failed(l, event, actions);
		break;
	case EVENT_CANCELLED:
		note_stopped(l, event);
		save_touched(l, actions);
		answer_present(l, actions, ANSWER_CANCELLED);
		proceed(l, actions);
		break;
	case EVENT_TORN_DOWN:
		begin_look(l, actions); // whether that is so
		break;
	default: // EVENT_PLANNED
		answer_present(l, actions, ANSWER_PLANNED);
		proceed(l, actions);
		break;
	}
}

void lifecycle_step(
	struct lifecycle *l, const struct lifecycle_event *event, struct lifecycle_actions *actions)
{
	switch (event->kind) {
	case EVENT_RESUME:
		if (l->unsaved) // what was wanted was quarantined
			act(actions, (struct lifecycle_action){.kind = ACTION_SAVE});
		proceed(l, actions);
		break;
	case EVENT_COMMAND:
		step_command(l, event, actions);
		break;
	case EVENT_FORGET:
		step_forget(l, event->client, actions);
		break;
	case EVENT_EXIT:
		step_exit_event(l, event->takes_down, actions);
		break;
	case EVENT_RUNS_NOTHING:
	case EVENT_RUNS_SOMETHING:
	case EVENT_ENGINE_AWAY:
		step_looked(l, event->kind, actions);
		break;
	case EVENT_SOUND:
		step_sound(l, actions);
		break;
	case EVENT_DAMAGED:
		step_damaged(l, actions);
		break;
	case EVENT_ENGINE_BACK:
		step_engine_back(l, actions);
		break;
	case EVENT_TIMER:
		step_timer(l, actions);
		break;
	case EVENT_DEBT_TIMER:
		step_debt_timer(l, actions);
		break;
	case EVENT_PROVEN:
		step_proven(l, actions);
		break;
	case EVENT_UNSOUND:
		step_unsound(l, actions);
		break;
	default:
		if (event->kind >= EVENT_SAVED)
			step_written(l, event, actions);
		else
			step_worker(l, event, actions);
		break;
	}
}

/// What was left running goes on, as if the program had not been away, if it is what is wanted.
static void take_over(struct lifecycle *l, unsigned n)
{
	bool is_wanted = l->wanted.state == WANTED_UP && l->wanted.generation == n && l->good == n;

	if (n == 0 || !is_wanted || l->touched || l->leaves)
		return;
	set_actual(l, ACTUAL_WHOLE, n);
	l->probation = l->proven != n;
}

struct lifecycle lifecycle_begin(const struct lifecycle_record *record)
{
	unsigned last_good = record->last_good_quarantined ? 0 : record->last_good;
	unsigned good = record->current_quarantined ? last_good : record->current;
	bool is_half_changed = record->touched && record->wanted.state == WANTED_UP;
	bool has_before = good != record->wanted.generation && !record->before_quarantined;
	struct lifecycle l = {
		.wanted = record->wanted,
		.before = has_before ? record->before : (struct lifecycle_target){0},
		.good = good,
		.proven = last_good,
		.leaves = record->leaves,
		.failed = record->failed,
		.quarantines_left = record->leaves && !record->leaves_quarantined,
		.touched = record->touched,
		.actual = record->wanted.state == WANTED_NOTHING ? ACTUAL_NOTHING
			  : is_half_changed                      ? ACTUAL_PARTIAL
								 : ACTUAL_UNKNOWN,
	};

	// A rollback was cut short before what is wanted was saved.
	if (record->wanted_quarantined && good && good != record->wanted.generation) {
		l.leaves = record->wanted.generation;
		l.quarantines_left = false;
		l.before = (struct lifecycle_target){0};
		l.wanted.generation = good;
		l.unsaved = true;
		l.touched = l.wanted.state == WANTED_UP;
		l.actual = l.touched ? ACTUAL_PARTIAL : ACTUAL_UNKNOWN;
	}
	take_over(&l, record->left_running);
	return l;
}

enum lifecycle_failure lifecycle_failure_of(lm_rc rc)
{
	static const enum lifecycle_failure table[] = {
		[LM_OK] = FAILURE_TRANSIENT,
		[LM_E_SYS] =
			FAILURE_TRANSIENT, // the disk is full, the kernel has no more of something
		[LM_E_INVALID] = FAILURE_DEFINITE,   // what a person wrote
		[LM_E_NOT_FOUND] = FAILURE_DEFINITE, // what a person named
		[LM_E_DENIED] = FAILURE_TRANSIENT,   // a role not yet attached, a clock not yet set
		[LM_E_TOO_LARGE] = FAILURE_DEFINITE, // what a person wrote
		[LM_E_TIMEOUT] = FAILURE_TRANSIENT,  // the network, a slow start
		[LM_E_NETWORK] = FAILURE_TRANSIENT,  // the network, the engine
		[LM_E_PROTOCOL] = FAILURE_TRANSIENT, // a captive portal, a proxy
		[LM_E_REFUSED] =
			FAILURE_TRANSIENT, // a service that is not well, a container that ends
		[LM_E_CONFLICT] = FAILURE_TRANSIENT,  // a port that is still taken
		[LM_E_CANCELLED] = FAILURE_TRANSIENT, // somebody ended the worker
	};

	return (size_t)rc < LM_ARRAY_SIZE(table) ? table[rc] : FAILURE_TRANSIENT;
}

const char *lifecycle_activity_name(enum lifecycle_activity activity)
{
	static const char *const names[ACTIVITY_COUNT] = {
		[ACTIVITY_IDLE] = "idle",
		[ACTIVITY_LOOKING] = "looking",
		[ACTIVITY_PLANNING] = "planning",
		[ACTIVITY_DEPLOYING] = "deploying",
		[ACTIVITY_CANCELLING] = "cancelling",
		[ACTIVITY_STOPPING] = "stopping",
		[ACTIVITY_WAITING] = "waiting",
		[ACTIVITY_RECORDING] = "recording",
		[ACTIVITY_EXITED] = "exited",
	};

	return names[activity];
}

const char *lifecycle_actual_name(enum lifecycle_actual actual)
{
	static const char *const names[ACTUAL_COUNT] = {
		[ACTUAL_UNKNOWN] = "unknown",
		[ACTUAL_NOTHING] = "nothing",
		[ACTUAL_WHOLE] = "whole",
		[ACTUAL_PARTIAL] = "partial",
	};

	return names[actual];
}

const char *lifecycle_wanted_name(enum lifecycle_wanted wanted)
{
	static const char *const names[] = {
		[WANTED_NOTHING] = "nothing", [WANTED_UP] = "up", [WANTED_DOWN] = "down"};

	return names[wanted];
}

const char *lifecycle_event_name(enum lifecycle_event_kind kind)
{
	static const char *const names[EVENT_KINDS] = {
		[EVENT_RESUME] = "resume",
		[EVENT_COMMAND] = "command",
		[EVENT_FORGET] = "forget",
		[EVENT_EXIT] = "exit",
		[EVENT_BEGUN] = "begun",
		[EVENT_NOT_BEGUN] = "not begun",
		[EVENT_ACTS] = "acts",
		[EVENT_DEPLOYED] = "deployed",
		[EVENT_FAILED] = "failed",
		[EVENT_CANCELLED] = "cancelled",
		[EVENT_TORN_DOWN] = "torn down",
		[EVENT_PLANNED] = "planned",
		[EVENT_RUNS_NOTHING] = "runs nothing",
		[EVENT_RUNS_SOMETHING] = "runs something",
		[EVENT_ENGINE_AWAY] = "engine away",
		[EVENT_DAMAGED] = "damaged",
		[EVENT_SOUND] = "sound",
		[EVENT_ENGINE_BACK] = "engine back",
		[EVENT_TIMER] = "timer",
		[EVENT_SAVED] = "saved",
		[EVENT_NOT_SAVED] = "not saved",
		[EVENT_RECORDED] = "recorded",
		[EVENT_NOT_RECORDED] = "not recorded",
		[EVENT_QUARANTINED] = "quarantined",
		[EVENT_NOT_QUARANTINED] = "not quarantined",
		[EVENT_CONFIRMED] = "confirmed",
		[EVENT_NOT_CONFIRMED] = "not confirmed",
		[EVENT_PROVEN] = "proven",
		[EVENT_UNSOUND] = "unsound",
		[EVENT_DEBT_TIMER] = "debt timer",
	};

	return names[kind];
}
