// SPDX-License-Identifier: Apache-2.0
#include "worker/policy_check.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char found[256]; ///< The names of the policies that were found, each with a blank.

static void on_found(void *ctx, const char *message, const char *fix)
{
	struct lm_str rest = lm_str(message), name = lm_str_cut(&rest, ' ');
	(void)ctx;

	assert_true(lm_str_starts(name, LM_STR("Policy.")));
	assert_non_null(strstr(fix, "add a healthcheck"));
	(void)snprintf(
		found + strlen(found), sizeof(found) - strlen(found), "%.*s ", LM_STR_ARG(name));
}

/// Two services, of which the second is active only with `both`.
static const char *check(const struct connector_policy *policy, enum policy_health first,
	enum policy_health second, bool restarts, bool both)
{
	struct compose_service items[] = {
		{.name = (char *)"web", .active = true, .restarts = restarts},
		{.name = (char *)"debug", .active = both, .restarts = true}};
	const struct compose_services services = {items, 2};
	const enum policy_health health[] = {first, second};

	found[0] = '\0';
	policy_check(policy, &services, health, on_found, NULL);
	return found;
}

static const struct connector_policy BOTH = {.restart_unhealthy = true, .probation_s = 60};

static void policies_for_health_need_a_health_check(void **state)
{
	(void)state;
	assert_string_equal(check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_NONE, false, false),
		"Policy.RestartUnhealthy Policy.ProbationSeconds ");
	assert_string_equal(
		check(&BOTH, POLICY_HEALTH_CHECKED, POLICY_HEALTH_NONE, false, false), "");
	assert_string_equal(
		check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_CHECKED, false, true), "");
	// A service that does not run does not count.
	assert_string_equal(check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_CHECKED, false, false),
		"Policy.RestartUnhealthy Policy.ProbationSeconds ");
}

static void a_probation_sees_crash_loops_of_what_is_restarted(void **state)
{
	(void)state;
	assert_string_equal(check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_NONE, true, false),
		"Policy.RestartUnhealthy ");
	assert_string_equal(check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_NONE, false, true),
		"Policy.RestartUnhealthy ");
}

static void what_is_not_known_is_not_found(void **state)
{
	(void)state;
	assert_string_equal(
		check(&BOTH, POLICY_HEALTH_UNKNOWN, POLICY_HEALTH_NONE, false, false), "");
	assert_string_equal(
		check(&BOTH, POLICY_HEALTH_NONE, POLICY_HEALTH_UNKNOWN, false, true), "");
}

static void without_such_policies_there_is_nothing_to_find(void **state)
{
	const struct connector_policy other = {.wait_healthy = true, .rollback_on_failure = true};

	(void)state;
	assert_string_equal(
		check(&other, POLICY_HEALTH_NONE, POLICY_HEALTH_NONE, false, false), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_for_health_need_a_health_check),
		cmocka_unit_test(a_probation_sees_crash_loops_of_what_is_restarted),
		cmocka_unit_test(what_is_not_known_is_not_found),
		cmocka_unit_test(without_such_policies_there_is_nothing_to_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
