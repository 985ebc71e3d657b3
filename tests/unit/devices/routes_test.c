// SPDX-License-Identifier: Apache-2.0
#include "devices/routes.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/topic.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define A "arn:aws:iot:r:1:thing/A"
#define B "arn:aws:iot:r:1:thing/B"
#define F "arn:aws:lambda:r:123456789012:function:F:1"

static char *text_of(const char *format, size_t number)
{
	return lm_xasprintf("%s%zu", format, number);
}

static struct routes *routes_of(const char *const (*subscriptions)[3], size_t n)
{
	struct router_table t = {0};

	t.devices = lm_xcalloc(2, sizeof(*t.devices));
	t.devices_n = 2;
	t.devices[0] = (struct router_device){.name = lm_xstrdup("A"), .arn = lm_xstrdup(A)};
	t.devices[1] = (struct router_device){.name = lm_xstrdup("B"), .arn = lm_xstrdup(B)};
	t.subscriptions = lm_xcalloc(n + 1, sizeof(*t.subscriptions));
	for (t.subscriptions_n = 0; t.subscriptions_n < n; t.subscriptions_n++)
		t.subscriptions[t.subscriptions_n] = (struct router_subscription){
			lm_xstrdup(subscriptions[t.subscriptions_n][0]),
			lm_xstrdup(subscriptions[t.subscriptions_n][1]),
			lm_xstrdup(subscriptions[t.subscriptions_n][2])};
	return routes_create(&t);
}

static bool reaches(struct routes *r, const char *source, const char *topic, const char *target)
{
	struct route_match match;

	routes_match(r, routes_endpoint(r, lm_str(source)), lm_str(topic), &match);
	return route_match_has(&match, routes_endpoint(r, lm_str(target)));
}

static void routes_by_source_subject_and_target(void **state)
{
	(void)state;
	static const char *const subscriptions[][3] = {
		{A, "a/+/c", B}, {B, "#", "cloud"}, {"cloud", "$aws/things/+/x", A}, {A, "b/#", F}};
	lm_auto(routes_destroy_p) struct routes *r = routes_of(subscriptions, 4);

	assert_true(reaches(r, A, "a/b/c", B));
	assert_true(reaches(r, A, "a//c", B));
	assert_false(reaches(r, A, "a/b/c/d", B));
	assert_false(reaches(r, A, "a/b", B));
	assert_false(reaches(r, B, "a/b/c", B));
	assert_false(reaches(r, A, "a/b/c", A));
	assert_true(reaches(r, B, "anything", "cloud"));
	assert_false(reaches(r, B, "$aws/anything", "cloud"));
	assert_true(reaches(r, "cloud", "$aws/things/A/x", A));
	assert_true(reaches(r, A, "b/", F));
	assert_false(reaches(r, A, "b", F));
	assert_false(reaches(r, "GGShadowService", "a/b/c", B));
}

static void knows_endpoints_and_clients(void **state)
{
	(void)state;
	static const char *const subscriptions[][3] = {{A, "x", F},
		{"arn:aws:iot:r:1:thing/Gone", "x", "GGShadowService"},
		{"arn:aws:iot:r:1:thing/a:lambda:b", "x", F},
		{"arn:aws:greengrass:r::/connectors/Kn\xc3\xb6pf e/versions/1", "x", F}};
	lm_auto(routes_destroy_p) struct routes *r = routes_of(subscriptions, 4);

	assert_string_equal(routes_client(r, LM_STR("A"))->name, A);
	assert_string_equal(routes_client(r, LM_STR(F))->name, F);
	assert_int_equal(routes_client(r, LM_STR(F))->kind, ROUTER_ENDPOINT_FUNCTION);
	assert_null(routes_client(r, LM_STR(A)));
	assert_null(routes_client(r, LM_STR("Gone")));
	assert_null(routes_client(r, LM_STR("")));
	assert_null(routes_client(r, LM_STR("cloud")));
	assert_null(routes_client(r, LM_STR("GGShadowService")));
	assert_int_equal(routes_endpoint(r, LM_STR("arn:aws:iot:r:1:thing/Gone"))->kind,
		ROUTER_ENDPOINT_STRANGER);
	assert_null(routes_endpoint(r, LM_STR("arn:aws:iot:r:1:thing/Other")));
	assert_null(routes_client(r, LM_STR("arn:aws:iot:r:1:thing/a:lambda:b")));
}

static void tells_which_subscriptions_there_are(void **state)
{
	(void)state;
	static const char *const subscriptions[][3] = {{A, "a/+/#", B}, {A, "a/x", B}};
	struct router_subscription s = {(char *)A, (char *)"a/+/#", (char *)B};
	lm_auto(routes_destroy_p) struct routes *r = routes_of(subscriptions, 2);

	assert_true(routes_has(r, &s));
	s.subject = (char *)"a/x";
	assert_true(routes_has(r, &s));
	s.subject = (char *)"a/y/z";
	assert_false(routes_has(r, &s));
	s.subject = (char *)"a/+";
	assert_false(routes_has(r, &s));
	s = (struct router_subscription){(char *)B, (char *)"a/x", (char *)A};
	assert_false(routes_has(r, &s));
}

static void a_table_without_subscriptions_routes_nothing(void **state)
{
	(void)state;
	lm_auto(routes_destroy_p) struct routes *r = routes_of(NULL, 0);

	assert_false(reaches(r, A, "a", B));
	assert_false(reaches(r, "cloud", "a", B));
}

/// More sets than are kept apart, and more targets than are listed.
static void many_subjects_and_targets_match_one_topic(void **state)
{
	(void)state;
	enum { TARGETS = 200 };
	static const char *const subjects[] = {"#", "a/#", "a/b/#", "a/b/c", "+/b/c", "a/+/c",
		"a/b/+", "+/+/c", "a/+/+", "+/+/+", "+/+/#", "+/#", "x"};
	struct router_table t = {0};
	struct route_match match;

	t.subscriptions = lm_xcalloc(TARGETS, sizeof(*t.subscriptions));
	for (; t.subscriptions_n < TARGETS; t.subscriptions_n++)
		t.subscriptions[t.subscriptions_n] = (struct router_subscription){lm_xstrdup(A),
			lm_xstrdup(subjects[t.subscriptions_n % LM_ARRAY_SIZE(subjects)]),
			text_of("arn:t", t.subscriptions_n)};
	lm_auto(routes_destroy_p) struct routes *r = routes_create(&t);
	routes_match(r, routes_endpoint(r, LM_STR(A)), LM_STR("a/b/c"), &match);
	for (size_t i = 0; i < TARGETS; i++) {
		lm_auto_free char *name = text_of("arn:t", i);

		assert_int_equal(route_match_has(&match, routes_endpoint(r, lm_str(name))),
			i % LM_ARRAY_SIZE(subjects) != LM_ARRAY_SIZE(subjects) - 1);
	}
	assert_false(route_match_has(&match, routes_endpoint(r, LM_STR(A))));
}

static uint32_t random_below(uint32_t bound)
{
	static uint32_t state = 12345;

	state = state * 1664525 + 1013904223;
	return (state >> 8) % bound;
}

static void make_topic(char *out, bool filter)
{
	static const char *const levels[] = {"a", "b", "", "$x", "ab", "+", "#"};
	uint32_t depth = 1 + random_below(4), at = 0;

	for (uint32_t i = 0; i < depth; i++) {
		const char *level = levels[random_below(filter ? 7 : 5)];

		if (level[0] == '#' && i + 1 < depth)
			level = "+";
		at += (uint32_t)snprintf(out + at, 64 - at, "%s%s", i ? "/" : "", level);
	}
	if (at == 0)
		(void)snprintf(out, 64, "a");
}

/// The index answers as a search through all subscriptions does.
static void agrees_with_a_search_through_all(void **state)
{
	(void)state;
	enum { SUBSCRIPTIONS = 300, ENDPOINTS = 6, ROUNDS = 3000 };
	struct router_table t = {0};
	const struct router_table *all = NULL;

	t.subscriptions = lm_xcalloc(SUBSCRIPTIONS, sizeof(*t.subscriptions));
	for (; t.subscriptions_n < SUBSCRIPTIONS; t.subscriptions_n++) {
		char subject[64];

		make_topic(subject, true);
		t.subscriptions[t.subscriptions_n] =
			(struct router_subscription){text_of("arn:e", random_below(ENDPOINTS)),
				lm_xstrdup(subject), text_of("arn:e", random_below(ENDPOINTS))};
	}
	lm_auto(routes_destroy_p) struct routes *r = routes_create(&t);
	all = routes_table(r);
	for (size_t round = 0; round < ROUNDS; round++) {
		lm_auto_free char *source = text_of("arn:e", random_below(ENDPOINTS));
		lm_auto_free char *target = text_of("arn:e", random_below(ENDPOINTS));
		bool expected = false, expected_any = false;
		struct route_match match;
		char topic[64];

		make_topic(topic, false);
		for (size_t i = 0; i < all->subscriptions_n; i++) {
			const struct router_subscription *s = &all->subscriptions[i];
			bool hit = strcmp(s->target, target) == 0 &&
				   topic_matches(lm_str(s->subject), lm_str(topic));

			expected_any |= hit;
			expected |= hit && strcmp(s->source, source) == 0;
		}
		assert_int_equal(reaches(r, source, topic, target), expected);
		routes_match_any(r, lm_str(topic), &match);
		assert_int_equal(
			route_match_has(&match, routes_endpoint(r, lm_str(target))), expected_any);
	}
}

static void deep_topics_have_a_ceiling(void **state)
{
	(void)state;
	static const char *const subscriptions[][3] = {{A, "#", B}};
	char topic[LIMIT_MQTT_TOPIC + 2];
	lm_auto(routes_destroy_p) struct routes *r = routes_of(subscriptions, 1);

	memset(topic, '/', sizeof(topic) - 1);
	topic[LIMIT_MQTT_TOPIC] = '\0';
	assert_true(reaches(r, A, topic, B));
	topic[LIMIT_MQTT_TOPIC] = '/';
	topic[LIMIT_MQTT_TOPIC + 1] = '\0';
	assert_false(reaches(r, A, topic, B));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_by_source_subject_and_target),
		cmocka_unit_test(knows_endpoints_and_clients),
		cmocka_unit_test(tells_which_subscriptions_there_are),
		cmocka_unit_test(a_table_without_subscriptions_routes_nothing),
		cmocka_unit_test(many_subjects_and_targets_match_one_topic),
		cmocka_unit_test(agrees_with_a_search_through_all),
		cmocka_unit_test(deep_topics_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
