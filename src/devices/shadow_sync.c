// SPDX-License-Identifier: Apache-2.0
#include "devices/shadow_sync.h"

#include "base/limits.h"

// The merge.

static bool sync_same(const json_t *a, const json_t *b)
{
	return a == b || (a && b && json_equal(a, b));
}

static json_t *sync_merge(
	const json_t *base, const json_t *local, const json_t *cloud, unsigned *conflicts);

/// A value that only the base has was deleted on both sides.
static json_t *sync_merge_objects(
	const json_t *base, const json_t *local, const json_t *cloud, unsigned *conflicts)
{
	json_t *merged = json_object();
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)cloud, key, member)
	{
		json_t *kept = sync_merge(
			json_object_get(base, key), json_object_get(local, key), member, conflicts);
		if (kept)
			json_object_set_new_nocheck(merged, key, kept);
	}
	json_object_foreach((json_t *)local, key, member)
	{
		if (json_object_get(cloud, key))
			continue;
		json_t *kept = sync_merge(json_object_get(base, key), member, NULL, conflicts);
		if (kept)
			json_object_set_new_nocheck(merged, key, kept);
	}
	if (json_object_size(merged) > 0 || (local && cloud))
		return merged;
	json_decref(merged);
	return NULL;
}

/// A new reference, which may be one of the three; NULL: the value is deleted.
static json_t *sync_merge(
	const json_t *base, const json_t *local, const json_t *cloud, unsigned *conflicts)
{
	if (sync_same(local, cloud) || sync_same(base, cloud))
		return json_incref((json_t *)local);
	if (sync_same(base, local))
		return json_incref((json_t *)cloud);
	// An object that one side deleted, while the other changed something in it, is merged as
	// an empty one.
	bool objects = (!local || json_is_object(local)) && (!cloud || json_is_object(cloud));
	if (objects && ((local && cloud) || json_is_object(base)))
		return sync_merge_objects(
			json_is_object(base) ? base : NULL, local, cloud, conflicts);
	(*conflicts)++;
	return json_incref((json_t *)cloud);
}

// What a side lacks.

/// Appends to the object `patch` what makes `to` of `from`; both are objects.
static void sync_difference(const json_t *from, const json_t *to, json_t *patch)
{
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)from, key, member)
	{
		if (!json_object_get(to, key))
			json_object_set_new_nocheck(patch, key, json_null());
	}
	json_object_foreach((json_t *)to, key, member)
	{
		json_t *old = json_object_get(from, key);

		if (sync_same(old, member))
			continue;
		if (!json_is_object(old) || !json_is_object(member)) {
			json_object_set_nocheck(patch, key, member);
			continue;
		}
		json_t *below = json_object();
		sync_difference(old, member, below);
		json_object_set_new_nocheck(patch, key, below);
	}
}

struct shadow_sync_step shadow_sync_step(const json_t *from, const json_t *to)
{
	struct shadow_sync_step step = {SHADOW_SYNC_NOTHING, NULL};

	if (!to) {
		step.action = from ? SHADOW_SYNC_DELETE : SHADOW_SYNC_NOTHING;
		return step;
	}
	if (from && json_equal(from, to))
		return step;
	step.action = SHADOW_SYNC_UPDATE;
	step.patch = json_object();
	sync_difference(from, to, step.patch);
	return step;
}

void shadow_sync_step_finish(struct shadow_sync_step *step)
{
	json_decref(step->patch);
	*step = (struct shadow_sync_step){SHADOW_SYNC_NOTHING, NULL};
}

void shadow_sync_decide(
	const json_t *base, const json_t *local, const json_t *cloud, struct shadow_sync_plan *ret)
{
	*ret = (struct shadow_sync_plan){0};
	ret->merged = sync_merge(base, local, cloud, &ret->conflicts);
	ret->local = shadow_sync_step(local, ret->merged);
	ret->cloud = shadow_sync_step(cloud, ret->merged);
}

const json_t *shadow_sync_base(const json_t *base, const json_t *sent, const json_t *cloud)
{
	return sync_same(sent, cloud) ? sent : base;
}

void shadow_sync_plan_finish(struct shadow_sync_plan *plan)
{
	json_decref(plan->merged);
	shadow_sync_step_finish(&plan->local);
	shadow_sync_step_finish(&plan->cloud);
	*plan = (struct shadow_sync_plan){0};
}

// The cloud's replies.

static const char *const sync_requests[] = {
	[SHADOW_SYNC_ASK_GET] = "get",
	[SHADOW_SYNC_ASK_UPDATE] = "update",
	[SHADOW_SYNC_ASK_DELETE] = "delete",
};

const char *shadow_sync_request_name(enum shadow_sync_request request)
{
	return sync_requests[request];
}

bool shadow_sync_topic_read(struct lm_str topic, struct shadow_sync_reply *ret)
{
	struct lm_str rest = topic;

	if (!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("$aws")) ||
		!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("things")))
		return false;
	struct lm_str thing = lm_str_cut(&rest, '/');
	if (!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("shadow")))
		return false;
	struct lm_str name = lm_str_cut(&rest, '/');
	bool accepted = lm_str_eq(rest, LM_STR("accepted"));
	if (!accepted && !lm_str_eq(rest, LM_STR("rejected")))
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(sync_requests); i++) {
		if (lm_str_eq(name, lm_str(sync_requests[i]))) {
			ret->thing = thing;
			ret->request = (enum shadow_sync_request)i;
			ret->accepted = accepted;
			return true;
		}
	}
	return false;
}

/// Of a get: its sections, without `delta`, and without those that are empty.
static lm_rc sync_read_state(struct shadow_sync_reply *reply, struct lm_err *err)
{
	static const char *const sections[] = {"desired", "reported"};
	const json_t *state = json_object_get(reply->body, "state");

	if (!json_is_object(state))
		return lm_fail(err, LM_E_INVALID, 0, "it has no object 'state'");
	reply->state = json_object();
	for (size_t i = 0; i < LM_ARRAY_SIZE(sections); i++) {
		json_t *section = json_object_get(state, sections[i]);

		if (!section || json_is_null(section))
			continue;
		if (!json_is_object(section))
			return lm_fail(
				err, LM_E_INVALID, 0, "its '%s' is not an object", sections[i]);
		if (json_object_size(section) > 0)
			json_object_set_nocheck(reply->state, sections[i], section);
	}
	return LM_OK;
}

static lm_rc sync_read_body(
	struct shadow_sync_reply *reply, struct lm_str payload, struct lm_err *err)
{
	lm_rc rc = json_parse(payload, &reply->body, err);

	if (rc)
		return rc;
	if (!json_is_object(reply->body))
		return lm_fail(err, LM_E_INVALID, 0, "it is not an object");
	reply->token = json_get_text(reply->body, "clientToken");
	if (!reply->accepted) {
		int64_t code = json_get_int(reply->body, "code", 0);

		reply->code = code >= 100 && code <= 599 ? (int)code : 0;
		return LM_OK;
	}
	int64_t version = json_get_int(reply->body, "version", 0);
	reply->version = version > 0 ? (uint64_t)version : 0;
	if (reply->request == SHADOW_SYNC_ASK_DELETE)
		return LM_OK;
	if (reply->version == 0)
		return lm_fail(err, LM_E_INVALID, 0, "it has no version");
	return reply->request == SHADOW_SYNC_ASK_GET ? sync_read_state(reply, err) : LM_OK;
}

lm_rc shadow_sync_reply_read(struct lm_str topic, struct lm_str payload,
	struct shadow_sync_reply *ret, struct lm_err *err)
{
	*ret = (struct shadow_sync_reply){0};
	if (!shadow_sync_topic_read(topic, ret))
		return lm_fail(err, LM_E_INVALID, 0, "it is not on a topic of a shadow's replies");
	if (json_count(payload) > LIMIT_SHADOW_SYNC_VALUES)
		return lm_fail(err, LM_E_INVALID, 0, "it has too many values");
	return sync_read_body(ret, payload, err);
}

void shadow_sync_reply_finish(struct shadow_sync_reply *reply)
{
	json_decref(reply->body);
	json_decref(reply->state);
	*reply = (struct shadow_sync_reply){0};
}
