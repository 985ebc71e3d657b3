// SPDX-License-Identifier: Apache-2.0
#include "devices/shadow_sync.h"

#include "base/cleanup.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// Texts have ' for ". NULL: NULL.
static json_t *json_of(const char *text)
{
	lm_auto_buf struct lm_buf quoted = LM_BUF(4096);
	struct lm_err err = {LM_OK};
	json_t *value = NULL;

	if (!text)
		return NULL;
	for (const char *p = text; *p; p++)
		lm_buf_putc(&quoted, *p == '\'' ? '"' : *p);
	if (json_parse(lm_buf_str(&quoted), &value, &err))
		fail_msg("%s: %s", text, err.msg);
	return value;
}

static void check_json(const char *what, const json_t *value, const char *wanted)
{
	lm_auto_json json_t *expected = json_of(wanted);

	if (value == expected || (value && expected && json_equal(value, expected)))
		return;
	fail_msg("%s: %s instead of %s", what, value ? json_dumps(value, JSON_ENCODE_ANY) : "NULL",
		wanted ? wanted : "NULL");
}

struct sync_case {
	const char *base, *local, *cloud;
	const char *merged;
	const char *to_local, *to_cloud; ///< "delete": that; NULL: nothing.
	unsigned conflicts;
};

static void check_step(const char *what, const struct shadow_sync_step *step, const char *wanted)
{
	if (!wanted) {
		assert_int_equal(step->action, SHADOW_SYNC_NOTHING);
		assert_null(step->patch);
	} else if (strcmp(wanted, "delete") == 0) {
		assert_int_equal(step->action, SHADOW_SYNC_DELETE);
		assert_null(step->patch);
	} else {
		assert_int_equal(step->action, SHADOW_SYNC_UPDATE);
		check_json(what, step->patch, wanted);
	}
}

static void check_cases(const struct sync_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lm_auto_json json_t *base = json_of(cases[i].base);
		lm_auto_json json_t *local = json_of(cases[i].local);
		lm_auto_json json_t *cloud = json_of(cases[i].cloud);
		struct shadow_sync_plan plan = {0};

		print_message("case %zu\n", i);
		shadow_sync_decide(base, local, cloud, &plan);
		check_json("merged", plan.merged, cases[i].merged);
		check_step("to the local one", &plan.local, cases[i].to_local);
		check_step("to the cloud", &plan.cloud, cases[i].to_cloud);
		assert_int_equal(plan.conflicts, cases[i].conflicts);
		shadow_sync_plan_finish(&plan);
	}
}

#define CHECK(...)                                                                                 \
	do {                                                                                       \
		static const struct sync_case cases[] = {__VA_ARGS__};                             \
		check_cases(cases, LM_ARRAY_SIZE(cases));                                          \
	} while (0)

static void does_nothing_when_both_are_the_same(void **state)
{
	(void)state;
	CHECK({NULL, NULL, NULL, NULL, NULL, NULL, 0},
		{"{'reported':{'a':1}}", NULL, NULL, NULL, NULL, NULL, 0},
		{"{'reported':{'a':1}}", "{'reported':{'a':1}}", "{'reported':{'a':1}}",
			"{'reported':{'a':1}}", NULL, NULL, 0},
		// Both have done the same.
		{"{'reported':{'a':1}}", "{'reported':{'a':2}}", "{'reported':{'a':2}}",
			"{'reported':{'a':2}}", NULL, NULL, 0},
		{"{'reported':{'a':1,'b':1}}", "{'reported':{'b':1}}", "{'reported':{'b':1}}",
			"{'reported':{'b':1}}", NULL, NULL, 0});
}

static void takes_over_what_one_side_changed(void **state)
{
	(void)state;
	CHECK({"{'desired':{'a':1}}", "{'desired':{'a':1}}", "{'desired':{'a':2}}",
		      "{'desired':{'a':2}}", "{'desired':{'a':2}}", NULL, 0},
		{"{'desired':{'a':1}}", "{'desired':{'a':1},'reported':{'a':1}}",
			"{'desired':{'a':1}}", "{'desired':{'a':1},'reported':{'a':1}}", NULL,
			"{'reported':{'a':1}}", 0},
		// Each side another value.
		{"{'desired':{'a':{'x':1,'y':1}}}", "{'desired':{'a':{'x':2,'y':1}}}",
			"{'desired':{'a':{'x':1,'y':2}}}", "{'desired':{'a':{'x':2,'y':2}}}",
			"{'desired':{'a':{'y':2}}}", "{'desired':{'a':{'x':2}}}", 0},
		// Arrays are values.
		{"{'desired':{'a':[1,2]}}", "{'desired':{'a':[1,2]}}", "{'desired':{'a':[1,2,3]}}",
			"{'desired':{'a':[1,2,3]}}", "{'desired':{'a':[1,2,3]}}", NULL, 0});
}

static void lets_the_cloud_win_a_conflict(void **state)
{
	(void)state;
	CHECK({"{'desired':{'a':1,'b':1}}", "{'desired':{'a':2,'b':2}}",
		      "{'desired':{'a':3,'b':1}}", "{'desired':{'a':3,'b':2}}",
		      "{'desired':{'a':3}}", "{'desired':{'b':2}}", 1},
		{"{'desired':{'a':[1]}}", "{'desired':{'a':[1,2]}}", "{'desired':{'a':[0,1]}}",
			"{'desired':{'a':[0,1]}}", "{'desired':{'a':[0,1]}}", NULL, 1},
		// An object against a value.
		{"{'desired':{'a':1}}", "{'desired':{'a':{'x':1}}}", "{'desired':{'a':2}}",
			"{'desired':{'a':2}}", "{'desired':{'a':2}}", NULL, 1},
		{"{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':{'x':1}}}",
			"{'desired':{'a':{'x':1}}}", "{'desired':{'a':{'x':1}}}", NULL, 1},
		// Where there is no base, what both have is a conflict, and the rest is kept.
		{NULL, "{'desired':{'a':1,'l':1}}", "{'desired':{'a':2,'c':1}}",
			"{'desired':{'a':2,'c':1,'l':1}}", "{'desired':{'a':2,'c':1}}",
			"{'desired':{'l':1}}", 1});
}

static void takes_over_what_one_side_deleted(void **state)
{
	(void)state;
	CHECK({"{'desired':{'a':1,'b':1}}", "{'desired':{'b':1}}", "{'desired':{'a':1,'b':1}}",
		      "{'desired':{'b':1}}", NULL, "{'desired':{'a':null}}", 0},
		{"{'desired':{'a':1,'b':1}}", "{'desired':{'a':1,'b':1}}", "{'desired':{'b':1}}",
			"{'desired':{'b':1}}", "{'desired':{'a':null}}", NULL, 0},
		// A section.
		{"{'desired':{'a':1},'reported':{'a':1}}", "{'reported':{'a':1}}",
			"{'desired':{'a':1},'reported':{'a':1}}", "{'reported':{'a':1}}", NULL,
			"{'desired':null}", 0},
		// Deleted here, changed there: the cloud's wins; and the other way round.
		{"{'desired':{'a':1,'b':1}}", "{'desired':{'b':1}}", "{'desired':{'a':2,'b':1}}",
			"{'desired':{'a':2,'b':1}}", "{'desired':{'a':2}}", NULL, 1},
		{"{'desired':{'a':1,'b':1}}", "{'desired':{'a':2,'b':1}}", "{'desired':{'b':1}}",
			"{'desired':{'b':1}}", "{'desired':{'a':null}}", NULL, 1},
		// An object deleted here, one value of it changed there.
		{"{'desired':{'a':{'x':1,'y':1}},'reported':{'r':1}}", "{'reported':{'r':1}}",
			"{'desired':{'a':{'x':2,'y':1}},'reported':{'r':1}}",
			"{'desired':{'a':{'x':2}},'reported':{'r':1}}", "{'desired':{'a':{'x':2}}}",
			"{'desired':{'a':{'y':null}}}", 1});
}

static void takes_over_that_the_shadow_was_deleted(void **state)
{
	(void)state;
	CHECK({"{'desired':{'a':1}}", NULL, "{'desired':{'a':1}}", NULL, NULL, "delete", 0},
		{"{'desired':{'a':1}}", "{'desired':{'a':1}}", NULL, NULL, "delete", NULL, 0},
		// What is new on the other side lives.
		{"{'desired':{'a':1}}", "{'desired':{'a':1,'b':1}}", NULL, "{'desired':{'b':1}}",
			"{'desired':{'a':null}}", "{'desired':{'b':1}}", 0},
		{"{'desired':{'a':1}}", NULL, "{'desired':{'a':1},'reported':{'b':1}}",
			"{'reported':{'b':1}}", "{'reported':{'b':1}}", "{'desired':null}", 0},
		{"{'desired':{'a':1}}", "{'desired':{'a':2}}", NULL, NULL, "delete", NULL, 1},
		// Without a base there is nothing that could have been deleted.
		{NULL, "{'desired':{'a':1}}", NULL, "{'desired':{'a':1}}", NULL,
			"{'desired':{'a':1}}", 0},
		{NULL, NULL, "{'desired':{'a':1}}", "{'desired':{'a':1}}", "{'desired':{'a':1}}",
			NULL, 0},
		// One without any section is still one.
		{"{'desired':{'a':1}}", "{}", "{'desired':{'a':1}}", "{}", NULL, "{'desired':null}",
			0});
}

/// Xorshift: the same every time.
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static json_t *random_value(uint32_t *seed, int depth)
{
	static const char *const names[] = {"a", "b", "c"};
	uint32_t kind = next_random(seed) % 8;

	if (depth == 0 || kind < 3)
		return json_integer(next_random(seed) % 2);
	if (kind == 3)
		return json_pack("[i]", (int)(next_random(seed) % 2));
	json_t *object = json_object();
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (next_random(seed) % 2)
			json_object_set_new(object, names[i], random_value(seed, depth - 1));
	}
	return object;
}

static json_t *random_state(uint32_t *seed)
{
	json_t *state = NULL;

	if (next_random(seed) % 8 == 0)
		return NULL;
	do {
		json_decref(state);
		state = random_value(seed, 3);
	} while (!json_is_object(state));
	return state;
}

/// As a shadow service does it.
static void apply_patch(json_t *to, const json_t *patch)
{
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)patch, key, member)
	{
		json_t *old = json_object_get(to, key);

		if (json_is_null(member))
			json_object_del(to, key);
		else if (json_is_object(old) && json_is_object(member))
			apply_patch(old, member);
		else
			json_object_set_new(to, key, json_deep_copy(member));
	}
}

static json_t *apply_step(const json_t *state, const struct shadow_sync_step *step)
{
	json_t *result = state ? json_deep_copy(state) : json_object();

	if (step->action == SHADOW_SYNC_DELETE || (step->action == SHADOW_SYNC_NOTHING && !state)) {
		json_decref(result);
		return NULL;
	}
	if (step->action == SHADOW_SYNC_UPDATE)
		apply_patch(result, step->patch);
	return result;
}

static bool same_state(const json_t *a, const json_t *b)
{
	return a == b || (a && b && json_equal(a, b));
}

static void makes_both_the_same_in_one_round(void **state)
{
	(void)state;
	uint32_t seed = 2463534242u;

	for (int i = 0; i < 20000; i++) {
		lm_auto_json json_t *base = random_state(&seed);
		lm_auto_json json_t *local = random_state(&seed);
		lm_auto_json json_t *cloud = random_state(&seed);
		struct shadow_sync_plan plan = {0};
		struct shadow_sync_plan again = {0};

		shadow_sync_decide(base, local, cloud, &plan);
		lm_auto_json json_t *new_local = apply_step(local, &plan.local);
		lm_auto_json json_t *new_cloud = apply_step(cloud, &plan.cloud);
		assert_true(same_state(new_local, plan.merged));
		assert_true(same_state(new_cloud, plan.merged));
		// A crash before the base was stored does no harm.
		shadow_sync_decide(base, new_local, new_cloud, &again);
		assert_true(same_state(again.merged, plan.merged));
		assert_int_equal(again.conflicts, 0);
		// Nor one after the local side has it, and the cloud does not.
		shadow_sync_plan_finish(&again);
		shadow_sync_decide(base, new_local, cloud, &again);
		assert_true(same_state(again.merged, plan.merged));
		shadow_sync_plan_finish(&again);
		shadow_sync_plan_finish(&plan);
	}
}

static void what_the_cloud_took_is_a_base(void **state)
{
	(void)state;
	uint32_t seed = 88172645u;

	for (int i = 0; i < 20000; i++) {
		lm_auto_json json_t *base = random_state(&seed);
		lm_auto_json json_t *local = random_state(&seed);
		lm_auto_json json_t *cloud = random_state(&seed);
		lm_auto_json json_t *later = random_state(&seed);
		struct shadow_sync_plan plan = {0};
		struct shadow_sync_plan again = {0};

		// It was asked for what is merged, and did it; the reply is lost.
		shadow_sync_decide(base, local, cloud, &plan);
		lm_auto_json json_t *new_cloud = apply_step(cloud, &plan.cloud);
		const json_t *known = shadow_sync_base(base, plan.merged, new_cloud);
		shadow_sync_decide(known, later, new_cloud, &again);
		assert_true(same_state(again.merged, later));
		assert_int_equal(again.conflicts, 0);
		shadow_sync_plan_finish(&again);
		// It did not: nothing is known that was not before.
		if (!same_state(cloud, plan.merged))
			assert_ptr_equal(shadow_sync_base(base, plan.merged, cloud), base);
		shadow_sync_plan_finish(&plan);
	}
}

#define ACCEPTED "$aws/things/T/shadow/get/accepted"

static void reads_replies(void **state)
{
	(void)state;
	struct shadow_sync_reply r = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(shadow_sync_reply_read(LM_STR(ACCEPTED),
				 LM_STR("{\"state\":{\"desired\":{\"a\":1},\"reported\":{},"
					"\"delta\":{\"a\":1}},"
					"\"metadata\":{},\"version\":7,\"timestamp\":1,"
					"\"clientToken\":\"t\"}"),
				 &r, &err),
		LM_OK);
	assert_true(r.accepted && r.request == SHADOW_SYNC_ASK_GET && r.version == 7);
	assert_true(lm_str_eq(r.thing, LM_STR("T")));
	assert_string_equal(r.token, "t");
	check_json("state", r.state, "{'desired':{'a':1}}");
	shadow_sync_reply_finish(&r);
	assert_int_equal(
		shadow_sync_reply_read(LM_STR("$aws/things/T/shadow/update/rejected"),
			LM_STR("{\"code\":409,\"message\":\"Version conflict\"}"), &r, &err),
		LM_OK);
	assert_true(
		!r.accepted && r.request == SHADOW_SYNC_ASK_UPDATE && r.code == 409 && !r.token);
	shadow_sync_reply_finish(&r);
	assert_int_equal(shadow_sync_reply_read(LM_STR("$aws/things/T/shadow/delete/accepted"),
				 LM_STR("{\"version\":3,\"timestamp\":1}"), &r, &err),
		LM_OK);
	assert_true(r.accepted && r.request == SHADOW_SYNC_ASK_DELETE && r.version == 3);
	shadow_sync_reply_finish(&r);
}

static void refuses_what_is_no_reply(void **state)
{
	(void)state;
	static const char *const topics[] = {"$aws/things/T/shadow/update/delta",
		"$aws/things/T/shadow/get", "$aws/things/T/shadow/get/accepted/more",
		"$aws/things/T/shadow/name/n/get/accepted", "aws/things/T/shadow/get/accepted", "",
		"/"};
	static const char *const bad[] = {"", "{", "[]", "{}", "{\"state\":{}}", "{\"version\":1}",
		"{\"state\":[],\"version\":1}", "{\"state\":{\"desired\":[]},\"version\":1}",
		"{\"state\":{},\"version\":-1}", "{\"state\":{},\"version\":\"1\"}", "\xff"};
	struct shadow_sync_reply r = {0};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < LM_ARRAY_SIZE(topics); i++)
		assert_false(shadow_sync_topic_read(lm_str(topics[i]), &r));
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(shadow_sync_reply_read(LM_STR(ACCEPTED), lm_str(bad[i]), &r, &err),
			LM_E_INVALID);
		shadow_sync_reply_finish(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(does_nothing_when_both_are_the_same),
		cmocka_unit_test(takes_over_what_one_side_changed),
		cmocka_unit_test(lets_the_cloud_win_a_conflict),
		cmocka_unit_test(takes_over_what_one_side_deleted),
		cmocka_unit_test(takes_over_that_the_shadow_was_deleted),
		cmocka_unit_test(makes_both_the_same_in_one_round),
		cmocka_unit_test(what_the_cloud_took_is_a_base),
		cmocka_unit_test(reads_replies),
		cmocka_unit_test(refuses_what_is_no_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
