// SPDX-License-Identifier: Apache-2.0
#include "broker/delivery.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "tables.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char subscriptions[] =
	"[{\"source\":\"" THING_A "\",\"subject\":\"t/#\",\"target\":\"" THING_B
	"\"},{\"source\":\"GGShadowService\",\"subject\":\"$aws/#\",\"target\":\"" THING_A
	"\"},{\"source\":\"GGShadowService\",\"subject\":\"$SYS/#\",\"target\":\"" THING_A "\"}]";
/// Tokens.
static const char client_a, client_b;

struct fixture {
	struct routes *routes;
	struct delivery d;
	const struct router_endpoint *a, *b;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->routes = tables_routes(subscriptions, false);
	f->a = routes_client(f->routes, LM_STR("A"));
	f->b = routes_client(f->routes, LM_STR("B"));
	delivery_init(&f->d, f->routes);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	delivery_finish(&f->d);
	routes_destroy(f->routes);
	free(f);
	return 0;
}

static bool b_may(struct fixture *f, const char *topic)
{
	return delivery_allows(&f->d, &client_b, f->b, topic);
}

static bool a_may(struct fixture *f, const char *topic)
{
	return delivery_allows(&f->d, &client_a, f->a, topic);
}

static void a_publish_goes_to_its_targets(void **state)
{
	struct fixture *f = *state;
	char copy[] = "t/1";

	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/1"));
	assert_true(delivery_is_of(&f->d, &client_a, copy));
	assert_false(delivery_is_of(&f->d, &client_b, copy));
	assert_true(b_may(f, copy));
	assert_true(b_may(f, copy));
	assert_false(a_may(f, copy));
	assert_false(b_may(f, "t/2"));
}

static void a_publish_without_a_target_is_none(void **state)
{
	struct fixture *f = *state;

	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/1"));
	assert_false(delivery_publish(&f->d, &client_b, f->b, "t/1"));
	assert_int_equal(f->d.state, DELIVERY_NOBODY);
	assert_false(b_may(f, "t/1"));
}

static void after_anything_else_nobody_gets_it(void **state)
{
	struct fixture *f = *state;

	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/1"));
	delivery_end(&f->d);
	assert_false(b_may(f, "t/1"));
	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/1"));
	delivery_disconnect(&f->d);
	assert_false(b_may(f, "t/1"));
	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/1"));
	delivery_tick(&f->d);
	assert_int_equal(f->d.state, DELIVERY_OWN);
	assert_false(b_may(f, "t/1"));
}

static void behind_a_turn_comes_the_shadow_service(void **state)
{
	struct fixture *f = *state;

	assert_false(a_may(f, "$aws/things/A/shadow/get/accepted"));
	delivery_tick(&f->d);
	assert_true(a_may(f, "$aws/things/A/shadow/get/accepted"));
	assert_false(b_may(f, "$aws/things/A/shadow/get/accepted"));
	assert_false(a_may(f, "t/1"));
	assert_true(a_may(f, "$aws/things/A/shadow/get/accepted"));
	assert_false(a_may(f, "$SYS/broker/uptime"));
	delivery_end(&f->d);
	assert_false(a_may(f, "$aws/things/A/shadow/get/accepted"));
}

static void a_topic_over_its_ceiling_has_no_target(void **state)
{
	struct fixture *f = *state;
	char topic[LIMIT_MQTT_TOPIC + 2] = "$aws/";

	memset(topic + 5, 'x', sizeof(topic) - 6);
	topic[sizeof(topic) - 1] = '\0';
	delivery_tick(&f->d);
	assert_true(a_may(f, "$aws/x"));
	assert_false(a_may(f, topic));
	memcpy(topic, "t/xxx", 5);
	assert_false(delivery_publish(&f->d, &client_a, f->a, topic));
}

/// Also when messages of other sources and topics have come in between, with and without targets,
/// and on topics too long to be known.
static void what_is_known_of_a_message_is_what_is_found(void **state)
{
	struct fixture *f = *state;
	const struct router_endpoint *service =
		routes_endpoint(f->routes, LM_STR(ENDPOINT_SHADOWS));
	const struct router_endpoint *const sources[] = {f->a, f->b, service};
	static const char *const begins[] = {"t", "u", "$aws"};

	for (unsigned i = 0; i < 30000; i++) {
		const struct router_endpoint *source = sources[i % 3];
		char topic[LIMIT_MQTT_TOPIC + 1], other[LIMIT_MQTT_TOPIC + 2];
		int length = i % 7 == 0 ? 100 + (int)(i % 150) : 1;
		struct route_match match;

		(void)snprintf(
			topic, sizeof(topic), "%s/%0*u", begins[i % 11 % 3], length, i % 5003);
		(void)snprintf(other, sizeof(other), "%s0", topic);
		routes_match(f->routes, source, lm_str(topic), &match);
		assert_int_equal(delivery_publish(&f->d, source, source, topic), match.n > 0);
		assert_int_equal(a_may(f, topic), route_match_has(&match, f->a));
		assert_int_equal(b_may(f, topic), route_match_has(&match, f->b));
		assert_false(a_may(f, other) || b_may(f, other));
	}
}

/// What was found for one message is of no use for the next one: each time it is found anew.
static void many_subjects_at_once_are_united_for_each_message(void **state)
{
	static const char *const subjects[] = {"#", "+/#", "a/#", "+/+/#", "a/+/#", "+/b/#",
		"a/b/#", "+/+/+/#", "a/+/+/#", "a/b/+/#", "a/b/+/+", "a/b/c/d"};
	lm_auto_buf struct lm_buf text = LM_BUF(8192);
	struct delivery d;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(subjects); i++)
		lm_buf_printf(&text,
			"%s{\"source\":\"" THING_A "\",\"subject\":\"%s\",\"target\":\"%s\"}",
			i ? "," : "[", subjects[i],
			i + 1 < LM_ARRAY_SIZE(subjects) ? THING_A : THING_B);
	lm_buf_putc(&text, ']');
	struct routes *routes = tables_routes(lm_buf_cstr(&text), false);
	const struct router_endpoint *a = routes_client(routes, LM_STR("A"));
	const struct router_endpoint *b = routes_client(routes, LM_STR("B"));

	delivery_init(&d, routes);
	for (unsigned i = 0; i < 4; i++) {
		const char *topic = i % 2 == 0 ? "a/b/c/d" : "a/b/c/e";

		assert_true(delivery_publish(&d, &client_a, a, topic));
		assert_true(delivery_allows(&d, &client_a, a, topic));
		assert_int_equal(delivery_allows(&d, &client_b, b, topic), i % 2 == 0);
	}
	delivery_finish(&d);
	routes_destroy(routes);
}

static void what_waited_goes_to_the_client_that_connects(void **state)
{
	struct fixture *f = *state;

	delivery_connect(&f->d, &client_b, true);
	assert_true(b_may(f, "t/1"));
	assert_true(b_may(f, "t/2"));
	assert_false(b_may(f, "u"));
	assert_false(b_may(f, "$SYS/x"));
	assert_false(a_may(f, "$aws/x"));
	assert_true(delivery_is_waiting(&f->d, &client_b, "t/1"));
	assert_false(delivery_is_waiting(&f->d, &client_a, "t/1"));
	delivery_end(&f->d);
	assert_false(b_may(f, "t/1"));
	assert_false(delivery_is_waiting(&f->d, &client_b, "t/1"));
	delivery_connect(&f->d, &client_b, false);
	assert_true(delivery_is_waiting(&f->d, &client_b, "t/1"));
	assert_false(b_may(f, "t/1"));
}

/// mosquitto says so, and publishes its will, between the connect and what waited.
static void it_may_take_the_place_of_another_one(void **state)
{
	struct fixture *f = *state;

	delivery_connect(&f->d, &client_b, true);
	assert_true(delivery_publish(&f->d, &client_a, f->a, "t/will"));
	assert_false(delivery_is_waiting(&f->d, &client_b, "t/will"));
	assert_true(b_may(f, "t/will"));
	delivery_disconnect(&f->d);
	assert_true(b_may(f, "t/1"));
}

static void reserved_topics_are_the_brokers(void **state)
{
	struct fixture *f = *state;
	const struct router_endpoint *service =
		routes_endpoint(f->routes, LM_STR(ENDPOINT_SHADOWS));

	assert_true(delivery_publish(&f->d, &client_b, service, "$aws/x"));
	assert_false(delivery_publish(&f->d, &client_b, service, "$SYS/x"));
	assert_true(delivery_is_reserved(LM_STR("$SYS/broker")));
	assert_true(delivery_is_reserved(LM_STR("$share/group/t")));
	assert_true(delivery_is_reserved(LM_STR("$CONTROL/dynamic-security/v1")));
	assert_true(delivery_is_reserved(LM_STR("$lighterman/cloud/t")));
	assert_false(delivery_is_reserved(LM_STR("$aws/things/A/shadow/get")));
	assert_false(delivery_is_reserved(LM_STR("t")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_publish_goes_to_its_targets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_publish_without_a_target_is_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			after_anything_else_nobody_gets_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			behind_a_turn_comes_the_shadow_service, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_topic_over_its_ceiling_has_no_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_known_of_a_message_is_what_is_found, set_up, tear_down),
		cmocka_unit_test(many_subjects_at_once_are_united_for_each_message),
		cmocka_unit_test_setup_teardown(
			what_waited_goes_to_the_client_that_connects, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			it_may_take_the_place_of_another_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reserved_topics_are_the_brokers, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
