// SPDX-License-Identifier: Apache-2.0
#include "daemon/generation.h"

#include "deploy/stages.h"

#include <stdlib.h>
#include <string.h>

lm_rc generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	lm_auto(faults_finish) struct definition_faults faults = {0};
	lm_auto_free char *text = NULL;
	struct lm_err why = {LM_OK};
	lm_rc rc = store_read_definition(s, n, &text, &why);

	if (rc == LM_OK)
		rc = definition_parse(lm_str(text), &faults, ret, &why);
	if (rc)
		return lm_fail(err, LM_E_SYS, why.sys, "the stored definition of generation %u: %s",
			n, why.msg);
	return LM_OK;
}

/// The interrupted attempt, if it is its compose file that lies at the destination; else 0.
static unsigned find_half_deployed(const struct store_state *state)
{
	enum deploy_stage stage = deploy_stage_from_name(state->open_stage);

	return state->open && stage != DEPLOY_STAGES && stage >= DEPLOY_UP ? state->open : 0;
}

lm_rc generation_to_take_down(
	struct store *s, unsigned *ret_n, struct group **ret, struct lm_err *err)
{
	const struct store_state *state = store_state(s);
	const unsigned candidates[] = {
		find_half_deployed(state), state->current, state->newest, state->wanted.generation};
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < LM_ARRAY_SIZE(candidates); i++) {
		struct lm_err later;

		if (candidates[i] == 0)
			continue;
		lm_rc one = generation_read(s, candidates[i], ret, rc ? &later : err);
		*ret_n = candidates[i];
		if (one == LM_OK)
			return LM_OK;
		rc = one;
	}
	return rc ? rc : lm_fail(err, LM_E_NOT_FOUND, 0, "nothing was deployed yet");
}

/// Whether a generation had another destination than `group` has.
static bool has_moved(struct store *s, unsigned n, const struct group *group)
{
	lm_auto(group_destroy_p) struct group *old = NULL;
	struct lm_err err;

	return generation_read(s, n, &old, &err) == LM_OK &&
	       strcmp(old->connector.destination, group->connector.destination) != 0;
}

unsigned generation_before(struct store *s, const struct group *group)
{
	const struct store_state *state = store_state(s);
	unsigned n = find_half_deployed(state);

	// An attempt that was to move the application and is made again: what it was to leave.
	if (n && !has_moved(s, n, group) && state->current)
		return state->current;
	return n ? n : state->current;
}

json_t *generation_outcome(struct store *s, unsigned n)
{
	lm_auto_free char *text = NULL;
	json_t *outcome = NULL;
	struct lm_err ignored; // there is none yet

	if (store_read_outcome(s, n, &text, &ignored) ||
		json_parse(lm_str(text), &outcome, &ignored))
		return NULL;
	return outcome;
}

json_t *generation_last_outcome(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	json_t *last = NULL;
	struct lm_err ignored;

	if (store_list(s, &numbers, &n, &ignored))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		json_t *outcome = generation_outcome(s, numbers[i]);
		bool later = outcome && (!last || json_get_int(outcome, "ended_ms", 0) >
							  json_get_int(last, "ended_ms", 0));

		if (later) {
			json_decref(last);
			last = json_incref(outcome);
		}
		json_decref(outcome);
	}
	return last;
}

int64_t generation_last_success_ms(struct store *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	int64_t last_ms = 0;
	struct lm_err ignored;

	if (store_list(s, &numbers, &n, &ignored))
		return 0;
	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *outcome = generation_outcome(s, numbers[i]);
		int64_t ended_ms = json_get_int(outcome, "ended_ms", 0);

		if (json_get_bool(outcome, "success", false) && ended_ms > last_ms)
			last_ms = ended_ms;
	}
	return last_ms;
}
