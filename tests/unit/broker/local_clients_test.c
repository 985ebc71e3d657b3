// SPDX-License-Identifier: Apache-2.0
#include "broker/local_clients.h"

#include "tables.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define A_TO_B "{\"source\":\"" THING_A "\",\"subject\":\"t\",\"target\":\"" THING_B "\"}"
#define B_TO_A "{\"source\":\"" THING_B "\",\"subject\":\"t\",\"target\":\"" THING_A "\"}"

static const char token_1, token_2, token_3;

struct fixture {
	struct routes *routes;
	struct local_clients *c;
	char refused[64];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->routes = tables_routes("[" A_TO_B "," B_TO_A "]", false);
	f->c = local_clients_create(f->routes);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	local_clients_destroy(f->c);
	routes_destroy(f->routes);
	free(f);
	return 0;
}

static const struct router_endpoint *endpoint_of(struct fixture *f, const char *id)
{
	return routes_client(f->routes, lm_str(id));
}

/// Returns whether what waited may be delivered.
static bool connect_client(
	struct fixture *f, const char *id, const void *token, const char *certificate)
{
	struct identity shown = {
		.client_id = id, .certificate = certificate, .local = !certificate};
	bool waiting = false;

	(void)local_clients_connect(f->c, endpoint_of(f, id), token, &shown, 5, &waiting);
	return waiting;
}

static void refuse(void *ctx, const char *client_id, const char *why)
{
	struct fixture *f = ctx;

	assert_non_null(why);
	(void)snprintf(f->refused + strlen(f->refused), sizeof(f->refused) - strlen(f->refused),
		"%s ", client_id);
	assert_true(local_clients_disconnect(f->c,
		strcmp(client_id, "B") == 0 ? (const void *)&token_2 : (const void *)&token_1,
		client_id, 9));
}

static void load(struct fixture *f, const char *subscriptions, bool alone)
{
	struct routes *old = f->routes;

	f->routes = tables_routes(subscriptions, alone);
	local_clients_set_routes(f->c, f->routes, refuse, f);
	routes_destroy(old);
}

static void a_client_is_its_id_whatever_its_token(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		assert_ptr_equal(local_clients_identify(f->c, &token_1, "A"), endpoint_of(f, "A"));
		assert_ptr_equal(local_clients_identify(f->c, &token_1, "B"), endpoint_of(f, "B"));
		assert_null(local_clients_identify(f->c, &token_1, "C"));
		assert_null(local_clients_identify(f->c, &token_1, NULL));
	}
}

static void the_last_one_with_an_id_is_connected(void **state)
{
	struct fixture *f = *state;

	connect_client(f, "A", &token_1, CERTIFICATE_A);
	assert_true(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_1));
	connect_client(f, "A", &token_3, CERTIFICATE_A);
	assert_false(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_1));
	assert_false(local_clients_disconnect(f->c, &token_1, "A", 7));
	assert_true(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_3));
	assert_true(local_clients_disconnect(f->c, &token_3, "A", 7));
	assert_false(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_3));
	assert_false(local_clients_is_connected(f->c, endpoint_of(f, "B"), &token_3));
	assert_int_equal(local_clients_at(f->c, 0)->since_ms, 7);
	assert_null(local_clients_at(f->c, 1));
}

static void a_reload_keeps_who_is_still_somebody(void **state)
{
	struct fixture *f = *state;

	connect_client(f, "A", &token_1, CERTIFICATE_A);
	connect_client(f, "B", &token_2, CERTIFICATE_B);
	connect_client(f, FUNCTION, &token_3, NULL);
	local_clients_of(f->c, endpoint_of(f, "A"))->routed = 3;
	load(f, "[]", true);
	assert_string_equal(f->refused, "B ");
	assert_int_equal(local_clients_of(f->c, endpoint_of(f, "A"))->routed, 3);
	assert_true(local_clients_is_connected(f->c, endpoint_of(f, FUNCTION), &token_3));
	assert_null(local_clients_identify(f->c, &token_2, "B"));
	assert_null(local_clients_at(f->c, 2));
	load(f, "[]", false);
	assert_null(local_clients_of(f->c, endpoint_of(f, "B")));
}

static void what_waits_is_lost_with_its_subscription(void **state)
{
	struct fixture *f = *state;

	assert_false(connect_client(f, "A", &token_1, CERTIFICATE_A));
	assert_false(connect_client(f, "B", &token_2, CERTIFICATE_B));
	assert_true(connect_client(f, "B", &token_2, CERTIFICATE_B));
	load(f, "[" A_TO_B "," B_TO_A "]", false);
	assert_true(connect_client(f, "B", &token_2, CERTIFICATE_B));
	load(f, "[" B_TO_A "]", false);
	load(f, "[" A_TO_B "," B_TO_A "]", false);
	assert_true(connect_client(f, "A", &token_1, CERTIFICATE_A));
	assert_false(connect_client(f, "B", &token_2, CERTIFICATE_B));
	assert_true(connect_client(f, "B", &token_2, CERTIFICATE_B));
}

static void who_is_away_may_be_barred(void **state)
{
	struct fixture *f = *state;

	connect_client(f, "A", &token_1, CERTIFICATE_B);
	assert_true(local_clients_disconnect(f->c, &token_1, "A", 7));
	load(f, "[]", false);
	assert_string_equal(f->refused, "");
	assert_true(local_clients_of(f->c, endpoint_of(f, "A"))->barred);
	connect_client(f, "A", &token_1, CERTIFICATE_A);
	assert_false(local_clients_of(f->c, endpoint_of(f, "A"))->barred);
	assert_true(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_1));
	local_clients_of(f->c, endpoint_of(f, "A"))->barred = true;
	assert_false(local_clients_is_connected(f->c, endpoint_of(f, "A"), &token_1));
}

static void who_is_stuck_is_told_once(void **state)
{
	struct fixture *f = *state;

	assert_null(local_clients_take_stuck(f->c));
	connect_client(f, "A", &token_1, CERTIFICATE_A);
	connect_client(f, "B", &token_2, CERTIFICATE_B);
	local_clients_of(f->c, endpoint_of(f, "A"))->stuck = true;
	local_clients_of(f->c, endpoint_of(f, "B"))->stuck = true;
	assert_true(local_clients_disconnect(f->c, &token_1, "A", 7));
	assert_string_equal(local_clients_take_stuck(f->c)->id, "B");
	assert_null(local_clients_take_stuck(f->c));
	connect_client(f, "A", &token_1, CERTIFICATE_A);
	assert_null(local_clients_take_stuck(f->c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_away_may_be_barred, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_stuck_is_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_client_is_its_id_whatever_its_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_last_one_with_an_id_is_connected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_reload_keeps_who_is_still_somebody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_waits_is_lost_with_its_subscription, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
