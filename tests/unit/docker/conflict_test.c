// SPDX-License-Identifier: Apache-2.0
#include "docker/conflict.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CONTAINER(id, name, state, project, service, more)                                         \
	"{\"Id\":\"" id "\",\"Names\":[\"/" name "\"],\"State\":\"" state                          \
	"\",\"Labels\":{\"com.docker.compose.project\":\"" project                                 \
	"\",\"com.docker.compose.service\":\"" service "\"}" more "}"
#define PORT(ip, port, protocol)                                                                   \
	",\"Ports\":[{\"IP\":\"" ip "\",\"PublicPort\":" #port ",\"Type\":\"" protocol "\"}]"
#define IN_NETWORK(name, id)                                                                       \
	",\"NetworkSettings\":{\"Networks\":{\"" name "\":{\"NetworkID\":\"" id "\"}}}"
#define NETWORK(id, name, project, key, subnet)                                                    \
	"{\"Id\":\"" id "\",\"Name\":\"" name                                                      \
	"\",\"Labels\":{\"com.docker.compose.project\":\"" project                                 \
	"\",\"com.docker.compose.network\":\"" key                                                 \
	"\"},\"IPAM\":{\"Config\":[{\"Subnet\":\"" subnet "\"}]}}"

/// What is found, as conflicts_describe has it.
static void assert_found(const char *config, const char *containers, const char *networks,
	const struct listeners *listeners, unsigned generation, const char *expected)
{
	lm_auto(compose_services_finish) struct compose_services services = {0};
	lm_auto(compose_resources_finish) struct compose_resources wanted = {0};
	lm_auto(engine_inventory_finish) struct engine_inventory all = {0};
	lm_auto(conflicts_finish) struct conflicts found = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(4000);
	lm_auto_buf struct lm_buf list = LM_BUF(4000);
	struct lm_err err = {LM_OK};

	assert_int_equal(compose_services_parse(lm_str(config), &services, &err), LM_OK);
	assert_int_equal(
		compose_resources_parse(lm_str(config), "p", generation, &services, &wanted, &err),
		LM_OK);
	(void)lm_buf_printf(&list, "[%s]", containers);
	assert_int_equal(
		engine_parse_containers(lm_buf_str(&list), NULL, &all.containers, &err), LM_OK);
	lm_buf_clear(&list);
	(void)lm_buf_printf(&list, "[%s]", networks);
	assert_int_equal(
		engine_parse_networks(lm_buf_str(&list), NULL, &all.networks, &err), LM_OK);
	conflict_find(&(struct conflict_search){.project = "p",
			      .generation = generation,
			      .wanted = &wanted,
			      .inventory = &all,
			      .listeners = listeners},
		&found);
	conflicts_describe(&found, &all, &text);
	assert_string_equal(lm_buf_cstr(&text), expected);
}

#define DB "services: {db: {container_name: the-db, network_mode: none}}"

static void a_name_is_held_by_any_container_but_the_services_own(void **state)
{
	(void)state;
	assert_found(DB, CONTAINER("1", "the-db", "exited", "p", "old", ""), "", NULL, 1,
		"the container name 'the-db' of service db is in use by container 'the-db' of an "
		"earlier deployment: run 'docker rm -f the-db', or set ForceDeploy to True");
	assert_found(DB, CONTAINER("1", "the-db", "exited", "q", "db", ""), "", NULL, 1,
		"the container name 'the-db' of service db is in use by container 'the-db', which "
		"does not belong to this application (project 'q'): run 'docker rm -f the-db', or "
		"choose "
		"another name in the compose file");
	assert_found(DB, CONTAINER("1", "the-db", "exited", "p", "db", ""), "", NULL, 1, "");
	assert_found(DB, CONTAINER("1", "the-db-2", "exited", "q", "db", ""), "", NULL, 1, "");
}

static void generated_names_are_those_of_the_generation(void **state)
{
	(void)state;
	static const char file[] = "services: {db: {network_mode: none}}";
	static const char first[] = CONTAINER("1", "p_db_1", "exited", "", "", "");
	static const char second[] = CONTAINER("1", "p-db-1", "exited", "", "", "");

	assert_found(file, first, "", NULL, 2, "");
	assert_found(file, second, "", NULL, 1, "");
	assert_found(file, second, "", NULL, 2,
		"the container name 'p-db-1' of service db is in use by container 'p-db-1', which "
		"does not belong to this application: run 'docker rm -f p-db-1', or choose another "
		"name in "
		"the compose file");
}

#define WEB(ports) "services: {web: {network_mode: bridge, ports: [" ports "]}}"

static void assert_port(const char *ports, const char *container_ports, bool taken)
{
	lm_auto_buf struct lm_buf container = LM_BUF(1000);
	lm_auto_buf struct lm_buf file = LM_BUF(1000);

	(void)lm_buf_printf(&file, WEB("%s"), ports);
	(void)lm_buf_printf(
		&container, CONTAINER("1", "x", "running", "p", "old", "%s"), container_ports);
	assert_found(lm_buf_cstr(&file), lm_buf_cstr(&container), "", NULL, 1,
		taken ? "port 8080/tcp of service web is in use by container 'x' of an earlier "
			"deployment: run 'docker rm -f x', or set ForceDeploy to True"
		      : "");
}

static void a_port_is_held_on_an_address_and_for_a_protocol(void **state)
{
	(void)state;
	assert_port("'8080:80'", PORT("0.0.0.0", 8080, "tcp"), true);
	assert_port("'8080:80'", PORT("127.0.0.1", 8080, "tcp"), true);
	assert_port("'8080:80'", PORT("::1", 8080, "tcp"), true);
	assert_port("'8080:80'", PORT("0.0.0.0", 8080, "udp"), false);
	assert_port("'8080:80'", PORT("0.0.0.0", 8081, "tcp"), false);
	assert_port("'127.0.0.1:8080:80'", PORT("127.0.0.2", 8080, "tcp"), false);
	assert_port("'127.0.0.1:8080:80'", PORT("::", 8080, "tcp"), false);
	assert_port("'8080-8081:80'", PORT("0.0.0.0", 8080, "tcp"), false);
}

static void of_a_range_one_free_port_is_enough(void **state)
{
	(void)state;
	assert_found(WEB("'8080-8081:80'"),
		CONTAINER("1", "x", "running", "q", "", PORT("0.0.0.0", 8080, "tcp")) "," CONTAINER(
			"2", "y", "running", "q", "", PORT("0.0.0.0", 8081, "tcp")),
		"", NULL, 1,
		"port 8080/tcp of service web is in use by container 'x', which does not belong to "
		"this application (project 'q'): run 'docker rm -f x', or publish another port");
}

static void a_services_own_container_holds_its_port(void **state)
{
	(void)state;
	struct listener proxy = {.port = 8080};
	struct listeners listeners = {.items = &proxy, .n = 1};

	assert_found(WEB("'8080:80'"),
		CONTAINER("1", "p_web_1", "running", "p", "web", PORT("0.0.0.0", 8080, "tcp")), "",
		&listeners, 1, "");
}

static void two_services_of_the_file_cannot_have_one_port(void **state)
{
	(void)state;
	assert_found("services: {a: {network_mode: bridge, ports: ['8080:80']}, "
		     "b: {network_mode: bridge, ports: ['8080:81']}}",
		CONTAINER("1", "p_a_1", "running", "p", "a", PORT("0.0.0.0", 8080, "tcp")), "",
		NULL, 1,
		"port 8080/tcp of service b is published by service a of the compose file as well: "
		"change one of them");
}

static void a_program_that_listens_holds_its_port(void **state)
{
	(void)state;
	struct listener l = {.port = 8080, .uid = 0, .inode = 1};
	struct listeners listeners = {.items = &l, .n = 1};
	static const char taken[] =
		"port 127.0.0.1:8080/tcp of service web is in use by a program of user root: stop "
		"it (as root, 'ss -ltnp sport = :8080' names it), or publish another port";

	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &l.address), 1);
	assert_found(WEB("'127.0.0.1:8080:80'"), "", "", &listeners, 1, taken);
	assert_found(WEB("'127.0.0.2:8080:80'"), "", "", &listeners, 1, "");
	assert_found(WEB("'127.0.0.1:8080:80/udp'"), "", "", &listeners, 1, "");
	assert_found(WEB("'127.0.0.1:8080:80/sctp'"), "", "", &listeners, 1, "");
	// Everywhere on IPv6 is everywhere on IPv4, too.
	l = (struct listener){.port = 8080, .inode = 1, .ipv6 = true};
	assert_found(WEB("'127.0.0.1:8080:80'"), "", "", &listeners, 1, taken);
}

#define NET "services: {a: {networks: [back]}}\nnetworks: {back: {name: backnet}}"

static void only_generation_2_minds_a_networks_labels(void **state)
{
	(void)state;
	static const char of_1[] = NETWORK("n1", "backnet", "p", "backnet", "10.1.0.0/16");

	assert_found(NET, "", of_1, NULL, 1, "");
	assert_found(NET, "", of_1, NULL, 2,
		"the network name 'backnet' is in use by a network of an earlier deployment: run "
		"'docker network rm backnet', or set ForceDeploy to True");
	assert_found(NET, "", NETWORK("n1", "backnet", "p", "back", "10.1.0.0/16"), NULL, 2, "");
	assert_found(NET, "", NETWORK("n1", "backnet", "", "", "10.1.0.0/16"), NULL, 2,
		"the network name 'backnet' is in use by a network, which does not belong to this "
		"application: run 'docker network rm backnet', or choose another name in the "
		"compose file");
	assert_found("services: {a: {networks: [x]}}\nnetworks: {x: {external: true}}", "",
		NETWORK("n1", "x", "", "", "10.1.0.0/16"), NULL, 2, "");
}

static void a_stranger_in_a_network_of_ours_is_named(void **state)
{
	(void)state;
	assert_found(NET, CONTAINER("1", "x", "running", "", "", IN_NETWORK("backnet", "n1")),
		NETWORK("n1", "backnet", "p", "backnet", "10.1.0.0/16"), NULL, 2,
		"the network name 'backnet' is in use by a network of an earlier deployment, which "
		"container 'x' uses, which does not belong to this application: run 'docker "
		"network "
		"disconnect -f backnet x'");
}

#define POOL                                                                                       \
	"services: {a: {networks: {pool: null}}}\n"                                                \
	"networks: {pool: {ipam: {config: [{subnet: 10.1.64.0/18}]}}}"

static void subnets_overlap_in_either_direction(void **state)
{
	(void)state;
	static const char ours[] =
		"the subnet 10.1.64.0/18 overlaps with %s of network 'old' of an earlier "
		"deployment: run 'docker network rm old', or set ForceDeploy to True";
	char text[400];

	(void)snprintf(text, sizeof(text), ours, "10.1.0.0/16");
	assert_found(POOL, "", NETWORK("n1", "old", "p", "old", "10.1.0.0/16"), NULL, 1, text);
	(void)snprintf(text, sizeof(text), ours, "10.1.100.0/24");
	assert_found(POOL, "", NETWORK("n1", "old", "p", "old", "10.1.100.0/24"), NULL, 1, text);
	assert_found(POOL, "", NETWORK("n1", "old", "p", "old", "10.1.128.0/24"), NULL, 1, "");
	assert_found(POOL, "", NETWORK("n1", "old", "p", "old", "fd00::/64"), NULL, 1, "");
	assert_found(POOL, "", NETWORK("n1", "old", "p", "old", "nonsense"), NULL, 1, "");
	assert_found(POOL, "", NETWORK("n1", "p_pool", "p", "pool", "10.1.64.0/18"), NULL, 1, "");
}

#define CHANGED(driver, options, more, project)                                                    \
	"{\"Id\":\"n1\",\"Name\":\"backnet\",\"Driver\":\"" driver                                 \
	"\",\"Labels\":{\"com.docker.compose.project\":\"" project "\"},\"Options\":{" options     \
	"}" more "}"
#define BACK(definition)                                                                           \
	"services: {a: {networks: [back]}}\nnetworks: {back: {name: backnet" definition "}}"

static void assert_changed(const char *file, const char *network, const char *option)
{
	char text[400] = "";

	if (option)
		(void)snprintf(text, sizeof(text),
			"the network 'backnet' differs in '%s' from the network of that name of an "
			"earlier deployment: run 'lighterman stop' and deploy again, or set "
			"ForceDeploy to True",
			option);
	assert_found(file, "", network, NULL, 1, text);
}

static void generation_1_minds_a_networks_definition(void **state)
{
	(void)state;
	static const char plain[] = CHANGED("bridge", "", "", "p");
	static const char mtu[] = CHANGED("bridge", "\"mtu\":\"9000\"", "", "p");

	assert_changed(BACK(""), plain, NULL);
	assert_changed(BACK(", driver: bridge, internal: false, enable_ipv6: false"), plain, NULL);
	assert_changed(BACK(", driver: macvlan"), plain, "driver");
	assert_changed(BACK(", driver_opts: {mtu: 9000}"), mtu, NULL);
	assert_changed(BACK(", driver_opts: {mtu: 1400}"), mtu, "mtu");
	assert_changed(BACK(""), mtu, "mtu");
	assert_changed(BACK(", driver_opts: {mtu: 1400}"), plain, "mtu");
	assert_changed(BACK(", internal: true"), plain, "internal");
	assert_changed(BACK(", enable_ipv6: true"), plain, "enable_ipv6");
	assert_changed(BACK(", internal: true, enable_ipv6: true"),
		CHANGED("bridge", "", ",\"Internal\":true,\"EnableIPv6\":true", "p"), NULL);
	assert_changed(BACK(""),
		CHANGED("overlay", "\"com.docker.network.driver.overlay.vxlanid_list\":\"4097\"",
			"", "p"),
		NULL);
	assert_changed(BACK(", external: true, driver: macvlan"), plain, NULL);
	assert_found(BACK(", driver: macvlan"), "", CHANGED("bridge", "", "", "q"), NULL, 1,
		"the network 'backnet' differs in 'driver' from the network of that name, which "
		"does not belong to this application (project 'q'): run 'docker network rm "
		"backnet', or choose "
		"another name in the compose file");
	assert_found(BACK(", driver: macvlan"), "",
		NETWORK("n1", "backnet", "p", "back", "10.1.0.0/16"), NULL, 2, "");
}

static void a_stopped_container_may_refer_to_a_network_that_is_gone(void **state)
{
	(void)state;
	static const char file[] = "services: {web: {network_mode: none}}";
	static const char gone[] =
		"the network 'p_default' is gone, and container 'p_web_1' refers to it: run "
		"'docker rm -f p_web_1', or set ForceDeploy to True";

	assert_found(file,
		CONTAINER("1", "p_web_1", "exited", "p", "web", IN_NETWORK("p_default", "n1")), "",
		NULL, 1, gone);
	assert_found(file,
		CONTAINER("1", "p_web_1", "exited", "p", "web", IN_NETWORK("p_default", "n1")),
		NETWORK("n1", "p_default", "p", "default", "10.1.0.0/16"), NULL, 1, "");
	// A service that is not in the file is not started.
	assert_found(file,
		CONTAINER("1", "p_old_1", "exited", "p", "old", IN_NETWORK("p_default", "n1")), "",
		NULL, 1, "");
}

static void of_many_the_first_are_described(void **state)
{
	(void)state;
	static const char file[] = "services: {db: {scale: 5, network_mode: none}}";
	lm_auto_buf struct lm_buf containers = LM_BUF(4000);

	for (unsigned i = 1; i <= 5; i++)
		(void)lm_buf_printf(&containers,
			"%s{\"Id\":\"%u\",\"Names\":[\"/p_db_%u\"],\"State\":\"exited\"}",
			i > 1 ? "," : "", i, i);
	assert_found(file, lm_buf_cstr(&containers), "", NULL, 1,
		"the container name 'p_db_1' of service db is in use by container 'p_db_1', which "
		"does not belong to this application: run 'docker rm -f p_db_1', or choose another "
		"name in "
		"the compose file; the container name 'p_db_2' of service db is in use by "
		"container 'p_db_2', which does not belong to this application: run 'docker rm -f "
		"p_db_2', "
		"or choose another name in the compose file; the container name 'p_db_3' of "
		"service db is in use by container 'p_db_3', which does not belong to this "
		"application: run "
		"'docker rm -f p_db_3', or choose another name in the compose file; and 2 more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_held_by_any_container_but_the_services_own),
		cmocka_unit_test(generated_names_are_those_of_the_generation),
		cmocka_unit_test(a_port_is_held_on_an_address_and_for_a_protocol),
		cmocka_unit_test(of_a_range_one_free_port_is_enough),
		cmocka_unit_test(a_services_own_container_holds_its_port),
		cmocka_unit_test(two_services_of_the_file_cannot_have_one_port),
		cmocka_unit_test(a_program_that_listens_holds_its_port),
		cmocka_unit_test(only_generation_2_minds_a_networks_labels),
		cmocka_unit_test(a_stranger_in_a_network_of_ours_is_named),
		cmocka_unit_test(subnets_overlap_in_either_direction),
		cmocka_unit_test(generation_1_minds_a_networks_definition),
		cmocka_unit_test(a_stopped_container_may_refer_to_a_network_that_is_gone),
		cmocka_unit_test(of_many_the_first_are_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
