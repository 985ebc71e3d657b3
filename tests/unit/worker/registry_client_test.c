// SPDX-License-Identifier: Apache-2.0
#include "worker/registry_client.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "registry/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>

static void only_this_machines_addresses_are_local(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool local;
	} cases[] = {
		{"localhost", true},
		{"localhost:5000", true},
		{"127.0.0.1:5000", true},
		{"127.1.2.3", true},
		{"[::1]:5000", true},
		{"[::1]", true},
		{"localhost.example", false},
		{"127.0.0.1.example:5000", false},
		{"127x.example", false},
		{"[::10]", false},
		{"registry.example:5000", false},
		{"10.127.0.0", false},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(registry_route_is_local(lm_str(cases[i].host)), cases[i].local);
}

static void speaks_plain_text_to_this_machine_alone(void **state)
{
	(void)state;
	static const struct {
		const char *registry, *origin;
		bool plain;
	} cases[] = {
		{"localhost:5000", "http://localhost:5000", true},
		{"registry.example:5000", "https://registry.example:5000", false},
		{"docker.io", "https://registry-1.docker.io", false},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(registry_route_finish) struct registry_route route = {0};
		registry_route_find(cases[i].registry, "/nonexistent", &route);
		assert_string_equal(route.origin, cases[i].origin);
		assert_int_equal(route.plain, cases[i].plain);
		assert_null(route.ca);
	}
}

/// So the registry's own authority is trusted there, too.
static void an_address_at_the_registry_itself_has_its_origin(void **state)
{
	(void)state;
	static const char *const registries[] = {
		"registry.example:443", "Registry.Example:5000", "registry.example", "[::1]:0443"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(registries); i++) {
		lm_auto(registry_route_finish) struct registry_route route = {0};
		lm_auto(registry_url_finish) struct registry_url url = {0};

		registry_route_find(registries[i], "/nonexistent", &route);
		lm_auto_free char *realm = lm_xasprintf(
			"%s://%s/token", route.plain ? "http" : "https", registries[i]);
		assert_int_equal(registry_url_parse(lm_str(realm), NULL, &url, NULL), LM_OK);
		assert_string_equal(url.origin, route.origin);
	}
}

static void an_authority_of_its_own_means_tls(void **state)
{
	(void)state;
	char dir[] = "/tmp/registry_route_test.XXXXXX";
	lm_auto(registry_route_finish) struct registry_route route = {0};
	struct lm_err err = {0};

	assert_non_null(mkdtemp(dir));
	lm_auto_free char *folder = lm_xasprintf("%s/localhost:5000", dir);
	lm_auto_free char *ca = lm_xasprintf("%s/ca.crt", folder);
	assert_int_equal(lm_dir_make(folder, 0700, &err), LM_OK);
	assert_int_equal(lm_file_replace(AT_FDCWD, ca, LM_STR("PEM"), 0600, &err), LM_OK);
	registry_route_find("localhost:5000", dir, &route);
	assert_string_equal(route.origin, "https://localhost:5000");
	assert_string_equal(route.ca, ca);
	assert_false(route.plain);
	assert_int_equal(lm_tree_remove(AT_FDCWD, dir, &err), LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_this_machines_addresses_are_local),
		cmocka_unit_test(speaks_plain_text_to_this_machine_alone),
		cmocka_unit_test(an_address_at_the_registry_itself_has_its_origin),
		cmocka_unit_test(an_authority_of_its_own_means_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
