// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_facts.h"

#include "base/cleanup.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define GONE "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such thing\"}"

static const struct wait_limit forever = WAIT_FOREVER;

static const struct fake_answer answers[] = {
	{"GET /v1.41/info ",
		OK "{\"Name\":\"box\",\"DockerRootDir\":\"/var/lib/docker\","
		   "\"Plugins\":{\"Volume\":[\"local\"],\"Network\":[\"bridge\",1],\"Log\":null},"
		   "\"Runtimes\":{\"runc\":{}},\"SecurityOptions\":[\"name=seccomp\","
		   "\"name=rootless\"],\"Swarm\":{\"LocalNodeState\":\"active\"},"
		   "\"RegistryConfig\":{\"Mirrors\":[\"https://mirror.invalid/\"]}}",
		FAKE_CLOSE},
	{"GET /v1.41/plugins ",
		OK "[{\"Name\":\"vieux/sshfs:latest\",\"Enabled\":true},{\"Name\":\"off:1\","
		   "\"Enabled\":false}]",
		FAKE_CLOSE},
	{"GET /v1.41/volumes/p_data ", OK "{\"Driver\":\"local\",\"Options\":{\"o\":\"size=1m\"}}",
		FAKE_CLOSE},
	{"GET /v1.41/volumes/none ", GONE, FAKE_CLOSE},
	{"GET /v1.41/networks/a%2Fb ", OK "{}", FAKE_CLOSE},
	{"GET /v1.41/networks/none ", GONE, FAKE_CLOSE},
};

static void asks_the_engine(void **state)
{
	(void)state;
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = {.socket_path = f->path, .version = {.engine = "20.10", .minor = 41}};
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	struct engine_volume none = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_get_facts(&e, &forever, &facts, &err), LM_OK);
	assert_string_equal(facts.host_name, "box");
	assert_string_equal(facts.root_directory, "/var/lib/docker");
	assert_true(facts.rootless && facts.in_swarm && facts.has_mirrors && facts.plugins_known);
	assert_true(engine_names_have(&facts.volume_drivers, "local"));
	assert_int_equal(facts.network_drivers.n, 1);
	assert_int_equal(facts.log_drivers.n, 0);
	assert_true(engine_names_have(&facts.runtimes, "runc"));
	assert_int_equal(facts.plugins.n, 1);
	assert_string_equal(facts.plugins.items[0], "vieux/sshfs:latest");

	assert_int_equal(engine_inspect_volume(&e, "p_data", &forever, &volume, &err), LM_OK);
	assert_string_equal(engine_volume_option(&volume, "o"), "size=1m");
	assert_null(engine_volume_option(&volume, "type"));
	assert_int_equal(engine_inspect_volume(&e, "none", &forever, &none, &err), LM_E_NOT_FOUND);
	assert_int_equal(engine_find_network(&e, "a/b", &forever, &err), LM_OK);
	assert_int_equal(engine_find_network(&e, "none", &forever, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "look for network 'none': no such thing");
	fake_engine_destroy(f);
}

static void an_engine_that_says_little_has_neutral_facts(void **state)
{
	(void)state;
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_parse_info(LM_STR("{}"), &facts, &err), LM_OK);
	assert_string_equal(facts.host_name, "");
	assert_false(facts.rootless || facts.in_swarm || facts.has_mirrors || facts.plugins_known);
	assert_int_equal(engine_parse_volume(LM_STR("{\"Options\":null}"), &volume, &err), LM_OK);
	assert_int_equal(volume.options_n, 0);
	assert_int_equal(engine_parse_plugins(LM_STR("null"), &facts, &err), LM_OK);
	assert_true(facts.plugins_known);
}

static void refuses_what_is_no_answer(void **state)
{
	(void)state;
	struct engine_facts facts = {0};
	struct engine_volume volume = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_parse_info(LM_STR("[]"), &facts, &err), LM_E_PROTOCOL);
	assert_int_equal(engine_parse_plugins(LM_STR("{}"), &facts, &err), LM_E_PROTOCOL);
	assert_int_equal(engine_parse_volume(LM_STR("x"), &volume, &err), LM_E_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_the_engine),
		cmocka_unit_test(an_engine_that_says_little_has_neutral_facts),
		cmocka_unit_test(refuses_what_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
