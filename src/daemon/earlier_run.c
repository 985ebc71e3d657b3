// SPDX-License-Identifier: Apache-2.0
#include "daemon/earlier_run.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/answers.h"
#include "daemon/generation.h"
#include "sys/json.h"

struct lifecycle_record earlier_run_record(const struct earlier_run *e, unsigned left_running)
{
	const struct store_state *state = store_state(e->store);

	return (struct lifecycle_record){
		.wanted = state->wanted,
		.before = state->before,
		.current = state->current,
		.last_good = state->last_good,
		.touched = state->touched,
		.leaves = state->leaves, // of one that is done, too, if that was not noted
		.failed = state->failed,
		.left_running = left_running,
		.wanted_quarantined = quarantine_has(e->quarantine, state->wanted.generation, NULL),
		.before_quarantined = quarantine_has(e->quarantine, state->before.generation, NULL),
		.current_quarantined = quarantine_has(e->quarantine, state->current, NULL),
		.last_good_quarantined = quarantine_has(e->quarantine, state->last_good, NULL),
		.leaves_quarantined = quarantine_has(e->quarantine, state->leaves, NULL),
	};
}

/// Why the attempt that was cut short failed, and what becomes of the application; the caller's.
static char *describe_unrecorded(const struct earlier_run *e, const struct lifecycle *l, unsigned n)
{
	lm_auto_free char *reason = NULL;
	lm_auto_free char *clause = answers_describe_back(&l->wanted);

	if (quarantine_has(e->quarantine, n, &reason))
		return lm_xasprintf("%s; %s", reason, clause);
	return lm_xasprintf("the deployment of generation %u failed, and lightermand exited before "
			    "it could record why; see the connector log of that time",
		n);
}

/// What is wanted was saved, or what failed was quarantined, but the outcome of the attempt that
/// changed it was not recorded.
static void close_unrecorded(
	const struct earlier_run *e, struct outcomes *outcomes, const struct lifecycle *l)
{
	const struct store_state *state = store_state(e->store);
	unsigned n = state->open;
	struct lm_err err = {LM_OK};

	if (n == 0 || n == l->wanted.generation || n == l->good)
		return;
	lm_auto_free char *message = describe_unrecorded(e, l, n);
	if (outcomes_give_up_open(outcomes, message, &err))
		lm_error("%s; retrying with the next deployment", err.msg);
}

/// The same where a success was to be revoked.
static void revoke_unrecorded(
	const struct earlier_run *e, struct outcomes *outcomes, const struct lifecycle *l)
{
	const struct store_state *state = store_state(e->store);
	unsigned n = l->leaves;
	lm_auto_json json_t *outcome = generation_outcome(e->store, n);
	struct lm_err err = {LM_OK};

	if (n == 0 || state->open || state->current != n ||
		!quarantine_has(e->quarantine, n, NULL) ||
		!json_get_bool(outcome, "success", false))
		return;
	lm_auto_free char *message = describe_unrecorded(e, l, n);
	if (outcomes_revoke(outcomes, n, message, &err))
		lm_error("record that generation %u has failed in its probation: %s, ignoring", n,
			err.msg);
}

void earlier_run_close(
	const struct earlier_run *e, struct outcomes *outcomes, const struct lifecycle *l)
{
	close_unrecorded(e, outcomes, l);
	revoke_unrecorded(e, outcomes, l);
}

uint64_t earlier_run_probation_ms(const struct earlier_run *e, unsigned n)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (n == 0)
		return 0;
	if (generation_read(e->store, n, &group, &err) == LM_OK)
		return (uint64_t)group->connector.policy.probation_s * 1000;
	lm_error("%s; its probation ends at once", err.msg);
	return 0;
}
