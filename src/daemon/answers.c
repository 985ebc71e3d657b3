// SPDX-License-Identifier: Apache-2.0
#include "daemon/answers.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "daemon/control_server.h"
#include "deploy/stages.h"

#include <stdlib.h>

void answers_finish(struct answers *a)
{
	answers_forget_failure(a);
	answers_forget_rollback(a);
	free(lm_take(a->unsound));
}

void answers_forget_failure(struct answers *a)
{
	free(a->failure.error);
	free(a->failure.message);
	json_decref(a->failure.last_line);
	a->failure = (struct answers_failure){0};
}

void answers_note_failure(struct answers *a, const char *error, const char *message)
{
	answers_forget_failure(a);
	a->failure = (struct answers_failure){
		.error = lm_xstrdup(error),
		.message = lm_xstrdup(message),
		.last_line = control_last_line(1, message),
	};
}

void answers_note_unsound(struct answers *a, const char *message)
{
	answers_note_failure(a, "InternalError", message);
	free(a->unsound);
	a->unsound = lm_xstrdup(message);
}

void answers_note_outcome(struct answers *a, const struct outcome *o)
{
	const char *effect = deploy_effect_name(o->effect);

	if (o->cancelled)
		answers_note_failure(a, o->error, a->why_cancelled ? a->why_cancelled : o->message);
	else if (o->success)
		answers_note_failure(a, "", "");
	else
		answers_note_failure(a, o->error, o->message);
	if (o->success) {
		json_decref(a->failure.last_line);
		a->failure.last_line = control_last_line(0, NULL);
	}
	json_object_set_new(a->failure.last_line, "generation", json_integer(o->generation));
	if (o->cancelled)
		return;
	json_object_set_new(a->failure.last_line, "ms", json_integer((json_int_t)o->ms));
	json_object_set_new(a->failure.last_line, "effect", json_string(effect));
}

static const char *reason_text(enum lifecycle_reason reason, bool plans)
{
	static const char *const texts[] = {
		[REASON_NONE] = "",
		[REASON_DEPLOY] = "superseded by a newer deployment",
		[REASON_START] = "superseded by a start",
		[REASON_STOP] = "the application is to be stopped",
		[REASON_EXIT] = "lightermand is shutting down",
		[REASON_FORGOTTEN] = "the client has disconnected",
		[REASON_ROLLBACK] = "superseded by a rollback",
	};

	if (plans && reason != REASON_FORGOTTEN)
		return "cancelled by another command; try again when that has finished";
	return texts[reason];
}

void answers_note_cancel(struct answers *a, enum lifecycle_reason reason, bool plans)
{
	a->why_cancelled = reason_text(reason, plans);
}

char *answers_describe_back(const struct lifecycle_target *back)
{
	if (back->state == WANTED_DOWN)
		return lm_xstrdup("the application is stopped again");
	return lm_xasprintf("generation %u is started again", back->generation);
}

char *answers_note_rollback(
	struct answers *a, const char *message, const struct lifecycle_target *back)
{
	lm_auto_free char *clause = answers_describe_back(back);
	json_t *last_line = lm_take(a->failure.last_line);

	answers_forget_rollback(a);
	a->rolled_back = (struct answers_rollback){
		.message = lm_xstrdup(message), .last_line = last_line, .back = *back};
	return lm_xasprintf("%s; %s", message, clause);
}

char *answers_note_revocation(struct answers *a, const struct lifecycle_target *back)
{
	lm_auto_free char *clause = answers_describe_back(back);

	answers_forget_rollback(a);
	a->rolled_back.message = lm_xstrdup(a->failure.message);
	return lm_xasprintf("%s; %s", a->failure.message, clause);
}

void answers_forget_rollback(struct answers *a)
{
	free(a->rolled_back.message);
	json_decref(a->rolled_back.last_line);
	a->rolled_back = (struct answers_rollback){0};
}

/// Why a command has to come again later. The caller frees.
static char *busy_text(
	const struct lifecycle *l, enum lifecycle_command command, bool awaits_activation)
{
	if (command == COMMAND_START && l->activity == ACTIVITY_DEPLOYING && l->subject)
		return lm_xasprintf("generation %u is being deployed already", l->subject);
	if (command == COMMAND_START)
		return lm_xstrdup("a deployment is about to begin already");
	if (l->activity == ACTIVITY_PLANNING)
		return lm_xstrdup("another plan is being made; try again when it has finished");
	if (l->activity == ACTIVITY_STOPPING || l->activity == ACTIVITY_LOOKING)
		return lm_xstrdup(
			"the application is being stopped; try again when that has finished");
	if (l->activity == ACTIVITY_DEPLOYING && awaits_activation)
		return lm_xasprintf("generation %u waits for its activation ('lighterman status' "
				    "says for what); try again when it is deployed",
			l->subject);
	if (l->activity == ACTIVITY_DEPLOYING && l->subject)
		return lm_xasprintf(
			"generation %u is being deployed; try again when it has finished",
			l->subject);
	return lm_xstrdup("another command is about to begin; try again when it has finished");
}

/// Of what was just done.
static json_t *take_last_line(struct answers *a)
{
	json_t *last = lm_take(a->failure.last_line);

	return last ? last : control_last_line(0, NULL);
}

/// Of a deployment that failed and was rolled back, or was to be.
static json_t *rollback_line(struct answers *a, bool is_done, bool retries)
{
	const struct answers_rollback *r = &a->rolled_back;
	bool is_down = r->back.state == WANTED_DOWN;
	const char *why = a->failure.message ? a->failure.message : "lightermand is shutting down";
	json_t *last = r->last_line ? json_incref(r->last_line) : control_last_line(1, NULL);
	lm_auto_free char *what =
		is_down ? lm_xstrdup(is_done ? "the application is stopped again"
					     : "the application could not be stopped again")
			: lm_xasprintf("generation %u %s again", r->back.generation,
				  is_done ? "runs" : "could not be started");
	lm_auto_free char *text = lm_xasprintf("%s; %s%s%s%s",
		r->message ? r->message : "it failed", what, is_done ? "" : ": ",
		is_done ? "" : why, !is_done && retries ? ", retrying" : "");

	json_object_set_new(last, "message", json_string(text));
	json_object_del(last, "effect"); // what is so now is in the message
	json_decref(lm_take(a->rolled_back.last_line));
	return last;
}

json_t *answers_last_line(struct answers *a, const struct lifecycle *l,
	enum lifecycle_answer answer, enum lifecycle_command command, bool awaits_activation)
{
	lm_auto_free char *text = NULL;

	switch (answer) {
	case ANSWER_DONE:
		return command == COMMAND_STOP ? control_last_line(0, NULL) : take_last_line(a);
	case ANSWER_NOT_LASTING:
		return control_last_line(1,
			"the application is stopped, but that could not be recorded: a restart "
			"of lightermand would start it again; see 'lighterman logs'");
	case ANSWER_FAILED:
	case ANSWER_CANCELLED:
	case ANSWER_PLANNED:
		return take_last_line(a);
	case ANSWER_SUPERSEDED:
		return control_last_line(1, "superseded by a later command");
	case ANSWER_EXITING:
		return control_last_line(1, "lightermand is shutting down");
	case ANSWER_STOP_LATER:
		return control_last_line(
			1, "lightermand is shutting down: its next start stops the application");
	case ANSWER_BUSY:
		text = busy_text(l, command, awaits_activation);
		return control_last_line(1, text);
	case ANSWER_ROLLED_BACK:
	case ANSWER_NOT_ROLLED_BACK:
		return rollback_line(a, answer == ANSWER_ROLLED_BACK, l->waits);
	case ANSWER_NOTHING_DEPLOYED:
		break;
	}
	if (command == COMMAND_STOP)
		return control_last_line(0, "nothing was deployed yet");
	return control_last_line(1, "nothing was deployed yet: use 'lighterman deploy FILE'");
}
