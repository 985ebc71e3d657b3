// SPDX-License-Identifier: Apache-2.0
#include "daemon/policy_cache.h"

#include "base/memory.h"
#include "daemon/generation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DAMAGED = 9 };

static struct policy_cache cache;
static unsigned reads;

/// Generation `n` logs every `n` seconds, and an even one has its unhealthy containers restarted.
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err);
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	assert_ptr_equal(s, cache.store);
	reads++;
	if (n == DAMAGED)
		return lm_fail(err, LM_E_SYS, 0, "generation %u is damaged", n);
	*ret = lm_xcalloc(1, sizeof(**ret));
	(*ret)->connector.status_log_frequency_s = n;
	(*ret)->connector.policy.restart_unhealthy = n % 2 == 0;
	return LM_OK;
}

static int set_up(void **state)
{
	static char store;

	(void)state;
	cache = (struct policy_cache){.store = (struct store *)&store};
	reads = 0;
	return 0;
}

static void reads_each_setting_of_a_generation_once(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(policy_cache_frequency_s(&cache, 2), 2);
		assert_true(policy_cache_restarts_unhealthy(&cache, 2));
	}
	assert_int_equal(reads, 2);
}

static void has_those_of_the_generation_that_is_asked_about(void **state)
{
	(void)state;
	assert_int_equal(policy_cache_frequency_s(&cache, 2), 2);
	assert_true(policy_cache_restarts_unhealthy(&cache, 2));
	// What is deployed is not always what runs.
	assert_int_equal(policy_cache_frequency_s(&cache, 3), 3);
	assert_true(policy_cache_restarts_unhealthy(&cache, 2));
	assert_int_equal(reads, 3);
	assert_false(policy_cache_restarts_unhealthy(&cache, 3));
	assert_int_equal(policy_cache_frequency_s(&cache, 2), 2);
}

static void what_cannot_be_read_is_off_and_not_read_again(void **state)
{
	(void)state;
	assert_true(policy_cache_restarts_unhealthy(&cache, 2));
	assert_int_equal(policy_cache_frequency_s(&cache, 2), 2);
	reads = 0;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(policy_cache_frequency_s(&cache, DAMAGED), 0);
		assert_false(policy_cache_restarts_unhealthy(&cache, DAMAGED));
	}
	assert_int_equal(reads, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		TEST(reads_each_setting_of_a_generation_once),
		TEST(has_those_of_the_generation_that_is_asked_about),
		TEST(what_cannot_be_read_is_off_and_not_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
