// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "connector/status.h"
#include "deploy/stages.h"

#include <string.h>

enum {
	RECORD_AGAIN_MS = 1000,
	RECORD_AGAIN_MAX_MS = 60 * 1000,
	RESUME_AGAIN_MS = 15 * 1000,
	RESUME_AGAIN_MAX_MS = 10 * 60 * 1000,
};

void ending_finish(struct ending *e)
{
	free(e->stage);
	free(e->error);
	free(e->message);
	free(e->compose_version);
	free(e->effect);
	free(e->status);
	*e = (struct ending){0};
}

static char *copy(const char *text)
{
	return text ? lm_xstrdup(text) : NULL;
}

static bool has_done(const struct supervisor *s, const char *stage)
{
	size_t i;
	json_t *done;

	json_array_foreach(s->stages, i, done)
	{
		if (strcmp(json_get_text(done, "stage"), stage) == 0)
			return true;
	}
	return false;
}

/// Without a word from the worker: what it can have done by the stage that it had reached.
static enum deploy_effect guess_effect(const struct supervisor *s)
{
	if (has_done(s, "up"))
		return DEPLOY_STARTED;
	if (strcmp(s->stage, "up") == 0)
		return DEPLOY_STARTING;
	if (has_done(s, "down"))
		return DEPLOY_STOPPED;
	return strcmp(s->stage, "down") == 0 ? DEPLOY_STOPPING : DEPLOY_UNTOUCHED;
}

/// A success that cannot be one is a failure: nothing that a worker says is believed blindly.
static struct job_result check_result(const struct supervisor *s, const struct job_result *result)
{
	struct job_result checked = *result;

	if (result->verdict == JOB_SUCCESS && !has_done(s, "up"))
		checked = (struct job_result){.verdict = JOB_FAIL,
			.error = "InternalError",
			.message = "the worker reported success without having started the "
				   "application; are lightermand and lighterman-worker of the same "
				   "version?"};
	if (!checked.effect)
		checked.effect = deploy_effect_name(guess_effect(s));
	return checked;
}

/// A start that is tried again and again tells its failure once: a device that is offline for weeks
/// must not fill its outbox with it.
static char *make_status(const struct supervisor *s, bool success, const char *error,
	const char *message, const char *compose_version)
{
	const struct connector_definition *def = &s->attempt.group->connector;

	if (success)
		return status_success(def->bucket, def->key, compose_version);
	return s->attempt.resumes && s->resume_tries > 0 ? lm_xstrdup("")
							 : status_failure(error, message);
}

void ending_begin(struct supervisor *s, const struct job_result *told)
{
	const struct job_result checked = check_result(s, told), *result = &checked;
	bool success = result->verdict == JOB_SUCCESS;
	const char *message = result->message ? result->message : "it was told to stop";
	const char *error = result->error ? result->error : "InternalError";

	s->ending = (struct ending){
		.pending = true,
		.success = success,
		.untouched = deploy_effect_from_name(result->effect) == DEPLOY_UNTOUCHED,
		.stage = success ? NULL : copy(result->stage ? result->stage : s->stage),
		.error = success ? NULL : lm_xstrdup(error),
		.message = success ? NULL : lm_xstrdup(message),
		.compose_version = copy(result->compose_version),
		.effect = lm_xstrdup(result->effect),
		.status = make_status(s, success, error, message, result->compose_version),
		.ended_ms = lm_clock_wall_ms(),
	};
	if (ending_record(s))
		supervisor_next(s);
}

static json_t *last_line_of(const struct supervisor *s, uint64_t ms)
{
	const struct ending *e = &s->ending;
	json_t *last = control_last_line(e->success ? 0 : 1, e->message);

	json_object_set_new(last, "generation", json_integer(s->attempt.generation));
	json_object_set_new(last, "ms", json_integer((json_int_t)ms));
	json_object_set_new(last, "effect", json_string(e->effect));
	return last;
}

static void log_end(const struct supervisor *s, uint64_t ms)
{
	const struct ending *e = &s->ending;

	if (e->success)
		lm_info("generation %u is deployed, in %.1f s", s->attempt.generation,
			(double)ms / 1000);
	else
		lm_error("the deployment of generation %u failed in stage %s (%s): %s",
			s->attempt.generation, e->stage, e->error, e->message);
}

static void prune(struct supervisor *s)
{
	struct lm_err err = {LM_OK};
	unsigned keep = s->attempt.group->connector.policy.keep_generations;

	if (store_prune(s->store, keep ? keep : STORE_KEEP_DEFAULT, &err))
		lm_warn("%s, ignoring", err.msg);
}

/// What was interrupted could not be brought up, and what ran before is down since the machine
/// was: better the old application than none.
static bool fall_back(struct supervisor *s, unsigned failed)
{
	const struct store_state *state = store_state(s->store);

	if (state->current == 0 || state->current == failed)
		return false;
	lm_warn("going back to generation %u, which was deployed before", state->current);
	s->order = (struct order){.kind = ORDER_START, .resumes = true};
	return true;
}

/// The start of the application at our own start failed. A machine that boots before its network
/// is there has to come up all the same.
static void resume_later(struct supervisor *s, bool is_definitions_fault)
{
	uint64_t delay_ms;

	if (is_definitions_fault)
		return;
	delay_ms = RESUME_AGAIN_MS +
		   lm_backoff_ms(s->resume_tries++, RESUME_AGAIN_MS, RESUME_AGAIN_MAX_MS);
	lm_info("the start is tried again in %u s", (unsigned)(delay_ms / 1000));
	loop_timer_start(s->resume_again, delay_ms, 0);
}

static void count(struct supervisor *s, bool is_definitions_fault)
{
	if (s->ending.success)
		s->counts.last_success_ms = s->ending.ended_ms;
	s->counts.ended[s->ending.success      ? METRICS_SUCCESS
			: is_definitions_fault ? METRICS_INVALID
					       : METRICS_FAILED]++;
}

static void follow(struct supervisor *s)
{
	uint64_t ms = lm_clock_mono_ms() - s->attempt.began_ms;
	unsigned generation = s->attempt.generation;
	bool resumes = s->attempt.resumes && !s->ending.success && s->ending.untouched &&
		       s->order.kind == ORDER_NONE;
	bool is_definitions_fault =
		s->ending.error && strcmp(s->ending.error, "InvalidParameter") == 0;

	if (s->ending.success)
		s->resume_tries = 0;
	count(s, is_definitions_fault);
	log_end(s, ms);
	reporting_send(s);
	prune(s);
	json_t *last = last_line_of(s, ms);
	ending_finish(&s->ending);
	attempt_finish(&s->attempt);
	supervisor_changed(s);
	supervisor_answer(s, last);
	if (resumes && !fall_back(s, generation))
		resume_later(s, is_definitions_fault);
}

bool ending_record(struct supervisor *s)
{
	struct ending *e = &s->ending;
	uint64_t began_ms = lm_clock_mono_ms();
	struct lm_err err = {LM_OK};
	const struct store_outcome outcome = {
		.success = e->success,
		.stage = e->stage,
		.error = e->error,
		.message = e->message,
		.compose_version = e->compose_version,
		.started_ms = s->attempt.started_ms,
		.ended_ms = e->ended_ms,
		.status = lm_str(e->status),
	};

	if (store_finish(s->store, s->attempt.generation, &outcome, &err)) {
		if (e->tries == 0)
			lm_error("record the end of generation %u: %s, retrying",
				s->attempt.generation, err.msg);
		loop_timer_start(s->again,
			lm_backoff_ms(e->tries++, RECORD_AGAIN_MS, RECORD_AGAIN_MAX_MS) + 1, 0);
		return false;
	}
	if (e->success)
		reporting_own_stage(s, "commit", began_ms);
	follow(s);
	return true;
}
