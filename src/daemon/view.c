// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor_priv.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>

/// Also of what has not begun yet: a worker of an earlier lightermand may have to exit first.
static bool is_deploying(const struct supervisor *s)
{
	return (s->job && !s->planning) || s->ending.pending || s->order.kind == ORDER_DEPLOY ||
	       s->order.kind == ORDER_START;
}

static const char *state_word(const struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	if (s->down_group || s->order.kind == ORDER_STOP)
		return "stopping";
	if (is_deploying(s))
		return "deploying";
	if (state->stopped && state->newest)
		return "stopped";
	if (state->current)
		return "running";
	return state->newest ? "failed" : "empty";
}

bool supervisor_is_stopped(const struct supervisor *s)
{
	return store_state(s->store)->stopped;
}

char *supervisor_describe(const struct supervisor *s)
{
	const struct store_state *state = store_state(s->store);

	if (s->down_group)
		return lm_xasprintf("taking down generation %u", s->down_generation);
	if (s->attempt.generation)
		return lm_xasprintf("deploying generation %u%s%s", s->attempt.generation,
			s->stage[0] ? ": " : "", s->stage);
	if (is_deploying(s))
		return lm_xstrdup("about to deploy");
	if (s->order.kind == ORDER_STOP)
		return lm_xstrdup("about to take down the application");
	if (state->stopped && state->newest)
		return lm_xstrdup("the application is stopped");
	if (state->current)
		return lm_xasprintf("generation %u is deployed", state->current);
	return lm_xstrdup(
		state->newest ? "the last deployment failed" : "nothing was deployed yet");
}

static json_t *job_to_json(const struct supervisor *s)
{
	if (!s->job)
		return json_null();
	const char *kind = s->planning ? "plan" : s->down_group ? "down" : "deploy";
	json_t *generation = s->planning ? json_null()
					 : json_integer(s->down_group ? s->down_generation
								      : s->attempt.generation);
	return json_pack("{s:s, s:o, s:s?, s:I}", "kind", kind, "generation", generation, "stage",
		s->stage[0] ? s->stage : NULL, "since_ms",
		(json_int_t)(s->stage[0] ? lm_clock_mono_ms() - s->stage_began_ms : 0));
}

/// The outcome of a generation's last attempt, or NULL; a new reference.
static json_t *read_outcome(struct supervisor *s, unsigned n)
{
	lm_auto_free char *text = NULL;
	json_t *outcome = NULL;
	struct lm_err ignored; // there is none yet

	if (store_read_outcome(s->store, n, &text, &ignored) ||
		json_parse(lm_str(text), &outcome, &ignored))
		return NULL;
	return outcome;
}

static json_t *member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return value ? json_incref(value) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *deployment_to_json(struct supervisor *s)
{
	unsigned n = store_state(s->store)->current;
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_json json_t *outcome = NULL;
	struct lm_err ignored; // what is there is shown

	if (n == 0 || supervisor_read_group(s, n, &group, &ignored))
		return json_null();
	const struct connector_definition *def = &group->connector;
	outcome = read_outcome(s, n);
	json_t *deployment = json_object();
	json_object_set_new(deployment, "generation", json_integer(n));
	json_object_set_new(deployment, "id", json_string(def->id));
	json_object_set_new(deployment, "connector_version", json_integer(def->version));
	json_object_set_new(deployment, "bucket", json_string(def->bucket));
	json_object_set_new(deployment, "key", json_string(def->key));
	json_object_set_new(deployment, "object_version", text_or_null(def->object_version));
	json_object_set_new(deployment, "compose_version", member(outcome, "compose_version"));
	json_object_set_new(deployment, "destination", json_string(def->destination));
	return deployment;
}

/// The outcome that was recorded last, of whichever generation; a new reference, or NULL.
static json_t *find_last_outcome(struct supervisor *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	json_t *last = NULL;
	struct lm_err ignored;

	if (store_list(s->store, &numbers, &n, &ignored))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		json_t *outcome = read_outcome(s, numbers[i]);
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

static json_t *last_deployment_to_json(struct supervisor *s)
{
	static const char *const members[] = {"generation", "attempt", "success", "stage", "error",
		"message", "compose_version", "started_ms", "ended_ms"};
	lm_auto_json json_t *outcome = find_last_outcome(s);

	if (!outcome)
		return json_null();
	json_t *last = json_object();
	for (size_t i = 0; i < LM_ARRAY_SIZE(members); i++)
		json_object_set_new(last, members[i], member(outcome, members[i]));
	// While another one runs, the stages known are that one's.
	bool known = s->stages && !s->attempt.generation;
	json_object_set_new(last, "stages", known ? json_deep_copy(s->stages) : json_array());
	return last;
}

json_t *supervisor_to_json(struct supervisor *s)
{
	json_t *status = json_object();

	json_object_set_new(status, "version", json_string(LM_VERSION));
	json_object_set_new(status, "state", json_string(state_word(s)));
	json_object_set_new(status, "job", job_to_json(s));
	json_object_set_new(status, "deployment", deployment_to_json(s));
	json_object_set_new(status, "last_deployment", last_deployment_to_json(s));
	return status;
}

int64_t view_last_success_ms(struct supervisor *s)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t n = 0;
	int64_t last_ms = 0;
	struct lm_err ignored;

	if (store_list(s->store, &numbers, &n, &ignored))
		return 0;
	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *outcome = read_outcome(s, numbers[i]);
		int64_t ended_ms = json_get_int(outcome, "ended_ms", 0);

		if (json_get_bool(outcome, "success", false) && ended_ms > last_ms)
			last_ms = ended_ms;
	}
	return last_ms;
}

struct metrics_deployments supervisor_measure(const struct supervisor *s)
{
	struct metrics_deployments measured = s->counts;

	measured.generation = store_state(s->store)->current;
	measured.stopped = store_state(s->store)->stopped;
	return measured;
}
