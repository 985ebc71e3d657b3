// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_hashes.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void finds_the_hash_of_a_service(void **state)
{
	(void)state;
	lm_auto(compose_hashes_finish) struct compose_hashes hashes = {0};
	struct lm_err err = {0};

	assert_int_equal(
		compose_hashes_parse(LM_STR("web 0a1b\r\n\ndb.x-1 ff\n"), &hashes, &err), LM_OK);
	assert_int_equal(hashes.n, 2);
	assert_string_equal(compose_hashes_get(&hashes, "web"), "0a1b");
	assert_string_equal(compose_hashes_get(&hashes, "db.x-1"), "ff");
	assert_null(compose_hashes_get(&hashes, "we"));
}

static void refuses_lines_that_are_no_hashes(void **state)
{
	(void)state;
	static const char *const bad[] = {"web", "web ", "web 0a 0b", "web XYZ", "WARNING: unset"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct compose_hashes hashes = {0};
		struct lm_err err = {0};
		assert_int_equal(
			compose_hashes_parse(lm_str(bad[i]), &hashes, &err), LM_E_PROTOCOL);
		assert_null(hashes.items);
	}
}

static const char CONFIG[] = "services:\n"
			     "  web:\n"
			     "    depends_on: {db: {condition: service_started}}\n"
			     "    links: ['cache:c']\n"
			     "    volumes_from: ['service:disk:rw', 'container:x']\n"
			     "    deploy: {replicas: 3}\n"
			     "  side: {network_mode: 'service:web', pid: 'service:db', scale: 0}\n"
			     "  plain: {network_mode: host}\n"
			     "  empty:\n";

static void assert_tie(const struct compose_ties *ties, const char *service, unsigned replicas,
	bool is_late, const char *follows)
{
	const struct compose_tie *tie = compose_ties_get(ties, service);
	char found[200] = "";

	assert_non_null(tie);
	for (size_t i = 0; i < tie->follows_n; i++)
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ",
			tie->follows[i]);
	assert_string_equal(found, follows);
	assert_int_equal(tie->replicas, replicas);
	assert_int_equal(tie->hash_is_late, is_late);
}

static void generation_2_follows_all_that_it_depends_on(void **state)
{
	(void)state;
	lm_auto(compose_ties_finish) struct compose_ties ties = {0};
	struct lm_err err = {0};

	assert_int_equal(compose_ties_parse(lm_str(CONFIG), 2, &ties, &err), LM_OK);
	assert_tie(&ties, "web", 3, true, "cache disk db ");
	assert_tie(&ties, "side", 0, true, "web db ");
	assert_tie(&ties, "plain", 1, false, "");
	assert_tie(&ties, "empty", 1, false, "");
	assert_null(compose_ties_get(&ties, "none"));
}

static void generation_1_follows_links_and_processes(void **state)
{
	(void)state;
	lm_auto(compose_ties_finish) struct compose_ties ties = {0};
	struct lm_err err = {0};

	assert_int_equal(compose_ties_parse(lm_str(CONFIG), 1, &ties, &err), LM_OK);
	assert_tie(&ties, "web", 3, false, "cache ");
	assert_tie(&ties, "side", 0, false, "db ");
}

static void refuses_what_has_no_services(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "[]", "a: b", "services: []", "services: {"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct compose_ties ties = {0};
		struct lm_err err = {0};
		assert_int_equal(compose_ties_parse(lm_str(bad[i]), 2, &ties, &err), LM_E_INVALID);
		assert_null(ties.items);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_hash_of_a_service),
		cmocka_unit_test(refuses_lines_that_are_no_hashes),
		cmocka_unit_test(generation_2_follows_all_that_it_depends_on),
		cmocka_unit_test(generation_1_follows_links_and_processes),
		cmocka_unit_test(refuses_what_has_no_services),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
