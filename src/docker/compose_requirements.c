// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_requirements.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/compose_variables.h"
#include "sys/yaml.h"

#include <stdio.h>

enum {
	PORT_MAX = 65535,
	PORTS_MAX = 10 * LIMIT_RESOURCES, ///< There are ranges of tens of thousands.
};

/// What `docker-compose config` printed, and what has been found in it.
struct reader {
	struct compose_requirements *requirements;
	struct compose_resources *resources;
	const char *project;
	unsigned generation;
	const struct compose_services *services;
	const struct yaml_node *root;
	const struct yaml_node *list; ///< All services that are printed; NULL: none.
	bool overflow;
};

static char *copy_plain(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

/// One more element for an array of `n`; NULL over `max`.
static void *grow_array(struct reader *r, void *items, size_t n, size_t size, size_t max)
{
	if (n >= max) {
		r->overflow = true;
		return NULL;
	}
	// In steps that double, at powers of two.
	return (n & (n - 1)) == 0 ? lm_xrealloc(items, (n ? 2 * n : 1) * size) : items;
}

/// NULL: `up` does not start it.
static const struct compose_service *find_active(const struct reader *r, struct lm_str name)
{
	for (size_t i = 0; i < r->services->n; i++) {
		const struct compose_service *s = &r->services->items[i];

		if (lm_str_eq(lm_str(s->name), name))
			return s->active ? s : NULL;
	}
	return NULL;
}

/// Whether a volume, network, secret or config of the file is made by others. `definition` may be
/// NULL; formats before 3.5 name what is external inside `external`.
static bool is_external(const struct yaml_node *definition)
{
	return yaml_get_of(definition, "external", YAML_MAPPING) ||
	       lm_str_eq_nocase(yaml_get_text(definition, "external"), LM_STR("true"));
}

/// What the engine calls a volume or network that the file calls `key`. The caller frees.
static char *resource_name(
	const char *project, struct lm_str key, const struct yaml_node *definition)
{
	struct lm_str name = yaml_get_text(definition, "name");

	if (name.n == 0)
		name = yaml_get_text(yaml_get_of(definition, "external", YAML_MAPPING), "name");
	if (name.n > 0)
		return copy_plain(name);
	if (is_external(definition))
		return copy_plain(key);
	return lm_xasprintf("%s_%.*s", project, LM_STR_ARG(key));
}

/// Calls `read` for each service.
static void each_service(struct reader *r,
	void (*read)(struct reader *r, struct lm_str name, const struct yaml_node *service))
{
	for (size_t i = 0; r->list && i < yaml_size(r->list); i++)
		if (yaml_kind(yaml_value(r->list, i)) == YAML_MAPPING)
			read(r, yaml_text(yaml_key(r->list, i)), yaml_value(r->list, i));
}

static void add_required_path(struct reader *r, const struct compose_path *path,
	struct lm_str service, struct lm_str name, struct lm_str text)
{
	struct compose_requirements *to = r->requirements;
	struct compose_path *items;

	if (text.n == 0 || text.p[0] != '/')
		return;
	items = grow_array(r, to->paths, to->paths_n, sizeof(*items), LIMIT_RESOURCES);
	if (!items)
		return;
	to->paths = items;
	items[to->paths_n++] = (struct compose_path){.kind = path->kind,
		.required = path->required,
		.service = compose_unescape(service),
		.name = compose_unescape(name),
		.path = compose_unescape(text)};
}

static void add_driver(
	struct reader *r, enum compose_driver_kind kind, struct lm_str user, struct lm_str name)
{
	struct compose_requirements *to = r->requirements;
	struct compose_driver *items;

	// "default" stands for the engine's own default.
	if (name.n == 0 || lm_str_eq(name, LM_STR("default")))
		return;
	items = grow_array(r, to->drivers, to->drivers_n, sizeof(*items), LIMIT_RESOURCES);
	if (!items)
		return;
	to->drivers = items;
	items[to->drivers_n++] = (struct compose_driver){
		.kind = kind, .user = compose_unescape(user), .name = compose_unescape(name)};
}

static bool is_true(const struct yaml_node *mapping, const char *key)
{
	return lm_str_eq_nocase(yaml_get_text(mapping, key), LM_STR("true"));
}

/// Whether "bind" or "rbind" is among mount options: "size=1m,bind".
static bool has_bind(struct lm_str options)
{
	while (options.n > 0) {
		struct lm_str option = lm_str_trim(lm_str_cut(&options, ','));

		if (lm_str_eq(option, LM_STR("bind")) || lm_str_eq(option, LM_STR("rbind")))
			return true;
	}
	return false;
}

/// What a volume mounts from this device, which must be there when a container starts.
static void read_volume_device(struct reader *r, struct lm_str service, struct lm_str key)
{
	const struct compose_path volume = {.kind = COMPOSE_PATH_VOLUME, .required = true};
	const struct yaml_node *volumes = yaml_get_of(r->root, "volumes", YAML_MAPPING);
	lm_auto_free char *name = compose_unescape(key);
	const struct yaml_node *definition = yaml_get_of(volumes, name, YAML_MAPPING);
	const struct yaml_node *options = yaml_get_of(definition, "driver_opts", YAML_MAPPING);
	struct lm_str driver = yaml_get_text(definition, "driver");
	struct lm_str device = yaml_get_text(options, "device");
	bool is_local = driver.n == 0 || lm_str_eq(driver, LM_STR("local")) ||
			lm_str_eq(driver, LM_STR("default"));

	if (!is_local || is_external(definition))
		return;
	// "//server/share" is cifs, ":/path" nfs.
	if (has_bind(yaml_get_text(options, "o")) || lm_str_starts(device, LM_STR("/dev/")))
		add_required_path(r, &volume, service, key, device);
}

/// "/srv/x:/x:ro", "data:/data", "/data": generation 1 keeps the short form.
static void read_short_volume(struct reader *r, struct lm_str service, struct lm_str text)
{
	const struct compose_path bind = {.kind = COMPOSE_PATH_BIND};
	struct lm_str rest = text;
	struct lm_str source = lm_str_cut(&rest, ':');

	if (rest.n == 0)
		return;
	if (source.n > 0 && source.p[0] == '/')
		add_required_path(r, &bind, service, LM_STR(""), source);
	else
		read_volume_device(r, service, source);
}

static void read_long_volume(
	struct reader *r, struct lm_str service, const struct yaml_node *volume)
{
	const struct yaml_node *options = yaml_get_of(volume, "bind", YAML_MAPPING);
	// Generation 2 writes the short form as a long one with this option.
	const struct compose_path bind = {
		.kind = COMPOSE_PATH_BIND, .required = !is_true(options, "create_host_path")};
	struct lm_str type = yaml_get_text(volume, "type");
	struct lm_str source = yaml_get_text(volume, "source");

	if (lm_str_eq(type, LM_STR("bind")))
		add_required_path(r, &bind, service, LM_STR(""), source);
	else if (lm_str_eq(type, LM_STR("volume")))
		read_volume_device(r, service, source);
}

static void read_mounts(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct yaml_node *list = yaml_get_of(service, "volumes", YAML_SEQUENCE);

	for (size_t i = 0; list && i < yaml_size(list); i++) {
		const struct yaml_node *volume = yaml_item(list, i);

		if (yaml_kind(volume) == YAML_MAPPING)
			read_long_volume(r, name, volume);
		else
			read_short_volume(r, name, yaml_text(volume));
	}
}

/// "/dev/ttyUSB0:/dev/ttyS0:rwm", or a mapping. A name of CDI ("vendor/class=name") is no path.
static void read_devices(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct compose_path device = {.kind = COMPOSE_PATH_DEVICE, .required = true};
	const struct yaml_node *list = yaml_get_of(service, "devices", YAML_SEQUENCE);

	for (size_t i = 0; list && i < yaml_size(list); i++) {
		const struct yaml_node *item = yaml_item(list, i);
		struct lm_str text = yaml_text(item);
		struct lm_str path = yaml_kind(item) == YAML_MAPPING ? yaml_get_text(item, "source")
								     : lm_str_cut(&text, ':');

		add_required_path(r, &device, name, LM_STR(""), path);
	}
}

/// Files of the secrets or configs that a service names.
static void read_files(struct reader *r, struct lm_str name, const struct yaml_node *service,
	const char *section, enum compose_path_kind kind)
{
	const struct compose_path file = {.kind = kind, .required = true};
	const struct yaml_node *list = yaml_get_of(service, section, YAML_SEQUENCE);
	const struct yaml_node *definitions = yaml_get_of(r->root, section, YAML_MAPPING);

	for (size_t i = 0; list && i < yaml_size(list); i++) {
		const struct yaml_node *item = yaml_item(list, i);
		struct lm_str source = yaml_kind(item) == YAML_MAPPING
					       ? yaml_get_text(item, "source")
					       : yaml_text(item);
		lm_auto_free char *key = compose_unescape(source);
		const struct yaml_node *definition = yaml_get_of(definitions, key, YAML_MAPPING);

		if (!is_external(definition))
			add_required_path(
				r, &file, name, source, yaml_get_text(definition, "file"));
	}
}

static bool has_capability(const struct yaml_node *request, struct lm_str wanted)
{
	const struct yaml_node *list = yaml_get_of(request, "capabilities", YAML_SEQUENCE);

	for (size_t i = 0; list && i < yaml_size(list); i++)
		if (lm_str_eq(yaml_text(yaml_item(list, i)), wanted))
			return true;
	return false;
}

static void read_device_requests(
	struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct yaml_node *deploy = yaml_get_of(service, "deploy", YAML_MAPPING);
	const struct yaml_node *resources = yaml_get_of(deploy, "resources", YAML_MAPPING);
	const struct yaml_node *reserved = yaml_get_of(resources, "reservations", YAML_MAPPING);
	const struct yaml_node *list = yaml_get_of(reserved, "devices", YAML_SEQUENCE);

	for (size_t i = 0; list && i < yaml_size(list); i++) {
		const struct yaml_node *request = yaml_item(list, i);
		struct lm_str driver = yaml_get_text(request, "driver");

		// Without a driver the engine takes the one that has the capability.
		if (driver.n == 0 && has_capability(request, LM_STR("gpu")))
			driver = LM_STR("nvidia");
		add_driver(r, COMPOSE_DRIVER_DEVICE, name, driver);
	}
}

static bool has_network(const struct compose_requirements *to, const char *key)
{
	for (size_t i = 0; i < to->networks_n; i++)
		if (strcmp(to->networks[i].key, key) == 0)
			return true;
	return false;
}

static void add_external_network(struct reader *r, struct lm_str text)
{
	struct compose_requirements *to = r->requirements;
	lm_auto_free char *key = compose_unescape(text);
	const struct yaml_node *networks = yaml_get_of(r->root, "networks", YAML_MAPPING);
	const struct yaml_node *network = yaml_get_of(networks, key, YAML_MAPPING);

	if (!is_external(network) || has_network(to, key))
		return;
	struct compose_external *items =
		grow_array(r, to->networks, to->networks_n, sizeof(*items), LIMIT_RESOURCES);
	if (!items)
		return;
	to->networks = items;
	items[to->networks_n++] = (struct compose_external){
		.name = resource_name(r->project, text, network), .key = lm_take(key)};
}

/// In no `networks` at all, but without a `network_mode`, a service is in `default`.
static void read_external_networks(struct reader *r, const struct yaml_node *service)
{
	const struct yaml_node *list = yaml_get(service, "networks");
	bool is_map = list && yaml_kind(list) == YAML_MAPPING;

	if (!yaml_has(service, "networks") && !yaml_has(service, "network_mode"))
		add_external_network(r, LM_STR("default"));
	for (size_t i = 0; list && i < yaml_size(list); i++)
		add_external_network(r, yaml_text(is_map ? yaml_key(list, i) : yaml_item(list, i)));
}

static void read_build(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct compose_path context = {.kind = COMPOSE_PATH_BUILD};
	const struct yaml_node *build = yaml_get_of(service, "build", YAML_MAPPING);
	struct lm_str text =
		build ? yaml_get_text(build, "context") : yaml_get_text(service, "build");

	add_required_path(r, &context, name, LM_STR(""), text);
}

/// Whether the file makes a container of that name.
static bool is_own_container(const struct reader *r, struct lm_str name)
{
	struct lm_str project = lm_str(r->project);

	if (name.n > project.n && lm_str_starts(name, project) && strchr("-_", name.p[project.n]))
		return true;
	for (size_t i = 0; r->list && i < yaml_size(r->list); i++)
		if (lm_str_eq(yaml_get_text(yaml_value(r->list, i), "container_name"), name))
			return true;
	return false;
}

static void add_partner(struct reader *r, struct lm_str service, struct lm_str name, bool required)
{
	struct compose_requirements *to = r->requirements;

	if (name.n == 0 || is_own_container(r, name))
		return;
	struct compose_partner *items =
		grow_array(r, to->partners, to->partners_n, sizeof(*items), LIMIT_RESOURCES);
	if (!items)
		return;
	to->partners = items;
	items[to->partners_n++] = (struct compose_partner){.service = compose_unescape(service),
		.name = compose_unescape(name),
		.required = required};
}

/// "other" in "container:other:ro"; empty for a service.
static struct lm_str partner_of(struct lm_str text)
{
	struct lm_str rest = text;

	return lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("container")) ? lm_str_cut(&rest, ':')
								      : LM_STR("");
}

static void read_partners(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	static const char *const namespaces[] = {"network_mode", "pid", "ipc"};
	const struct yaml_node *volumes = yaml_get_of(service, "volumes_from", YAML_SEQUENCE);
	const struct yaml_node *links = yaml_get_of(service, "external_links", YAML_SEQUENCE);

	for (size_t i = 0; i < LM_ARRAY_SIZE(namespaces); i++)
		add_partner(r, name, partner_of(yaml_get_text(service, namespaces[i])), true);
	for (size_t i = 0; volumes && i < yaml_size(volumes); i++)
		add_partner(r, name, partner_of(yaml_text(yaml_item(volumes, i))), true);
	for (size_t i = 0; links && i < yaml_size(links); i++) {
		struct lm_str link = yaml_text(yaml_item(links, i));

		add_partner(r, name, lm_str_cut(&link, ':'), false);
	}
}

static void read_service_requirements(
	struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	if (!find_active(r, name))
		return;
	read_mounts(r, name, service);
	read_devices(r, name, service);
	read_files(r, name, service, "secrets", COMPOSE_PATH_SECRET);
	if (r->generation > 1) // 1 leaves them to a swarm
		read_files(r, name, service, "configs", COMPOSE_PATH_CONFIG);
	read_build(r, name, service);
	add_driver(r, COMPOSE_DRIVER_LOG, name,
		yaml_get_text(yaml_get_of(service, "logging", YAML_MAPPING), "driver"));
	add_driver(r, COMPOSE_DRIVER_RUNTIME, name, yaml_get_text(service, "runtime"));
	read_device_requests(r, name, service);
	read_external_networks(r, service);
	read_partners(r, name, service);
}

static void read_volume_options(const struct yaml_node *volume, struct compose_volume *to)
{
	const struct yaml_node *options = yaml_get_of(volume, "driver_opts", YAML_MAPPING);
	size_t n = options ? yaml_size(options) : 0;

	to->options = lm_xcalloc(n + 1, sizeof(*to->options));
	for (size_t i = 0; i < n; i++)
		to->options[to->options_n++] = (struct compose_option){
			.key = compose_unescape(yaml_text(yaml_key(options, i))),
			.value = compose_unescape(yaml_text(yaml_value(options, i)))};
}

static void add_volume(struct reader *r, struct lm_str key, const struct yaml_node *volume)
{
	struct compose_requirements *to = r->requirements;
	struct compose_volume *items =
		grow_array(r, to->volumes, to->volumes_n, sizeof(*items), LIMIT_RESOURCES);

	if (!items)
		return;
	to->volumes = items;
	struct compose_volume added = {.key = compose_unescape(key),
		.name = resource_name(r->project, key, volume),
		.external = is_external(volume),
		.driver = compose_unescape(yaml_get_text(volume, "driver"))};

	if (!added.external) {
		read_volume_options(volume, &added);
		add_driver(r, COMPOSE_DRIVER_VOLUME, key, lm_str(added.driver));
	}
	items[to->volumes_n++] = added;
}

static void read_volumes(struct reader *r)
{
	const struct yaml_node *volumes = yaml_get_of(r->root, "volumes", YAML_MAPPING);

	for (size_t i = 0; volumes && i < yaml_size(volumes); i++)
		add_volume(r, yaml_text(yaml_key(volumes, i)), yaml_value(volumes, i));
}

static void read_network_drivers(struct reader *r)
{
	const struct yaml_node *networks = yaml_get_of(r->root, "networks", YAML_MAPPING);

	for (size_t i = 0; networks && i < yaml_size(networks); i++) {
		const struct yaml_node *network = yaml_value(networks, i);

		if (!is_external(network))
			add_driver(r, COMPOSE_DRIVER_NETWORK, yaml_text(yaml_key(networks, i)),
				yaml_get_text(network, "driver"));
	}
}

lm_rc compose_requirements_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_requirements *ret,
	struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_auto(compose_requirements_finish) struct compose_requirements found = {0};
	struct reader r = {.requirements = &found,
		.project = project,
		.generation = generation,
		.services = services};
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc)
		return lm_wrap(err, "what docker-compose config printed");
	r.root = yaml_root(doc);
	r.list = yaml_get_of(r.root, "services", YAML_MAPPING);
	each_service(&r, read_service_requirements);
	read_volumes(&r);
	read_network_drivers(&r);
	if (r.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file asks for more than %d files, drivers or volumes",
			LIMIT_RESOURCES);
	*ret = found;
	found = (struct compose_requirements){0};
	return LM_OK;
}

static void finish_volume(struct compose_volume *volume)
{
	for (size_t i = 0; i < volume->options_n; i++) {
		free(volume->options[i].key);
		free(volume->options[i].value);
	}
	free(volume->options);
	free(volume->key);
	free(volume->name);
	free(volume->driver);
}

void compose_requirements_finish(struct compose_requirements *r)
{
	for (size_t i = 0; i < r->paths_n; i++) {
		free(r->paths[i].service);
		free(r->paths[i].name);
		free(r->paths[i].path);
	}
	for (size_t i = 0; i < r->drivers_n; i++) {
		free(r->drivers[i].user);
		free(r->drivers[i].name);
	}
	for (size_t i = 0; i < r->volumes_n; i++)
		finish_volume(&r->volumes[i]);
	for (size_t i = 0; i < r->networks_n; i++) {
		free(r->networks[i].key);
		free(r->networks[i].name);
	}
	for (size_t i = 0; i < r->partners_n; i++) {
		free(r->partners[i].service);
		free(r->partners[i].name);
	}
	free(r->partners);
	free(r->networks);
	free(r->paths);
	free(r->drivers);
	free(r->volumes);
	*r = (struct compose_requirements){0};
}

static void add_container_name(struct reader *r, struct lm_str service, char *name)
{
	struct compose_resources *to = r->resources;
	struct compose_name *items =
		grow_array(r, to->names, to->names_n, sizeof(*items), LIMIT_RESOURCES);

	if (!items) {
		free(name);
		return;
	}
	to->names = items;
	items[to->names_n++] = (struct compose_name){.service = copy_plain(service), .name = name};
}

static void read_container_names(
	struct reader *r, struct lm_str name, const struct yaml_node *service, size_t n)
{
	struct lm_str fixed = yaml_get_text(service, "container_name");
	char separator = r->generation > 1 ? '-' : '_';

	if (fixed.n > 0) {
		add_container_name(r, name, copy_plain(fixed));
		return;
	}
	for (size_t i = 1; i <= n && !r->overflow; i++)
		add_container_name(r, name,
			lm_xasprintf("%s%c%.*s%c%zu", r->project, separator, LM_STR_ARG(name),
				separator, i));
}

/// "8080" or "8080-8090". False if it is none, or the engine is to choose.
static bool read_published(struct lm_str text, unsigned *ret_first, unsigned *ret_last)
{
	struct lm_str rest = text;
	uint64_t first = 0, last = 0;

	if (!lm_str_to_u64(lm_str_cut(&rest, '-'), PORT_MAX, &first))
		return false;
	last = first;
	if (rest.n > 0 && !lm_str_to_u64(rest, PORT_MAX, &last))
		return false;
	*ret_first = (unsigned)first;
	*ret_last = (unsigned)last;
	return first > 0 && first <= last;
}

static void add_port(struct reader *r, struct lm_str service, struct lm_str ip,
	struct lm_str published, struct lm_str protocol)
{
	struct compose_resources *to = r->resources;
	struct compose_port port = {0};

	if (!read_published(published, &port.first, &port.last))
		return;
	struct compose_port *items =
		grow_array(r, to->ports, to->ports_n, sizeof(*items), PORTS_MAX);
	if (!items)
		return;
	if (protocol.n == 0)
		protocol = LM_STR("tcp");
	(void)snprintf(port.protocol, sizeof(port.protocol), "%.*s", LM_STR_ARG(protocol));
	port.service = copy_plain(service);
	port.ip = copy_plain(ip);
	to->ports = items;
	items[to->ports_n++] = port;
}

/// Cuts off what is behind the last `c`: false if there is none.
static bool cut_last(struct lm_str *s, char c, struct lm_str *ret_behind)
{
	size_t i = s->n;

	while (i > 0 && s->p[i - 1] != c)
		i--;
	if (i == 0)
		return false;
	*ret_behind = (struct lm_str){s->p + i, s->n - i};
	s->n = i - 1;
	return true;
}

/// "127.0.0.1:8080:80/tcp", "8080:80", "80"; an IPv6 address may be in brackets.
static void read_short_port(struct reader *r, struct lm_str service, struct lm_str text)
{
	struct lm_str protocol = LM_STR(""), target, published;

	(void)cut_last(&text, '/', &protocol);
	if (!cut_last(&text, ':', &target))
		return;
	if (!cut_last(&text, ':', &published)) {
		published = text;
		text = LM_STR("");
	}
	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		text = (struct lm_str){text.p + 1, text.n - 2};
	add_port(r, service, text, published, protocol);
}

static void read_published_ports(
	struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct yaml_node *ports = yaml_get_of(service, "ports", YAML_SEQUENCE);

	for (size_t i = 0; ports && i < yaml_size(ports); i++) {
		const struct yaml_node *port = yaml_item(ports, i);

		if (yaml_kind(port) == YAML_MAPPING)
			add_port(r, name, yaml_get_text(port, "host_ip"),
				yaml_get_text(port, "published"), yaml_get_text(port, "protocol"));
		else if (yaml_kind(port) == YAML_SCALAR)
			read_short_port(r, name, yaml_text(port));
	}
}

static void read_service_resources(
	struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct compose_service *active = find_active(r, name);
	struct lm_str mode;

	if (!active || active->replicas == 0)
		return;
	mode = yaml_get_text(service, "network_mode");
	read_container_names(r, name, service, active->replicas);
	// In another network namespace there is nothing to publish.
	if (mode.n == 0 || lm_str_eq(mode, LM_STR("bridge")) || lm_str_eq(mode, LM_STR("default")))
		read_published_ports(r, name, service);
}

static void read_subnets(const struct yaml_node *network, struct compose_network *to)
{
	const struct yaml_node *pools =
		yaml_get_of(yaml_get_of(network, "ipam", YAML_MAPPING), "config", YAML_SEQUENCE);
	size_t n = pools ? yaml_size(pools) : 0;

	to->subnets = lm_xcalloc(n + 1, sizeof(*to->subnets));
	for (size_t i = 0; i < n; i++) {
		struct lm_str subnet = yaml_get_text(yaml_item(pools, i), "subnet");

		if (subnet.n > 0)
			to->subnets[to->subnets_n++] = copy_plain(subnet);
	}
}

static void read_network_options(const struct yaml_node *network, struct compose_network *to)
{
	const struct yaml_node *options = yaml_get_of(network, "driver_opts", YAML_MAPPING);
	size_t n = options ? yaml_size(options) : 0;

	to->options = lm_xcalloc(n + 1, sizeof(*to->options));
	for (size_t i = 0; i < n; i++)
		to->options[to->options_n++] = (struct compose_network_option){
			.key = copy_plain(yaml_text(yaml_key(options, i))),
			.value = copy_plain(yaml_text(yaml_value(options, i)))};
}

/// `network` may be NULL: all of it is as docker-compose makes it.
static void add_wanted_network(struct reader *r, struct lm_str key, const struct yaml_node *network)
{
	struct compose_resources *to = r->resources;
	struct compose_network *items =
		grow_array(r, to->networks, to->networks_n, sizeof(*items), LIMIT_RESOURCES);

	if (!items)
		return;
	to->networks = items;
	struct compose_network added = {.key = copy_plain(key),
		.name = resource_name(r->project, key, network),
		.driver = copy_plain(yaml_get_text(network, "driver")),
		.internal = copy_plain(yaml_get_text(network, "internal")),
		.ipv6 = copy_plain(yaml_get_text(network, "enable_ipv6")),
		.external = is_external(network)};

	read_subnets(network, &added);
	read_network_options(network, &added);
	items[to->networks_n++] = added;
}

static bool is_in_network(const struct yaml_node *service, struct lm_str key)
{
	const struct yaml_node *networks = yaml_get(service, "networks");
	bool is_map = networks && yaml_kind(networks) == YAML_MAPPING;

	if (!yaml_has(service, "networks"))
		return lm_str_eq(key, LM_STR("default")) && !yaml_has(service, "network_mode");
	for (size_t i = 0; networks && i < yaml_size(networks); i++)
		if (lm_str_eq(yaml_text(is_map ? yaml_key(networks, i) : yaml_item(networks, i)),
			    key))
			return true;
	return false;
}

/// Whether a service is in it, be it one that is not active.
static bool is_network_used(const struct reader *r, struct lm_str key)
{
	for (size_t i = 0; r->list && i < yaml_size(r->list); i++) {
		const struct yaml_node *service = yaml_value(r->list, i);

		if (yaml_kind(service) == YAML_MAPPING && is_in_network(service, key))
			return true;
	}
	return false;
}

/// Generation 1 makes those that a service is in; 2 prints those that it makes.
static void read_networks(struct reader *r)
{
	const struct yaml_node *networks = yaml_get_of(r->root, "networks", YAML_MAPPING);
	bool has_default = false;

	for (size_t i = 0; networks && i < yaml_size(networks); i++) {
		struct lm_str key = yaml_text(yaml_key(networks, i));

		has_default = has_default || lm_str_eq(key, LM_STR("default"));
		if (r->generation > 1 || is_network_used(r, key))
			add_wanted_network(r, key, yaml_value(networks, i));
	}
	if (!has_default && is_network_used(r, LM_STR("default")))
		add_wanted_network(r, LM_STR("default"), NULL);
}

lm_rc compose_resources_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_resources *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_auto(compose_resources_finish) struct compose_resources found = {0};
	struct reader r = {.resources = &found,
		.project = project,
		.generation = generation,
		.services = services};
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc != LM_OK)
		return lm_wrap(err, "what docker-compose config printed");
	r.root = yaml_root(doc);
	r.list = yaml_get_of(r.root, "services", YAML_MAPPING);
	each_service(&r, read_service_resources);
	read_networks(&r);
	if (r.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file asks for more than %d containers or networks, or %d "
			"ports",
			LIMIT_RESOURCES, PORTS_MAX);
	*ret = found;
	found = (struct compose_resources){0};
	return LM_OK;
}

void compose_resources_finish(struct compose_resources *r)
{
	for (size_t i = 0; i < r->names_n; i++) {
		free(r->names[i].service);
		free(r->names[i].name);
	}
	for (size_t i = 0; i < r->ports_n; i++) {
		free(r->ports[i].service);
		free(r->ports[i].ip);
	}
	for (size_t i = 0; i < r->networks_n; i++) {
		struct compose_network *network = &r->networks[i];

		for (size_t k = 0; k < network->subnets_n; k++)
			free(network->subnets[k]);
		free(network->subnets);
		for (size_t k = 0; k < network->options_n; k++) {
			free(network->options[k].key);
			free(network->options[k].value);
		}
		free(network->options);
		free(network->driver);
		free(network->internal);
		free(network->ipv6);
		free(network->key);
		free(network->name);
	}
	free(r->names);
	free(r->ports);
	free(r->networks);
	*r = (struct compose_resources){0};
}
