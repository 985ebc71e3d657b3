// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_resources.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

#include <stdio.h>

enum {
	PORT_MAX = 65535,
	PORTS_MAX = 10 * LIMIT_RESOURCES, ///< There are ranges of tens of thousands.
};

struct reader {
	struct compose_resources *to;
	const char *project;
	unsigned generation;
	const struct compose_services *services;
	const struct yaml_node *list; ///< All services that are printed.
	bool overflow;
};

static char *copy(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

/// One more element for an array of `n`; NULL over `max`.
static void *grow(struct reader *r, void *items, size_t n, size_t size, size_t max)
{
	if (n >= max) {
		r->overflow = true;
		return NULL;
	}
	// In steps that double, at powers of two.
	return (n & (n - 1)) == 0 ? lm_xrealloc(items, (n ? 2 * n : 1) * size) : items;
}

static void add_name(struct reader *r, struct lm_str service, char *name)
{
	struct compose_resources *to = r->to;
	struct compose_name *items =
		grow(r, to->names, to->names_n, sizeof(*items), LIMIT_RESOURCES);

	if (!items) {
		free(name);
		return;
	}
	to->names = items;
	items[to->names_n++] = (struct compose_name){.service = copy(service), .name = name};
}

static void read_names(
	struct reader *r, struct lm_str name, const struct yaml_node *service, size_t n)
{
	struct lm_str fixed = yaml_get_text(service, "container_name");
	char separator = r->generation > 1 ? '-' : '_';

	if (fixed.n > 0) {
		add_name(r, name, copy(fixed));
		return;
	}
	for (size_t i = 1; i <= n && !r->overflow; i++)
		add_name(r, name,
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
	struct compose_resources *to = r->to;
	struct compose_port port = {0};

	if (!read_published(published, &port.first, &port.last))
		return;
	struct compose_port *items = grow(r, to->ports, to->ports_n, sizeof(*items), PORTS_MAX);
	if (!items)
		return;
	if (protocol.n == 0)
		protocol = LM_STR("tcp");
	(void)snprintf(port.protocol, sizeof(port.protocol), "%.*s", LM_STR_ARG(protocol));
	port.service = copy(service);
	port.ip = copy(ip);
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

static void read_ports(struct reader *r, struct lm_str name, const struct yaml_node *service)
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

static void read_service(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	const struct compose_service *active = find_active(r, name);
	struct lm_str mode;

	if (yaml_kind(service) != YAML_MAPPING || !active || active->replicas == 0)
		return;
	mode = yaml_get_text(service, "network_mode");
	read_names(r, name, service, active->replicas);
	// In another network namespace there is nothing to publish.
	if (mode.n == 0 || lm_str_eq(mode, LM_STR("bridge")) || lm_str_eq(mode, LM_STR("default")))
		read_ports(r, name, service);
}

bool compose_is_external(const struct yaml_node *definition)
{
	return yaml_get_of(definition, "external", YAML_MAPPING) ||
	       lm_str_eq_nocase(yaml_get_text(definition, "external"), LM_STR("true"));
}

char *compose_resource_name(
	const char *project, struct lm_str key, const struct yaml_node *definition)
{
	struct lm_str name = yaml_get_text(definition, "name");

	if (name.n == 0)
		name = yaml_get_text(yaml_get_of(definition, "external", YAML_MAPPING), "name");
	if (name.n > 0)
		return copy(name);
	if (compose_is_external(definition))
		return copy(key);
	return lm_xasprintf("%s_%.*s", project, LM_STR_ARG(key));
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
			to->subnets[to->subnets_n++] = copy(subnet);
	}
}

static void read_options(const struct yaml_node *network, struct compose_network *to)
{
	const struct yaml_node *options = yaml_get_of(network, "driver_opts", YAML_MAPPING);
	size_t n = options ? yaml_size(options) : 0;

	to->options = lm_xcalloc(n + 1, sizeof(*to->options));
	for (size_t i = 0; i < n; i++)
		to->options[to->options_n++] = (struct compose_network_option){
			.key = copy(yaml_text(yaml_key(options, i))),
			.value = copy(yaml_text(yaml_value(options, i)))};
}

/// `network` may be NULL: all of it is as docker-compose makes it.
static void add_network(struct reader *r, struct lm_str key, const struct yaml_node *network)
{
	struct compose_resources *to = r->to;
	struct compose_network *items =
		grow(r, to->networks, to->networks_n, sizeof(*items), LIMIT_RESOURCES);

	if (!items)
		return;
	to->networks = items;
	struct compose_network added = {.key = copy(key),
		.name = compose_resource_name(r->project, key, network),
		.driver = copy(yaml_get_text(network, "driver")),
		.internal = copy(yaml_get_text(network, "internal")),
		.ipv6 = copy(yaml_get_text(network, "enable_ipv6")),
		.external = compose_is_external(network)};

	read_subnets(network, &added);
	read_options(network, &added);
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
static bool is_used(const struct reader *r, struct lm_str key)
{
	for (size_t i = 0; r->list && i < yaml_size(r->list); i++) {
		const struct yaml_node *service = yaml_value(r->list, i);

		if (yaml_kind(service) == YAML_MAPPING && is_in_network(service, key))
			return true;
	}
	return false;
}

/// Generation 1 makes those that a service is in; 2 prints those that it makes.
static void read_networks(struct reader *r, const struct yaml_node *root)
{
	const struct yaml_node *networks = yaml_get_of(root, "networks", YAML_MAPPING);
	bool has_default = false;

	for (size_t i = 0; networks && i < yaml_size(networks); i++) {
		struct lm_str key = yaml_text(yaml_key(networks, i));

		has_default = has_default || lm_str_eq(key, LM_STR("default"));
		if (r->generation > 1 || is_used(r, key))
			add_network(r, key, yaml_value(networks, i));
	}
	if (!has_default && is_used(r, LM_STR("default")))
		add_network(r, LM_STR("default"), NULL);
}

lm_rc compose_resources_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_resources *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_auto(compose_resources_finish) struct compose_resources found = {0};
	struct reader r = {
		.to = &found, .project = project, .generation = generation, .services = services};
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc != LM_OK)
		return lm_wrap(err, "what docker-compose config printed");
	const struct yaml_node *root = yaml_root(doc);
	r.list = yaml_get_of(root, "services", YAML_MAPPING);
	for (size_t i = 0; r.list && i < yaml_size(r.list); i++)
		read_service(&r, yaml_text(yaml_key(r.list, i)), yaml_value(r.list, i));
	read_networks(&r, root);
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
