// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_resources.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

#include <stdio.h>

enum { PORT_MAX = 65535 };

struct reader {
	struct compose_resources *to;
	const char *project;
	unsigned generation;
	bool wants_default; ///< A service is in the network `default`.
	bool overflow;
};

static char *copy(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
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

static void add_name(struct reader *r, struct lm_str service, char *name)
{
	struct compose_resources *to = r->to;
	struct compose_name *items = grow(r, to->names, to->names_n, sizeof(*items));

	if (!items) {
		free(name);
		return;
	}
	to->names = items;
	items[to->names_n++] = (struct compose_name){.service = copy(service), .name = name};
}

/// How many containers the service gets. Generation 1 takes `deploy.replicas` for a swarm only.
static size_t count_containers(const struct reader *r, const struct yaml_node *service)
{
	struct lm_str text = yaml_get_text(service, "scale");
	uint64_t n = 1;

	if (text.n == 0 && r->generation > 1)
		text = yaml_get_text(yaml_get_of(service, "deploy", YAML_MAPPING), "replicas");
	if (text.n > 0 && !lm_str_to_u64(text, LIMIT_RESOURCES + 1, &n))
		n = 1;
	return (size_t)n;
}

static void read_names(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	struct lm_str fixed = yaml_get_text(service, "container_name");
	size_t n = count_containers(r, service);
	char separator = r->generation > 1 ? '-' : '_';

	if (fixed.n > 0) {
		if (n > 0)
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
	struct compose_port *items = grow(r, to->ports, to->ports_n, sizeof(*items));
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

static void read_service(struct reader *r, struct lm_str name, const struct yaml_node *service)
{
	struct lm_str mode;

	if (yaml_kind(service) != YAML_MAPPING ||
		(r->generation == 1 && yaml_has(service, "profiles")))
		return;
	mode = yaml_get_text(service, "network_mode");
	read_names(r, name, service);
	// In another network namespace there is nothing to publish.
	if (mode.n == 0 || lm_str_eq(mode, LM_STR("bridge")) || lm_str_eq(mode, LM_STR("default")))
		read_ports(r, name, service);
	if (mode.n == 0 && !yaml_has(service, "networks"))
		r->wants_default = true;
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

/// `network` may be NULL: all of it is as docker-compose makes it.
static void add_network(struct reader *r, struct lm_str key, const struct yaml_node *network)
{
	struct compose_resources *to = r->to;
	struct compose_network *items = grow(r, to->networks, to->networks_n, sizeof(*items));

	if (!items)
		return;
	to->networks = items;
	struct compose_network added = {.key = copy(key),
		.name = compose_resource_name(r->project, key, network),
		.external = compose_is_external(network)};

	read_subnets(network, &added);
	items[to->networks_n++] = added;
}

static void read_networks(struct reader *r, const struct yaml_node *root)
{
	const struct yaml_node *networks = yaml_get_of(root, "networks", YAML_MAPPING);
	bool has_default = false;

	for (size_t i = 0; networks && i < yaml_size(networks); i++) {
		struct lm_str key = yaml_text(yaml_key(networks, i));

		has_default = has_default || lm_str_eq(key, LM_STR("default"));
		add_network(r, key, yaml_value(networks, i));
	}
	if (r->wants_default && !has_default)
		add_network(r, LM_STR("default"), NULL);
}

lm_rc compose_resources_parse(struct lm_str config, const char *project, unsigned generation,
	struct compose_resources *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	lm_auto(compose_resources_finish) struct compose_resources found = {0};
	struct reader r = {.to = &found, .project = project, .generation = generation};
	lm_rc rc = yaml_parse(config, &doc, err);

	if (rc != LM_OK)
		return lm_wrap(err, "what docker-compose config printed");
	const struct yaml_node *root = yaml_root(doc);
	const struct yaml_node *services = yaml_get_of(root, "services", YAML_MAPPING);
	for (size_t i = 0; services && i < yaml_size(services); i++)
		read_service(&r, yaml_text(yaml_key(services, i)), yaml_value(services, i));
	read_networks(&r, root);
	if (r.overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file asks for more than %d containers, ports or networks",
			LIMIT_RESOURCES);
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
		free(network->key);
		free(network->name);
	}
	free(r->names);
	free(r->ports);
	free(r->networks);
	*r = (struct compose_resources){0};
}
