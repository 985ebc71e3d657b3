// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_requirements.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/compose_resources.h"
#include "sys/yaml.h"

struct reader {
	struct compose_requirements *to;
	const char *project;
	unsigned generation;
	const struct compose_services *services;
	const struct yaml_node *root;
	bool overflow;
};

/// docker-compose writes `$$` for a `$`, so that it can read what it prints.
static char *copy(struct lm_str s)
{
	char *text = lm_xmemdup0(s.p, s.n);
	size_t n = 0;

	for (size_t i = 0; text[i]; i++) {
		text[n++] = text[i];
		if (text[i] == '$' && text[i + 1] == '$')
			i++;
	}
	text[n] = '\0';
	return text;
}

/// One more element for an array of `n`; NULL over LIMIT_RESOURCES.
static void *grow(struct reader *r, void *items, size_t n, size_t size)
{
	if (n >= LIMIT_RESOURCES) {
		r->overflow = true;
		return NULL;
	}
	// In steps that double, at powers of two.
	return (n & (n - 1)) == 0 ? lm_xrealloc(items, (n ? 2 * n : 1) * size) : items;
}

static void add_path(struct reader *r, const struct compose_path *path, struct lm_str service,
	struct lm_str name, struct lm_str text)
{
	struct compose_requirements *to = r->to;
	struct compose_path *items;

	if (text.n == 0 || text.p[0] != '/')
		return;
	items = grow(r, to->paths, to->paths_n, sizeof(*items));
	if (!items)
		return;
	to->paths = items;
	items[to->paths_n++] = (struct compose_path){.kind = path->kind,
		.required = path->required,
		.service = copy(service),
		.name = copy(name),
		.path = copy(text)};
}

static void add_driver(
	struct reader *r, enum compose_driver_kind kind, struct lm_str user, struct lm_str name)
{
	struct compose_requirements *to = r->to;
	struct compose_driver *items;

	// "default" is docker-compose's word for what the engine takes by itself.
	if (name.n == 0 || lm_str_eq(name, LM_STR("default")))
		return;
	items = grow(r, to->drivers, to->drivers_n, sizeof(*items));
	if (!items)
		return;
	to->drivers = items;
	items[to->drivers_n++] =
		(struct compose_driver){.kind = kind, .user = copy(user), .name = copy(name)};
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
	lm_auto_free char *name = copy(key);
	const struct yaml_node *definition = yaml_get_of(volumes, name, YAML_MAPPING);
	const struct yaml_node *options = yaml_get_of(definition, "driver_opts", YAML_MAPPING);
	struct lm_str driver = yaml_get_text(definition, "driver");
	struct lm_str device = yaml_get_text(options, "device");
	bool is_local = driver.n == 0 || lm_str_eq(driver, LM_STR("local")) ||
			lm_str_eq(driver, LM_STR("default"));

	if (!is_local || compose_is_external(definition))
		return;
	// "//server/share" is cifs, ":/path" nfs.
	if (has_bind(yaml_get_text(options, "o")) || lm_str_starts(device, LM_STR("/dev/")))
		add_path(r, &volume, service, key, device);
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
		add_path(r, &bind, service, LM_STR(""), source);
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
		add_path(r, &bind, service, LM_STR(""), source);
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

		add_path(r, &device, name, LM_STR(""), path);
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
		lm_auto_free char *key = copy(source);
		const struct yaml_node *definition = yaml_get_of(definitions, key, YAML_MAPPING);

		if (!compose_is_external(definition))
			add_path(r, &file, name, source, yaml_get_text(definition, "file"));
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

static void add_network(struct reader *r, struct lm_str text)
{
	struct compose_requirements *to = r->to;
	lm_auto_free char *key = copy(text);
	const struct yaml_node *networks = yaml_get_of(r->root, "networks", YAML_MAPPING);
	const struct yaml_node *network = yaml_get_of(networks, key, YAML_MAPPING);

	if (!compose_is_external(network) || has_network(to, key))
		return;
	struct compose_external *items = grow(r, to->networks, to->networks_n, sizeof(*items));
	if (!items)
		return;
	to->networks = items;
	items[to->networks_n++] = (struct compose_external){
		.name = compose_resource_name(r->project, text, network), .key = lm_take(key)};
}

/// In no `networks` at all, but without a `network_mode`, a service is in `default`.
static void read_networks(struct reader *r, const struct yaml_node *service)
{
	const struct yaml_node *list = yaml_get(service, "networks");
	bool is_map = list && yaml_kind(list) == YAML_MAPPING;

	if (!yaml_has(service, "networks") && !yaml_has(service, "network_mode"))
		add_network(r, LM_STR("default"));
	for (size_t i = 0; list && i < yaml_size(list); i++)
		add_network(r, yaml_text(is_map ? yaml_key(list, i) : yaml_item(list, i)));
}

static void read_build(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct compose_path context = {.kind = COMPOSE_PATH_BUILD};
	const struct yaml_node *build = yaml_get_of(service, "build", YAML_MAPPING);
	struct lm_str text =
		build ? yaml_get_text(build, "context") : yaml_get_text(service, "build");

	add_path(r, &context, name, LM_STR(""), text);
}

/// Whether the file makes a container of that name.
static bool is_own_container(const struct reader *r, struct lm_str name)
{
	const struct yaml_node *list = yaml_get_of(r->root, "services", YAML_MAPPING);
	struct lm_str project = lm_str(r->project);

	if (name.n > project.n && lm_str_starts(name, project) && strchr("-_", name.p[project.n]))
		return true;
	for (size_t i = 0; list && i < yaml_size(list); i++)
		if (lm_str_eq(yaml_get_text(yaml_value(list, i), "container_name"), name))
			return true;
	return false;
}

static void add_partner(struct reader *r, struct lm_str service, struct lm_str name, bool required)
{
	struct compose_requirements *to = r->to;

	if (name.n == 0 || is_own_container(r, name))
		return;
	struct compose_partner *items = grow(r, to->partners, to->partners_n, sizeof(*items));
	if (!items)
		return;
	to->partners = items;
	items[to->partners_n++] = (struct compose_partner){
		.service = copy(service), .name = copy(name), .required = required};
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

static bool is_active(const struct reader *r, struct lm_str name)
{
	for (size_t i = 0; i < r->services->n; i++)
		if (lm_str_eq(lm_str(r->services->items[i].name), name))
			return r->services->items[i].active;
	return false;
}

static void read_service(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	if (yaml_kind(service) != YAML_MAPPING || !is_active(r, name))
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
	read_networks(r, service);
	read_partners(r, name, service);
}

static void read_options(const struct yaml_node *volume, struct compose_volume *to)
{
	const struct yaml_node *options = yaml_get_of(volume, "driver_opts", YAML_MAPPING);
	size_t n = options ? yaml_size(options) : 0;

	to->options = lm_xcalloc(n + 1, sizeof(*to->options));
	for (size_t i = 0; i < n; i++)
		to->options[to->options_n++] =
			(struct compose_option){.key = copy(yaml_text(yaml_key(options, i))),
				.value = copy(yaml_text(yaml_value(options, i)))};
}

static void add_volume(struct reader *r, struct lm_str key, const struct yaml_node *volume)
{
	struct compose_requirements *to = r->to;
	struct compose_volume *items = grow(r, to->volumes, to->volumes_n, sizeof(*items));

	if (!items)
		return;
	to->volumes = items;
	struct compose_volume added = {.key = copy(key),
		.name = compose_resource_name(r->project, key, volume),
		.external = compose_is_external(volume),
		.driver = copy(yaml_get_text(volume, "driver"))};

	if (!added.external) {
		read_options(volume, &added);
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

		if (!compose_is_external(network))
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
	struct reader r = {
		.to = &found, .project = project, .generation = generation, .services = services};
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc)
		return lm_wrap(err, "what docker-compose config printed");
	r.root = yaml_root(doc);
	const struct yaml_node *list = yaml_get_of(r.root, "services", YAML_MAPPING);
	for (size_t i = 0; list && i < yaml_size(list); i++)
		read_service(&r, yaml_text(yaml_key(list, i)), yaml_value(list, i));
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
