// SPDX-License-Identifier: Apache-2.0
#include "worker/settle.h"

#include "worker/work_priv.h"

enum { POLL_MS = 500, WHY_MAX = 700 };

static bool is_state(const struct engine_container *c, const char *state)
{
	return strcmp(c->state, state) == 0;
}

/// What has failed for good, with the sentence; anything else is not judged here.
static bool has_failed(const struct engine_container *c, struct lm_buf *why)
{
	if (is_state(c, "dead"))
		(void)lm_buf_printf(why, "container %s is dead", c->name);
	else if (is_state(c, "exited") && c->exit_code != 0)
		(void)lm_buf_printf(
			why, "container %s has ended with exit code %d", c->name, c->exit_code);
	else if (is_state(c, "running") && c->health == ENGINE_UNHEALTHY)
		(void)lm_buf_printf(why, "container %s is unhealthy", c->name);
	else
		return false;
	return true;
}

static bool is_ready(const struct engine_container *c)
{
	if (is_state(c, "running"))
		return c->health == ENGINE_HEALTH_NONE || c->health == ENGINE_HEALTHY;
	return is_state(c, "exited");
}

enum settle_verdict settle_judge(const struct engine_containers *list, struct lm_buf *why)
{
	enum settle_verdict verdict = SETTLE_READY;

	for (size_t i = 0; i < list->n; i++)
		if (!list->items[i].oneoff && has_failed(&list->items[i], why))
			return SETTLE_FAILED;
	for (size_t i = 0; i < list->n; i++) {
		const struct engine_container *c = &list->items[i];

		if (c->oneoff || is_ready(c))
			continue;
		(void)lm_buf_printf(why, "%s%s (%s)", verdict == SETTLE_WAIT ? ", " : "", c->name,
			is_state(c, "running") ? "health: starting" : c->state);
		verdict = SETTLE_WAIT;
	}
	return verdict;
}

/// The verdict of now; its reasons replace those in `why`.
static lm_rc look(const struct work *w, const struct wait_limit *limit, struct lm_buf *why,
	enum settle_verdict *ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_rc rc = engine_list_containers(&w->engine, COMPOSE_PROJECT, limit, &list, err);

	if (rc)
		return rc;
	lm_buf_clear(why);
	*ret = settle_judge(&list, why);
	return LM_OK;
}

static lm_rc wait_settled(const struct work *w, struct lm_buf *why, struct lm_err *err)
{
	unsigned timeout_s = work_definition(w)->policy.health_timeout_s;
	struct wait_limit limit = wait_limit_within(&w->limit, (uint64_t)timeout_s * 1000);
	enum settle_verdict verdict = SETTLE_WAIT;

	for (;;) {
		lm_rc rc = look(w, &limit, why, &verdict, err);
		if (rc)
			return rc;
		if (verdict == SETTLE_FAILED)
			return lm_fail(err, LM_E_REFUSED, 0, "%s", lm_buf_cstr(why));
		if (verdict == SETTLE_READY)
			return LM_OK;
		rc = wait_ms(POLL_MS, &limit, err);
		if (rc)
			return rc;
	}
}

lm_rc settle_application(struct work *w, struct lm_err *err)
{
	lm_auto_buf struct lm_buf why = LM_BUF(WHY_MAX);
	lm_rc rc = wait_settled(w, &why, err);

	if (rc == LM_E_TIMEOUT && why.len > 0)
		return lm_fail(err, rc, 0, "not ready within %u s (HealthTimeoutSeconds): %s",
			work_definition(w)->policy.health_timeout_s, lm_buf_cstr(&why));
	return rc;
}
