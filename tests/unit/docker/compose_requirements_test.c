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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
