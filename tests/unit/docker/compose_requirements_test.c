// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_requirements.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct compose_requirements parse(const char *config, unsigned generation)
{
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct compose_requirements found = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(compose_services_parse(lm_str(config), &services, &err), LM_OK);
	assert_int_equal(
		compose_services_activate(&services, generation, LM_STR("debug"), &err), LM_OK);
	assert_int_equal(compose_requirements_parse(
				 lm_str(config), "p", generation, &services, &found, &err),
		LM_OK);
	return found;
}

static void assert_paths(const char *config, unsigned generation, const char *paths)
{
	static const char *const kinds[] = {
		"bind", "device", "secret", "config", "volume", "build"};
	lm_auto(compose_requirements_finish) struct compose_requirements found =
		parse(config, generation);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.paths_n; i++) {
		const struct compose_path *p = &found.paths[i];
		(void)lm_buf_printf(&text, "%s %s%s:%s%s, ", p->service, kinds[p->kind], p->name,
			p->path, p->required ? "!" : "");
	}
	assert_string_equal(lm_buf_cstr(&text), paths);
}

static void reads_bind_sources_of_both_generations(void **state)
{
	(void)state;
	assert_paths("services: {a: {volumes: ['/srv/m:/m:ro', 'data:/d:rw', /anon, "
		     "{type: bind, source: /x, target: /y}, {type: tmpfs, target: /t}, "
		     "{type: volume, source: data, target: /v}, [1], 'rel/x:/y']}}",
		1, "a bind:/srv/m, a bind:/x!, ");
	assert_paths("services: {a: {volumes: ["
		     "{type: bind, source: /s, target: /t, bind: {create_host_path: true}}, "
		     "{type: bind, source: /u, target: /t, bind: {create_host_path: false}}, "
		     "{type: bind, source: /v, target: /t, bind: {propagation: shared}}, "
		     "{type: bind, source: /w, target: /t}]}}",
		2, "a bind:/s, a bind:/u!, a bind:/v!, a bind:/w!, ");
}

static void knows_containers_of_others_that_a_service_shares_something_with(void **state)
{
	(void)state;
	lm_auto(compose_requirements_finish) struct compose_requirements found = parse(
		"services:\n"
		"  a: {network_mode: 'container:net', pid: 'container:pid', ipc: host,\n"
		"    volumes_from: ['container:vol:ro', b, 'container:own', 'container:p_b_1'],\n"
		"    external_links: ['redis:r', plain, p-b-1]}\n"
		"  b: {container_name: own, network_mode: 'service:a', pid: 'container:'}\n",
		2);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.partners_n; i++)
		(void)lm_buf_printf(&text, "%s %s%s, ", found.partners[i].service,
			found.partners[i].name, found.partners[i].required ? "!" : "");
	assert_string_equal(lm_buf_cstr(&text), "a net!, a pid!, a vol!, a redis, a plain, ");
}

static void reads_files_devices_and_build_contexts(void **state)
{
	(void)state;
	static const char config[] =
		"services:\n"
		"  a: {secrets: [{source: s}, t, {source: gone}], configs: [c],\n"
		"      devices: ['/dev/x:/dev/y:rwm', {source: /dev/z, target: /dev/z}, 'v/c=n']}\n"
		"  b: {build: /srv/b}\n"
		"  c: {build: {context: 'https://example.com/x.git'}}\n"
		"  d: {build: {context: /srv/d}}\n"
		"secrets: {s: {file: /s}, t: {external: true}, unused: {file: /u}}\n"
		"configs: {c: {file: /c}}\n";

	assert_paths(config, 1,
		"a device:/dev/x!, a device:/dev/z!, a secrets:/s!, "
		"b build:/srv/b, d build:/srv/d, ");
	assert_paths(config, 2,
		"a device:/dev/x!, a device:/dev/z!, a secrets:/s!, a configc:/c!, "
		"b build:/srv/b, d build:/srv/d, ");
}

static void a_volume_may_mount_something_of_this_device(void **state)
{
	(void)state;
	assert_paths("services: {a: {volumes: ['v:/v', 'n:/n', 'c:/c', 'd:/d', 't:/t', 'o:/o', "
		     "'e:/e']}}\n"
		     "volumes:\n"
		     "  v: {driver_opts: {type: none, device: /srv/v, o: 'rw,bind'}}\n"
		     "  n: {driver_opts: {type: nfs, device: ':/x', o: 'addr=1.2.3.4'}}\n"
		     "  c: {driver_opts: {type: cifs, device: //server/share}}\n"
		     "  d: {driver: local, driver_opts: {type: ext4, device: /dev/sdz1}}\n"
		     "  t: {driver_opts: {type: tmpfs, device: tmpfs}}\n"
		     "  o: {driver: other, driver_opts: {device: /x, o: bind}}\n"
		     "  e: {external: true, driver_opts: {device: /x, o: bind}}\n"
		     "  unused: {driver_opts: {device: /x, o: bind}}\n",
		1, "a volumev:/srv/v!, a volumed:/dev/sdz1!, ");
}

static void assert_drivers(const char *config, const char *drivers)
{
	static const char *const kinds[] = {"volume", "network", "log", "runtime", "device"};
	lm_auto(compose_requirements_finish) struct compose_requirements found = parse(config, 2);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.drivers_n; i++) {
		const struct compose_driver *d = &found.drivers[i];
		(void)lm_buf_printf(&text, "%s %s=%s, ", kinds[d->kind], d->user, d->name);
	}
	assert_string_equal(lm_buf_cstr(&text), drivers);
}

static void reads_drivers(void **state)
{
	(void)state;
	assert_drivers("services:\n"
		       "  a: {logging: {driver: syslog}, runtime: runsc, deploy: {resources: "
		       "{reservations: {devices: [{driver: nvidia}, {capabilities: [gpu]}, "
		       "{capabilities: [tpu]}]}}}}\n"
		       "  b: {logging: {driver: null}, network_mode: none}\n"
		       "volumes: {v: {driver: sshfs}, w: null, e: {external: true, driver: x}}\n"
		       "networks: {n: {driver: macvlan}, d: {driver: default}, "
		       "e: {external: true, driver: x}}\n",
		"log a=syslog, runtime a=runsc, device a=nvidia, device a=nvidia, "
		"volume v=sshfs, network n=macvlan, ");
}

static void knows_the_engines_names_of_volumes(void **state)
{
	(void)state;
	lm_auto(compose_requirements_finish) struct compose_requirements found =
		parse("services: {a: {}}\n"
		      "volumes: {v: {driver_opts: {o: 'size=1m', n: 5}}, w: {name: x}, y: null, "
		      "e: {external: true}, f: {external: {name: g}}}\n",
			1);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.volumes_n; i++) {
		const struct compose_volume *v = &found.volumes[i];
		(void)lm_buf_printf(
			&text, "%s=%s%s", v->key, v->external ? "external " : "", v->name);
		for (size_t k = 0; k < v->options_n; k++)
			(void)lm_buf_printf(
				&text, "(%s:%s)", v->options[k].key, v->options[k].value);
		(void)lm_buf_puts(&text, " ");
	}
	assert_string_equal(
		lm_buf_cstr(&text), "v=p_v(o:size=1m)(n:5) w=x y=p_y e=external e f=external g ");
}

static void only_generation_1_prints_services_that_nobody_asked_for(void **state)
{
	(void)state;
	static const char config[] = "services: {a: {profiles: [x], devices: [/dev/x]}, "
				     "b: {profiles: [debug], devices: [/dev/y]}}";

	assert_paths(config, 1, "b device:/dev/y!, ");
	assert_paths(config, 2, "a device:/dev/x!, b device:/dev/y!, ");
}

static void refuses_what_is_no_file_and_too_much(void **state)
{
	(void)state;
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct compose_requirements found = {0};
	struct lm_err err = {LM_OK};
	lm_auto_buf struct lm_buf many = LM_BUF(1 << 20);

	assert_int_equal(
		compose_requirements_parse(LM_STR("a: ["), "p", 1, &services, &found, &err),
		LM_E_INVALID);
	(void)lm_buf_puts(&many, "services: {a: {devices: [");
	for (size_t i = 0; i <= LIMIT_RESOURCES; i++)
		(void)lm_buf_puts(&many, "/dev/x, ");
	(void)lm_buf_puts(&many, "]}}");
	assert_int_equal(compose_services_parse(lm_buf_str(&many), &services, &err), LM_OK);
	assert_int_equal(
		compose_requirements_parse(lm_buf_str(&many), "p", 1, &services, &found, &err),
		LM_E_TOO_LARGE);
	assert_null(found.paths);
}

#define PROJECT "p"

/// `profiles` is the value of COMPOSE_PROFILES.
static struct compose_resources parse_resources(
	const char *config, unsigned generation, const char *profiles)
{
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct compose_resources found = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(compose_services_parse(lm_str(config), &services, &err), LM_OK);
	assert_int_equal(
		compose_services_activate(&services, generation, lm_str(profiles), &err), LM_OK);
	assert_int_equal(compose_resources_parse(
				 lm_str(config), PROJECT, generation, &services, &found, &err),
		LM_OK);
	return found;
}

static void assert_names(
	const char *config, unsigned generation, const char *profiles, const char *names)
{
	lm_auto(compose_resources_finish) struct compose_resources found =
		parse_resources(config, generation, profiles);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.names_n; i++)
		(void)lm_buf_printf(&text, "%s=%s ", found.names[i].service, found.names[i].name);
	assert_string_equal(lm_buf_cstr(&text), names);
}

static void names_are_fixed_or_made_as_each_generation_does(void **state)
{
	(void)state;
	static const char config[] = "services:\n"
				     "  db: {container_name: the-db}\n"
				     "  web: {deploy: {replicas: 2}}\n"
				     "  more: {scale: 2}\n"
				     "  none: {scale: 0}\n"
				     "  debug: {profiles: [debug]}\n"
				     "  odd:\n";

	assert_names(
		config, 1, "", "db=the-db web=p_web_1 web=p_web_2 more=p_more_1 more=p_more_2 ");
	assert_names(config, 2, "",
		"db=the-db web=p-web-1 web=p-web-2 more=p-more-1 more=p-more-2 debug=p-debug-1 ");
}

static void a_service_of_an_active_profile_wants_as_much_as_others(void **state)
{
	(void)state;
	static const char config[] =
		"services:\n"
		"  web: {network_mode: none}\n"
		"  debug: {profiles: [debug], container_name: x, ports: ['80:80'],\n"
		"    networks: {back: null}}\n"
		"networks: {back: {name: backnet}}";
	lm_auto(compose_resources_finish) struct compose_resources idle =
		parse_resources(config, 1, "");
	lm_auto(compose_resources_finish) struct compose_resources busy =
		parse_resources(config, 1, "debug");

	assert_int_equal(idle.names_n, 1);
	assert_int_equal(idle.ports_n, 0);
	assert_int_equal(idle.networks_n, 1); // docker-compose 1 makes it for that service, too
	assert_int_equal(busy.names_n, 2);
	assert_string_equal(busy.names[1].name, "x");
	assert_int_equal(busy.ports_n, 1);
	assert_string_equal(busy.networks[0].name, "backnet");
}

static void assert_ports(const char *config, const char *ports)
{
	lm_auto(compose_resources_finish) struct compose_resources found =
		parse_resources(config, 2, "");
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.ports_n; i++) {
		const struct compose_port *p = &found.ports[i];
		(void)lm_buf_printf(&text, "%s:%s:%u-%u/%s ", p->service, p->ip, p->first, p->last,
			p->protocol);
	}
	assert_string_equal(lm_buf_cstr(&text), ports);
}

static void reads_published_ports_in_every_form(void **state)
{
	(void)state;
	assert_ports("services: {a: {ports: ['127.0.0.1:8080:80/tcp', '[::1]:53:53/udp', "
		     "'::1:54:54', '90:90', '9000-9010:90/sctp']}}",
		"a:127.0.0.1:8080-8080/tcp a:::1:53-53/udp a:::1:54-54/tcp a::90-90/tcp "
		"a::9000-9010/sctp ");
	assert_ports("services: {a: {ports: [{target: 80, published: 8080}, {target: 1, published: "
		     "'7-8', host_ip: 127.0.0.1, protocol: udp, mode: ingress}]}}",
		"a::8080-8080/tcp a:127.0.0.1:7-8/udp ");
	// The engine chooses, or there is none, or there is nothing to publish from.
	assert_ports("services: {a: {ports: ['80', '127.0.0.1::80', '0:80', {target: 80}, "
		     "'x:80', '70000:80', '9-8:80', [1], {published: 0}]}, "
		     "b: {network_mode: host, ports: ['80:80']}, "
		     "c: {network_mode: 'service:a', ports: ['80:80']}}",
		"");
	assert_ports("services: {b: {network_mode: bridge, ports: ['80:80']}}", "b::80-80/tcp ");
}

static void a_range_of_ports_may_be_long(void **state)
{
	(void)state;
	enum { FIRST = 10000, LAST = 20000 }; // as for RTP; docker-compose prints each of them
	lm_auto_buf struct lm_buf config = LM_BUF(1 << 20);

	(void)lm_buf_puts(&config, "services: {sip: {ports: [");
	for (unsigned port = FIRST; port <= LAST; port++)
		(void)lm_buf_printf(
			&config, "{target: %u, published: %u, protocol: udp}, ", port, port);
	(void)lm_buf_puts(&config, "]}}");
	lm_auto(compose_resources_finish) struct compose_resources found =
		parse_resources(lm_buf_cstr(&config), 2, "");
	assert_int_equal(found.ports_n, LAST - FIRST + 1);
	assert_int_equal(found.ports[found.ports_n - 1].last, LAST);
}

static void assert_networks(const char *config, const char *networks)
{
	lm_auto(compose_resources_finish) struct compose_resources found =
		parse_resources(config, 1, "");
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	for (size_t i = 0; i < found.networks_n; i++) {
		const struct compose_network *n = &found.networks[i];
		(void)lm_buf_printf(
			&text, "%s=%s%s", n->key, n->external ? "external " : "", n->name);
		for (size_t k = 0; k < n->subnets_n; k++)
			(void)lm_buf_printf(&text, "(%s)", n->subnets[k]);
		(void)lm_buf_puts(&text, " ");
	}
	assert_string_equal(lm_buf_cstr(&text), networks);
}

static void knows_the_engines_names_of_networks(void **state)
{
	(void)state;
	assert_networks("services: {a: {networks: {front: null, pool: null, back: null}}, b: {}}\n"
			"networks: {back: {name: backnet}, front: null, unused: null, pool: {ipam: "
			"{config: [{subnet: 10.9.0.0/16}, {gateway: 10.9.0.1}]}}}",
		"back=backnet front=p_front pool=p_pool(10.9.0.0/16) default=p_default ");
	assert_networks("services: {a: {networks: [x, z, w, u]}}\n"
			"networks: {x: {external: {name: y}}, z: {external: true}, "
			"w: {external: true, name: v}, u: {external: false}}",
		"x=external y z=external z w=external v u=p_u ");
	assert_networks("services: {a: {network_mode: none}}", "");
	assert_networks("services: {a: {}}\nnetworks: {default: {name: d}}", "default=d ");
}

static void refuses_what_is_no_file_and_too_many_resources(void **state)
{
	(void)state;
	lm_auto(compose_services_finish) struct compose_services services = {0};
	struct compose_resources found = {0};
	struct lm_err err = {LM_OK};
	lm_auto_buf struct lm_buf many = LM_BUF(100);

	assert_int_equal(
		compose_resources_parse(LM_STR("a: ["), PROJECT, 1, &services, &found, &err),
		LM_E_INVALID);
	(void)lm_buf_printf(&many, "services: {a: {scale: %d}}", LIMIT_RESOURCES + 1);
	assert_int_equal(compose_services_parse(lm_buf_str(&many), &services, &err), LM_OK);
	assert_int_equal(
		compose_resources_parse(lm_buf_str(&many), PROJECT, 1, &services, &found, &err),
		LM_E_TOO_LARGE);
	assert_null(found.names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_bind_sources_of_both_generations),
		cmocka_unit_test(knows_containers_of_others_that_a_service_shares_something_with),
		cmocka_unit_test(reads_files_devices_and_build_contexts),
		cmocka_unit_test(a_volume_may_mount_something_of_this_device),
		cmocka_unit_test(reads_drivers),
		cmocka_unit_test(knows_the_engines_names_of_volumes),
		cmocka_unit_test(only_generation_1_prints_services_that_nobody_asked_for),
		cmocka_unit_test(refuses_what_is_no_file_and_too_much),
		cmocka_unit_test(names_are_fixed_or_made_as_each_generation_does),
		cmocka_unit_test(a_service_of_an_active_profile_wants_as_much_as_others),
		cmocka_unit_test(reads_published_ports_in_every_form),
		cmocka_unit_test(a_range_of_ports_may_be_long),
		cmocka_unit_test(knows_the_engines_names_of_networks),
		cmocka_unit_test(refuses_what_is_no_file_and_too_many_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
