// SPDX-License-Identifier: Apache-2.0
#include "discovery/client_rate.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1000000 };

static struct client_key client(unsigned number)
{
	return (struct client_key){.bytes = {(uint8_t)number, (uint8_t)(number >> 8)}};
}

static unsigned take_all(struct client_rate *rate, unsigned number, uint64_t now_ms)
{
	const struct client_key key = client(number);
	unsigned n = 0;

	while (n < 1000 && client_rate_take(rate, &key, now_ms))
		n++;
	return n;
}

static void takes_a_burst_and_then_one_an_interval(void **state)
{
	(void)state;
	lm_auto(client_rate_destroy_p) struct client_rate *rate = client_rate_create(4, 3, 100);

	assert_int_equal(take_all(rate, 1, NOW), 3);
	assert_int_equal(take_all(rate, 1, NOW + 99), 0);
	assert_int_equal(take_all(rate, 1, NOW + 100), 1);
	assert_int_equal(take_all(rate, 1, NOW + 350), 2);
	assert_int_equal(take_all(rate, 1, NOW + 100000), 3);
}

static void what_is_refused_does_not_count(void **state)
{
	(void)state;
	lm_auto(client_rate_destroy_p) struct client_rate *rate = client_rate_create(4, 1, 100);
	const struct client_key key = client(1);

	assert_true(client_rate_take(rate, &key, NOW));
	for (int i = 0; i < 99; i++)
		assert_false(client_rate_take(rate, &key, NOW + (uint64_t)i));
	assert_true(client_rate_take(rate, &key, NOW + 100));
}

static void clients_do_not_share(void **state)
{
	(void)state;
	lm_auto(client_rate_destroy_p) struct client_rate *rate = client_rate_create(4, 3, 100);

	assert_int_equal(take_all(rate, 1, NOW), 3);
	assert_int_equal(take_all(rate, 2, NOW), 3);
}

static void those_at_their_limit_are_kept_longest(void **state)
{
	(void)state;
	lm_auto(client_rate_destroy_p) struct client_rate *rate = client_rate_create(4, 3, 100);
	struct client_key key;

	assert_int_equal(take_all(rate, 1, NOW), 3);
	for (unsigned i = 2; i < 500; i++) { // each once
		key = client(i);
		assert_true(client_rate_take(rate, &key, NOW));
	}
	assert_int_equal(take_all(rate, 1, NOW), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_burst_and_then_one_an_interval),
		cmocka_unit_test(what_is_refused_does_not_count),
		cmocka_unit_test(clients_do_not_share),
		cmocka_unit_test(those_at_their_limit_are_kept_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
