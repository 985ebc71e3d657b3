// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/daemon_log.h"
#include "daemon/fallback.h"
#include "deploy/stages.h"

#include <string.h>

void attempt_finish(struct attempt *a)
{
	group_destroy(a->group);
	free(a->copy_sha256);
	free(a->copy_version);
	*a = (struct attempt){0};
}

static void fail_attempt(struct supervisor *s, const char *stage, const struct lm_err *err)
{
	const struct job_result result = {
		.verdict = JOB_FAIL,
		.stage = stage,
		.error = err->rc == LM_E_INVALID ? "InvalidParameter" : "InternalError",
		.message = err->msg,
		.effect = deploy_effect_name(DEPLOY_UNTOUCHED),
	};

	ending_begin(s, &result);
}

/// From `up` on the compose file is at the destination.
static lm_rc note_copy(struct supervisor *s, struct lm_err *err)
{
	const struct attempt *a = &s->attempt;

	if (!a->copy_sha256)
		return LM_OK;
	lm_rc rc = store_note_copy(s->store, a->generation, a->copy_sha256, a->copy_version, err);
	return rc ? lm_wrap(err, "note the compose file of generation %u", a->generation) : LM_OK;
}

static lm_rc on_begin(void *ctx, const char *stage, struct lm_err *err)
{
	struct supervisor *s = ctx;
	lm_rc rc = strcmp(stage, deploy_stage_name(DEPLOY_UP)) == 0 ? note_copy(s, err) : LM_OK;

	return rc ? rc : store_journal(s->store, s->attempt.generation, stage, err);
}

static void on_copy(void *ctx, const char *sha256, const char *version)
{
	struct attempt *a = &((struct supervisor *)ctx)->attempt;

	free(a->copy_sha256);
	free(a->copy_version);
	a->copy_sha256 = lm_xstrdup(sha256);
	a->copy_version = lm_xstrdup(version);
}

static bool is_end_of_fetch(const json_t *line)
{
	return strcmp(json_get_text(line, "stage"), "fetch") == 0 &&
	       strcmp(json_get_text(line, "state"), "end") == 0;
}

static void on_progress(void *ctx, const json_t *line)
{
	struct supervisor *s = ctx;
	struct lm_err err = {LM_OK};

	if (is_end_of_fetch(line) && store_compose_keep(s->store, s->attempt.generation, &err))
		lm_error("keep the compose file of generation %u: %s", s->attempt.generation,
			err.msg);
	reporting_stage(s, line);
}

static void on_image(void *ctx, const char *ref, const char *digest)
{
	struct supervisor *s = ctx;
	struct lm_err err = {LM_OK};

	if (store_image(s->store, s->attempt.generation, lm_str(ref), lm_str(digest), &err))
		lm_warn("note the image of generation %u: %s, ignoring", s->attempt.generation,
			err.msg);
}

static void drop_cancelled(struct supervisor *s, const char *why)
{
	unsigned generation = s->attempt.generation;
	json_t *last = control_last_line(1, why);

	s->counts.ended[METRICS_CANCELLED]++;
	// It stays the one under way: a later start takes it up, a newer deployment ends it.
	json_object_set_new(last, "generation", json_integer(generation));
	attempt_finish(&s->attempt);
	supervisor_changed(s);
	supervisor_answer(s, last);
	supervisor_next(s);
}

static void on_ended(void *ctx, const struct job_result *result)
{
	struct supervisor *s = ctx;
	lm_auto(job_destroy_p) struct job *job = supervisor_take_job(s); // has `result`
	const char *why = lm_take(s->why_cancelled);

	(void)job;
	if (why && result->verdict != JOB_SUCCESS)
		drop_cancelled(s, why);
	else
		ending_begin(s, result);
}

static lm_rc start_deployment(struct supervisor *s, struct lm_err *err)
{
	lm_auto_close int compose = -1;
	unsigned n = s->attempt.generation;
	lm_auto(fallback_finish) struct fallback fallback =
		fallback_find(s->store, &s->attempt.group->connector, n);
	const struct job_events events = {
		.begin = on_begin,
		.progress = on_progress,
		.image = on_image,
		.compose = supervisor_note_compose,
		.copy = on_copy,
		.text = reporting_text,
		.ended = on_ended,
		.ctx = s,
	};
	lm_rc rc = store_compose_open(s->store, n, fallback.is_start, &compose, err);

	return rc ? rc
		  : supervisor_start_job(s, "deploy", s->attempt.group, compose, fallback.document,
			    s->attempt.previous, &events, err);
}

/// The generation has an attempt under way in the store; runs it.
static void run(
	struct supervisor *s, unsigned n, unsigned previous, struct group *group, bool resumes)
{
	struct lm_err err = {LM_OK};

	json_decref(s->stages);
	s->stages = json_array();
	s->stage[0] = '\0';
	s->attempt = (struct attempt){
		.generation = n,
		.previous = previous,
		.resumes = resumes,
		.group = group,
		.started_ms = lm_clock_wall_ms(),
		.began_ms = lm_clock_mono_ms(),
	};
	lm_info("the deployment of generation %u begins: %s from bucket %s, connector version %u",
		n, group->connector.key, group->connector.bucket, group->connector.version);
	if (s->waiter.told) {
		lm_auto_json json_t *line = json_pack("{s:i}", "generation", (int)n);
		s->waiter.told(s->waiter.ctx, line, false);
	}
	supervisor_changed(s);
	reporting_own_stage(s, "validate", s->attempt.began_ms);
	if (start_deployment(s, &err)) {
		job_destroy(lm_take(s->job));
		fail_attempt(s, "prepare", &err);
	}
}

/// Before anything began: there is no generation to record it with.
static void refuse(struct supervisor *s, const struct lm_err *err)
{
	lm_error("the deployment cannot begin: %s", err->msg);
	s->counts.ended[METRICS_FAILED]++;
	supervisor_changed(s);
	supervisor_answer(s, control_last_line(1, err->msg));
}

/// What was interrupted, or cancelled, and is not to be taken up any more.
static lm_rc end_open(struct supervisor *s, struct lm_err *err)
{
	const struct store_state *state = store_state(s->store);
	const struct store_outcome outcome = {
		.stage = state->open_stage[0] ? state->open_stage : "validate",
		.error = "InternalError",
		.message = "superseded by a newer deployment",
		.ended_ms = lm_clock_wall_ms(),
	};

	if (state->open == 0)
		return LM_OK;
	return store_finish(s->store, state->open, &outcome, err);
}

static lm_rc begin_generation(struct supervisor *s, const struct group *group, bool reuse,
	unsigned *ret_n, struct lm_err *err)
{
	lm_auto_json json_t *json = group_to_json(group);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_rc rc = LM_OK;

	if (!json_write(json, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the group file is too large to be kept");
	if (store_state(s->store)->stopped)
		rc = store_set_stopped(s->store, false, err);
	if (rc == LM_OK && !reuse)
		rc = end_open(s, err);
	if (rc == LM_OK)
		rc = store_begin(s->store, lm_buf_str(&text), reuse, ret_n, err);
	if (rc != LM_E_CONFLICT)
		return rc;
	rc = end_open(s, err);
	return rc ? rc : store_begin(s->store, lm_buf_str(&text), reuse, ret_n, err);
}

void attempt_begin_deploy(struct supervisor *s, struct order *order)
{
	unsigned n = 0;
	struct lm_err err = {LM_OK};

	unsigned previous = takedown_previous(s, order->group);

	s->waiter = order->waiter;
	order->waiter = (struct supervisor_waiter){0};
	if (begin_generation(s, order->group, order->reuse, &n, &err))
		refuse(s, &err);
	else
		run(s, n, previous, lm_take(order->group), order->resumes);
}

unsigned attempt_find_generation(const struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	return state->open ? state->open : state->current ? state->current : state->newest;
}

void attempt_begin_start(struct supervisor *s, struct order *order)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};
	unsigned n = attempt_find_generation(s);
	unsigned previous = 0;

	s->waiter = order->waiter;
	order->waiter = (struct supervisor_waiter){0};
	lm_rc rc = n ? supervisor_read_group(s, n, &group, &err)
		     : lm_fail(&err, LM_E_NOT_FOUND, 0,
			       "nothing was deployed yet: use 'lighterman deploy FILE'");
	if (rc == LM_OK && store_state(s->store)->stopped)
		rc = store_set_stopped(s->store, false, &err);
	if (rc == LM_OK) {
		previous = takedown_previous(s, group);
		rc = store_rerun(s->store, n, &err);
	}
	if (rc) {
		refuse(s, &err);
		return;
	}
	daemon_log_apply(group);
	run(s, n, previous, lm_take(group), order->resumes);
}
