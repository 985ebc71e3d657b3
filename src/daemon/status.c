// SPDX-License-Identifier: Apache-2.0
#include "daemon/status.h"

#include "base/clock.h"
#include "base/memory.h"
#include "daemon/container_list.h"
#include "daemon/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool comes_next(const struct lifecycle *l, enum lifecycle_command command)
{
	return l->next == command;
}

static bool any_runs(const struct engine_containers *containers)
{
	for (size_t i = 0; containers && i < containers->n; i++) {
		const struct engine_container *c = &containers->items[i];

		if (c->service[0] && !c->oneoff && container_list_is_up(c))
			return true;
	}
	return false;
}

/// Of an application that shall be down.
static const char *down_word(const struct lifecycle *l, const struct engine_containers *containers)
{
	if (l->actual != ACTUAL_NOTHING)
		return "stopping";
	return any_runs(containers) ? "running" : "stopped"; // started from outside
}

static const char *state_word(const struct status *s, const struct engine_containers *containers)
{
	const struct lifecycle *l = s->lifecycle;

	if (l->activity == ACTIVITY_STOPPING || comes_next(l, COMMAND_STOP))
		return "stopping";
	if (l->activity == ACTIVITY_WAITING && l->wanted.state != WANTED_DOWN)
		return "waiting";
	if (l->activity == ACTIVITY_DEPLOYING && s->waits)
		return "waiting";
	if (l->activity == ACTIVITY_DEPLOYING || comes_next(l, COMMAND_DEPLOY) ||
		comes_next(l, COMMAND_START))
		return "deploying";
	if (l->wanted.state == WANTED_NOTHING)
		return "empty";
	if (l->wanted.state == WANTED_DOWN)
		return down_word(l, containers);
	if (l->exit_tried) // up again with the next start of lightermand
		return "stopping";
	if (l->activity == ACTIVITY_CANCELLING && l->command != COMMAND_PLAN)
		return "deploying";
	if (l->waits)
		return "waiting";
	return lifecycle_is_fulfilled(l) ? "running" : "failed";
}

static uint64_t retry_ms(const struct status *s)
{
	uint64_t now = lm_clock_mono_ms();

	return s->lifecycle->waits && s->retry_at_ms > now ? s->retry_at_ms - now : 0;
}

/// What is so while nothing is being done. The caller frees.
static char *describe_idle(const struct lifecycle *l)
{
	if (l->wanted.state == WANTED_NOTHING)
		return lm_xstrdup("nothing was deployed yet");
	if (l->wanted.state == WANTED_DOWN)
		return lm_xstrdup("the application is stopped");
	if (lifecycle_is_fulfilled(l))
		return lm_xasprintf("generation %u is deployed", l->wanted.generation);
	if (l->good && l->wanted.generation == l->good)
		return lm_xasprintf(
			"the last deployment failed; 'lighterman start' starts generation %u",
			l->good);
	return lm_xstrdup("the last deployment failed");
}

/// Until when, by the clock on the wall: what the service manager shows is not renewed.
static const char *retry_time(const struct status *s, char *out, size_t size)
{
	time_t at = (time_t)((lm_clock_wall_ms() + (int64_t)retry_ms(s) + 999) / 1000);
	struct tm tm;

	if (!localtime_r(&at, &tm) || strftime(out, size, "%H:%M:%S", &tm) == 0)
		(void)snprintf(out, size, "later");
	return out;
}

static char *describe_wait(const struct status *s)
{
	const struct lifecycle *l = s->lifecycle;
	char time[16];
	const char *at = retry_time(s, time, sizeof(time));

	if (!s->retry_at_ms)
		return lm_xasprintf("generation %u waits for disk space%s", l->wanted.generation,
			l->actual == ACTUAL_WHOLE ? "; what ran before runs meanwhile" : "");
	if (l->wanted.state == WANTED_DOWN)
		return lm_xasprintf("the application could not be stopped; trying again at %s", at);
	if (l->next == COMMAND_DEPLOY)
		return lm_xasprintf("the group file could not be deployed; trying again at %s", at);
	if (l->damaged && l->actual == ACTUAL_WHOLE && l->runs == l->wanted.generation)
		return lm_xasprintf("generation %u runs with damaged images, which could not be "
				    "replaced; trying again at %s",
			l->runs, at);
	if (l->actual == ACTUAL_WHOLE)
		return lm_xasprintf("generation %u could not be started, generation %u runs "
				    "meanwhile; trying again at %s",
			l->wanted.generation, l->runs, at);
	return lm_xasprintf(
		"generation %u could not be started; trying again at %s", l->wanted.generation, at);
}

/// What is being deployed takes the place of a generation that is rolled back.
static bool is_rollback(const struct lifecycle *l)
{
	return l->leaves && l->subject && l->subject == l->wanted.generation;
}

static char *describe_deployment(const struct status *s)
{
	const char *stage = s->progress->stage;

	if (s->task == STATUS_NO_TASK)
		return lm_xstrdup("about to deploy");
	if (s->waits)
		return activation_describe(&s->activation);
	if (is_rollback(s->lifecycle))
		return lm_xasprintf("rolling back from generation %u to generation %u%s%s",
			s->lifecycle->leaves, s->lifecycle->subject, stage[0] ? ": " : "", stage);
	return lm_xasprintf(
		"deploying generation %u%s%s", s->lifecycle->subject, stage[0] ? ": " : "", stage);
}

char *status_describe(const struct status *s)
{
	lm_auto_free char *rest = NULL;

	switch (s->lifecycle->activity) {
	case ACTIVITY_LOOKING:
		return lm_xstrdup("checking which containers run");
	case ACTIVITY_PLANNING:
		return lm_xstrdup("making a plan");
	case ACTIVITY_DEPLOYING:
		return describe_deployment(s);
	case ACTIVITY_CANCELLING:
		if (s->lifecycle->command == COMMAND_PLAN)
			return lm_xasprintf("cancelling a plan: %s", s->why_cancelled);
		return lm_xasprintf("cancelling the deployment of generation %u: %s",
			s->lifecycle->subject, s->why_cancelled);
	case ACTIVITY_STOPPING:
		if (s->task == STATUS_NO_TASK)
			return lm_xstrdup("about to stop the application");
		return lm_xasprintf("stopping generation %u", s->progress->generation);
	case ACTIVITY_WAITING:
		return describe_wait(s);
	case ACTIVITY_RECORDING:
		rest = describe_idle(s->lifecycle);
		return lm_xasprintf("%s; that could not be recorded yet", rest);
	case ACTIVITY_EXITED:
		return lm_xstrdup("shutting down");
	default:
		return describe_idle(s->lifecycle);
	}
}

static json_t *status_number_or_null(unsigned n)
{
	return n ? json_integer(n) : json_null();
}

static json_t *task_to_json(const struct status *s)
{
	static const char *const kinds[] = {
		[STATUS_DEPLOY] = "deploy", [STATUS_DOWN] = "down", [STATUS_PLAN] = "plan"};
	const char *stage = s->progress->stage;

	if (s->task == STATUS_NO_TASK)
		return json_null();
	return json_pack("{s:s, s:o, s:s?, s:I}", "kind", kinds[s->task], "generation",
		status_number_or_null(s->task == STATUS_PLAN ? 0 : s->progress->generation),
		"stage", stage[0] ? stage : NULL, "since_ms",
		(json_int_t)(stage[0] ? lm_clock_mono_ms() - s->progress->stage_began_ms : 0));
}

static json_t *status_member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return value ? json_incref(value) : json_null();
}

static json_t *status_text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *probation_to_json(const struct status *s)
{
	unsigned n = lifecycle_on_probation(s->lifecycle);
	json_t *until =
		s->probation_until_ms > 0 ? json_integer(s->probation_until_ms) : json_null();

	if (n)
		return json_pack("{s:i, s:o, s:b}", "generation", (int)n, "until_ms", until,
			"failed", (int)s->lifecycle->unsound);
	json_decref(until);
	return json_null();
}

/// Until a deployment has taken the place of what is left.
static json_t *rollback_to_json(const struct status *s)
{
	const struct lifecycle *l = s->lifecycle;

	if (!l->leaves || l->wanted.state != WANTED_UP)
		return json_null();
	return json_pack("{s:i, s:i, s:s?}", "from", (int)l->leaves, "to",
		(int)l->wanted.generation, "why", s->rollback_why);
}

static json_t *quarantine_to_json(struct store *store)
{
	lm_auto_free unsigned *numbers = NULL;
	json_t *list = json_array();
	size_t n = 0;
	struct lm_err ignored; // what is there is shown

	if (store_list(store, &numbers, &n, &ignored))
		return list;
	for (size_t i = 0; i < n; i++) {
		json_t *entry = generation_describe_quarantine(store, numbers[i]);

		if (!entry)
			continue;
		json_object_set_new(entry, "generation", json_integer(numbers[i]));
		json_array_append_new(list, entry);
	}
	lm_auto_json json_t *pruned = NULL;
	if (store_list_pruned_quarantines(store, &pruned, &ignored) == LM_OK)
		json_array_extend(list, pruned);
	return list;
}

static json_t *deployment_to_json(const struct status *s)
{
	unsigned n = store_state(s->store)->current;
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_json json_t *outcome = NULL;
	struct lm_err ignored; // what is there is shown

	if (n == 0 || generation_read(s->store, n, &group, &ignored))
		return json_null();
	const struct connector_definition *def = &group->connector;
	outcome = generation_outcome(s->store, n);
	json_t *deployment = json_object();
	json_object_set_new(deployment, "generation", json_integer(n));
	json_object_set_new(deployment, "id", json_string(def->id));
	json_object_set_new(deployment, "connector_version", json_integer(def->version));
	json_object_set_new(deployment, "bucket", status_text_or_null(def->bucket));
	json_object_set_new(deployment, "key", json_string(def->key));
	json_object_set_new(deployment, "object_version", status_text_or_null(def->object_version));
	json_object_set_new(
		deployment, "compose_version", status_member(outcome, "compose_version"));
	json_object_set_new(deployment, "destination", json_string(def->destination));
	return deployment;
}

static json_t *last_deployment_to_json(const struct status *s)
{
	static const char *const members[] = {"generation", "attempt", "success", "stage", "error",
		"message", "compose_version", "started_ms", "ended_ms"};
	lm_auto_json json_t *outcome = generation_last_outcome(s->store);

	if (!outcome)
		return json_null();
	json_t *last = json_object();
	for (size_t i = 0; i < LM_ARRAY_SIZE(members); i++)
		json_object_set_new(last, members[i], status_member(outcome, members[i]));
	// While another one runs, the stages known are that one's.
	bool known = s->progress->stages && s->task != STATUS_DEPLOY;
	json_object_set_new(
		last, "stages", known ? json_deep_copy(s->progress->stages) : json_array());
	return last;
}

static const char BESIDE[] = "the application is stopped, but containers of it were started from "
			     "outside: 'lighterman stop' stops them";

/// Containers run that lightermand did not start.
static bool is_contradicted(const struct lifecycle *l, const struct engine_containers *containers)
{
	return l->activity == ACTIVITY_IDLE && l->wanted.state == WANTED_DOWN &&
	       any_runs(containers);
}

json_t *status_to_json(const struct status *s, const struct engine_containers *containers)
{
	const struct lifecycle *l = s->lifecycle;
	lm_auto_free char *description = status_describe(s);
	json_t *status = json_object();

	json_object_set_new(status, "version", json_string(LM_VERSION));
	json_object_set_new(status, "state", json_string(state_word(s, containers)));
	json_object_set_new(status, "description",
		json_string(is_contradicted(l, containers) ? BESIDE : description));
	json_object_set_new(status, "activity", json_string(lifecycle_activity_name(l->activity)));
	json_object_set_new(status, "wanted",
		json_pack("{s:s, s:o}", "state", lifecycle_wanted_name(l->wanted.state),
			"generation", status_number_or_null(l->wanted.generation)));
	json_object_set_new(status, "actual",
		json_pack("{s:s, s:o}", "state", lifecycle_actual_name(l->actual), "generation",
			status_number_or_null(l->runs)));
	json_object_set_new(status, "retry_ms",
		l->waits && s->retry_at_ms ? json_integer((json_int_t)retry_ms(s)) : json_null());
	json_object_set_new(status, "job", task_to_json(s));
	json_object_set_new(status, "deployment", deployment_to_json(s));
	json_object_set_new(status, "last_deployment", last_deployment_to_json(s));
	json_object_set_new(status, "probation", probation_to_json(s));
	json_object_set_new(status, "rollback", rollback_to_json(s));
	json_object_set_new(
		status, "activation", s->waits ? activation_to_json(&s->activation) : json_null());
	json_object_set_new(status, "quarantine", quarantine_to_json(s->store));
	return status;
}
