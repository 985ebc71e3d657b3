// SPDX-License-Identifier: Apache-2.0
#include "worker/resolve.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "docker/compose_variables.h"
#include "docker/image_ref.h"
#include "docker/pull.h"
#include "worker/candidate.h"
#include "worker/context.h"
#include "worker/hints.h"
#include "worker/images.h"
#include "worker/login.h"

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	QUESTION_MAX = 1024,
};

static void note_unset(void *ctx, struct lm_str name)
{
	hints_note_unset(ctx, name);
}

/// Resolves `text`, a compose file that is to be read in the destination.
static lm_rc run_config(struct context *cx, struct lm_str text, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err)
{
	const struct project_directory dir = context_destination(cx);
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_rc rc = candidate_write(cx, &dir, text, &candidate, err);

	if (rc)
		return rc;
	struct compose_project job = candidate_compose_job(cx, &dir, cx->env, &candidate);
	job.on_unset = note_unset;
	job.ctx = cx;
	return compose_config(&job, limit, ret_config, err);
}

/// Runs docker-compose only if variables may be set.
static lm_rc read_variables(struct context *cx, const struct wait_limit *limit,
	struct compose_variables *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf question = LM_BUF(QUESTION_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);

	if (!compose_variables_may_be_set(
		    (const char *const *)cx->env, context_definition(cx)->destination)) {
		*ret = (struct compose_variables){
			.profiles = lm_xstrdup(""), .platform = lm_xstrdup("")};
		return LM_OK;
	}
	compose_variables_question(cx->compose.generation, &question);
	lm_rc rc = run_config(cx, lm_buf_str(&question), limit, &config, err);
	return rc ? rc : compose_variables_parse(lm_buf_str(&config), ret, err);
}

/// Which services `up` starts, and of which images they are.
static lm_rc choose_services(struct context *cx, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(compose_variables_finish) struct compose_variables variables = {0};
	lm_rc rc = read_variables(cx, limit, &variables, err);

	if (!rc)
		rc = compose_services_activate(
			&cx->services, cx->compose.generation, lm_str(variables.profiles), err);
	if (rc)
		return rc;
	if (*variables.platform)
		cx->default_platform = lm_take(variables.platform);
	const struct compose_images_options options = {.project = COMPOSE_PROJECT,
		.generation = cx->compose.generation,
		.default_platform = cx->default_platform};
	compose_images_make(&cx->services, &options, &cx->images);
	return LM_OK;
}

/// A start that falls back to another compose file resolves a second time.
static void forget_resolved(struct context *cx)
{
	compose_images_finish(&cx->images); // which borrow from what follows
	compose_services_finish(&cx->services);
	free(lm_take(cx->default_platform));
	lm_buf_clear(&cx->config);
	lm_buf_clear(&cx->unset);
}

/// docker-compose decides whether the file is valid; if it refuses a file in which we found an
/// error, our message says where.
static lm_rc resolve_text(struct context *cx, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_str text = lm_buf_str(&cx->text);
	struct lm_err own = {LM_OK};
	lm_rc own_rc = compose_file_check(text, cx->compose.generation, &own);
	lm_rc rc =
		own_rc == LM_E_TOO_LARGE ? own_rc : run_config(cx, text, limit, &cx->config, err);

	// It would keep docker-compose busy for hours.
	if (own_rc && (rc == LM_E_TOO_LARGE || rc == LM_E_REFUSED)) {
		*err = own;
		rc = LM_E_REFUSED;
	}
	// docker-compose refused the file that the definition names.
	if (rc == LM_E_REFUSED)
		err->rc = rc = LM_E_INVALID;
	return rc;
}

lm_rc resolve_compose_file(struct context *cx, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&cx->limit, CONFIG_MS);
	struct lm_str text = lm_buf_str(&cx->text);

	forget_resolved(cx);
	lm_rc rc = resolve_text(cx, &limit, err);

	if (!rc) {
		rc = compose_services_parse(lm_buf_str(&cx->config), &cx->services, err);
		if (rc == LM_E_INVALID)
			compose_file_explain_inactive(text, err);
	}
	if (!rc)
		rc = choose_services(cx, &limit, err);
	if (rc)
		rc = hints_explain(cx, HINTS_FILE, rc, err);
	else
		rc = hints_check_images(cx, err);
	return rc ? lm_wrap(err, "'%s'", context_definition(cx)->key) : LM_OK;
}
