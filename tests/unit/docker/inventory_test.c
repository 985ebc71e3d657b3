// SPDX-License-Identifier: Apache-2.0
#include "docker/inventory.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/// As an engine 20.10 answers.
static const char CONTAINERS[] =
	"[{\"Id\":\"c1\",\"Names\":[\"/other/db\",\"/db\"],\"State\":\"running\",\"Labels\":{"
	"\"com.docker.compose.project\":\"p\",\"com.docker.compose.service\":\"db\","
	"\"com.docker.compose.oneoff\":\"False\"},\"Ports\":[{\"IP\":\"0.0.0.0\",\"PrivatePort\":"
	"80,\"PublicPort\":8080,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}],"
	"\"NetworkSettings\":{\"Networks\":{\"backnet\":{\"NetworkID\":\"n1\"},\"fresh\":{"
	"\"NetworkID\":\"\"}}}},"
	"{\"Id\":\"c2\",\"Names\":[\"/run\"],\"State\":\"exited\",\"Labels\":{"
	"\"com.docker.compose.project\":\"p\",\"com.docker.compose.oneoff\":\"True\"},"
	"\"Ports\":[],\"NetworkSettings\":{\"Networks\":{}}},"
	"{\"Id\":\"c3\"}]";
static const char NETWORKS[] =
	"[{\"Id\":\"n1\",\"Name\":\"backnet\",\"Labels\":{\"com.docker.compose.project\":\"p\","
	"\"com.docker.compose.network\":\"back\"},\"IPAM\":{\"Config\":[{\"Subnet\":"
	"\"172.28.0.0/16\"}]}},{\"Id\":\"n2\",\"Name\":\"host\",\"IPAM\":{\"Config\":null}}]";

static void reads_what_each_holds(void **state)
{
	(void)state;
	lm_auto(inventory_finish) struct inventory all = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(inventory_parse_containers(lm_str(CONTAINERS), &all, &err), LM_OK);
	assert_int_equal(inventory_parse_networks(lm_str(NETWORKS), &all, &err), LM_OK);
	assert_int_equal(all.containers_n, 3);
	const struct inventory_container *c = &all.containers[0];
	assert_string_equal(c->name, "db");
	assert_string_equal(c->project, "p");
	assert_string_equal(c->service, "db");
	assert_int_equal(c->ports_n, 1);
	assert_string_equal(c->ports[0].ip, "0.0.0.0");
	assert_int_equal(c->ports[0].port, 8080);
	assert_string_equal(c->ports[0].protocol, "tcp");
	assert_int_equal(c->networks_n, 1);
	assert_string_equal(c->network_names[0], "backnet");
	assert_true(inventory_is_attached(c, "n1"));
	assert_false(inventory_is_attached(c, ""));
	assert_true(inventory_is_active(c));
	assert_true(all.containers[1].oneoff);
	assert_false(inventory_is_active(&all.containers[1]));
	assert_string_equal(all.containers[2].name, "");
	assert_string_equal(all.containers[2].project, "");
	assert_int_equal(all.networks_n, 2);
	assert_string_equal(all.networks[0].key, "back");
	assert_string_equal(all.networks[0].subnets[0], "172.28.0.0/16");
	assert_int_equal(all.networks[1].subnets_n, 0);
}

static void refuses_what_is_no_list_of_objects(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "{}", "[1]", "[{}", "null"};
	struct inventory all = {0};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(
			inventory_parse_containers(lm_str(bad[i]), &all, &err), LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "list of containers"));
		assert_int_equal(
			inventory_parse_networks(lm_str(bad[i]), &all, &err), LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "list of networks"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_each_holds),
		cmocka_unit_test(refuses_what_is_no_list_of_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
