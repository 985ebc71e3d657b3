// SPDX-License-Identifier: Apache-2.0
#include "docker/conflict.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/process.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct finder {
	const struct conflict_search *search;
	struct conflicts *found;
};

static void add_conflict(struct finder *f, struct conflict c)
{
	struct conflicts *to = f->found;

	if ((to->n & (to->n - 1)) == 0)
		to->items = lm_xrealloc(to->items, (to->n ? 2 * to->n : 1) * sizeof(*to->items));
	to->items[to->n++] = c;
}

static bool is_own_project(const struct finder *f, const char *project)
{
	return strcmp(project, f->search->project) == 0;
}

static enum conflict_holder holder_of(const struct finder *f, const char *project)
{
	return is_own_project(f, project) ? CONFLICT_OURS : CONFLICT_STRANGER;
}

/// One that docker-compose takes for the service's own, and replaces itself.
static bool is_service_container(
	const struct finder *f, const struct engine_container *c, const char *service)
{
	return is_own_project(f, c->project) && !c->oneoff && strcmp(c->service, service) == 0;
}

static void find_names(struct finder *f)
{
	const struct engine_inventory *all = f->search->inventory;

	for (size_t i = 0; i < f->search->wanted->names_n; i++) {
		const struct compose_name *name = &f->search->wanted->names[i];

		for (size_t k = 0; k < all->containers.n; k++) {
			const struct engine_container *c = &all->containers.items[k];

			if (strcmp(c->name, name->name) != 0 ||
				is_service_container(f, c, name->service))
				continue;
			add_conflict(f, (struct conflict){.kind = CONFLICT_NAME,
						.holder = holder_of(f, c->project),
						.service = name->service,
						.wanted = name->name,
						.container = c});
		}
	}
}

/// An address to listen on. One that cannot be read is taken for all of them.
struct listen_address {
	bool v4, v6; ///< Of which families; both: every address.
	bool any;
	unsigned char bytes[16];
};

static struct listen_address read_listen_address(const char *text)
{
	struct listen_address a = {.v4 = true, .v6 = true, .any = true};

	if (inet_pton(AF_INET, text, a.bytes) == 1)
		a.v6 = false;
	else if (inet_pton(AF_INET6, text, a.bytes) == 1)
		a.v4 = false;
	if (a.v4 && a.v6)
		return a;
	for (size_t i = 0; i < sizeof(a.bytes); i++)
		a.any = a.any && a.bytes[i] == 0;
	return a;
}

static struct listen_address address_of(const struct listener *l)
{
	struct listen_address a = {.v4 = !l->ipv6, .v6 = l->ipv6, .any = true};

	memcpy(a.bytes, &l->address, sizeof(a.bytes));
	for (size_t i = 0; i < sizeof(a.bytes); i++)
		a.any = a.any && a.bytes[i] == 0;
	// A socket of IPv6 that listens everywhere listens on IPv4, too.
	a.v4 = a.v4 || a.any;
	return a;
}

static bool overlap(const struct listen_address *a, const struct listen_address *b)
{
	if (!(a->v4 && b->v4) && !(a->v6 && b->v6))
		return false;
	return a->any || b->any || memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool holds_port(const struct engine_container *c, const struct compose_port *wanted,
	const struct listen_address *address, unsigned port)
{
	for (size_t i = 0; i < c->ports_n; i++) {
		const struct engine_port *p = &c->ports[i];

		// The port first: there may be tens of thousands.
		if (p->port != port || strcmp(p->protocol, wanted->protocol) != 0)
			continue;
		struct listen_address held = read_listen_address(p->ip);
		if (overlap(&held, address))
			return true;
	}
	return false;
}

/// A service of the file, other than the one that wants it, whose port this is as well.
static const char *find_other_service(const struct finder *f, const struct compose_port *wanted,
	const struct listen_address *address, const char *service)
{
	const struct compose_resources *all = f->search->wanted;

	for (size_t i = 0; i < all->ports_n; i++) {
		const struct compose_port *p = &all->ports[i];
		struct listen_address other = read_listen_address(p->ip);

		if (strcmp(p->service, service) == 0 && strcmp(p->service, wanted->service) != 0 &&
			p->first == wanted->first && p->last == wanted->last &&
			p->first == p->last && strcmp(p->protocol, wanted->protocol) == 0 &&
			overlap(&other, address))
			return p->service;
	}
	return NULL;
}

/// The container that holds the port; one of the service's own before all others.
static const struct engine_container *find_port_container(const struct finder *f,
	const struct compose_port *wanted, const struct listen_address *address, unsigned port)
{
	const struct engine_inventory *all = f->search->inventory;
	const struct engine_container *found = NULL;

	for (size_t i = 0; i < all->containers.n; i++) {
		const struct engine_container *c = &all->containers.items[i];

		if (!holds_port(c, wanted, address, port))
			continue;
		if (is_service_container(f, c, wanted->service))
			return c;
		found = found ? found : c;
	}
	return found;
}

static const struct listener *find_port_listener(const struct finder *f,
	const struct compose_port *wanted, const struct listen_address *address, unsigned port)
{
	const struct listeners *all = f->search->listeners;
	bool udp = strcmp(wanted->protocol, "udp") == 0;

	if (!udp && strcmp(wanted->protocol, "tcp") != 0)
		return NULL;
	for (size_t i = 0; all && i < all->n; i++) {
		if (all->items[i].port != port || all->items[i].udp != udp)
			continue;
		struct listen_address held = address_of(&all->items[i]);
		if (overlap(&held, address))
			return &all->items[i];
	}
	return NULL;
}

/// Whether a port is taken, and by whom.
static bool find_port_holder(const struct finder *f, const struct compose_port *wanted,
	unsigned port, struct conflict *ret)
{
	const struct listen_address address = read_listen_address(wanted->ip);
	const struct engine_container *c = find_port_container(f, wanted, &address, port);
	struct conflict conflict = {.kind = CONFLICT_PORT,
		.service = wanted->service,
		.wanted = wanted->ip,
		.port = port,
		.protocol = wanted->protocol,
		.container = c};

	if (c && is_service_container(f, c, wanted->service))
		return false;
	if (c) {
		conflict.holder = holder_of(f, c->project);
		if (conflict.holder == CONFLICT_OURS && !c->oneoff)
			conflict.other_service =
				find_other_service(f, wanted, &address, c->service);
		if (conflict.other_service)
			conflict.holder = CONFLICT_FILE;
	} else {
		conflict.listener = find_port_listener(f, wanted, &address, port);
		if (!conflict.listener)
			return false;
		conflict.holder = CONFLICT_PROGRAM;
	}
	*ret = conflict;
	return true;
}

static void find_ports(struct finder *f)
{
	for (size_t i = 0; i < f->search->wanted->ports_n; i++) {
		const struct compose_port *wanted = &f->search->wanted->ports[i];
		struct conflict first = {0}, conflict = {0};
		bool taken = true;

		// Of a range one that is free is enough.
		for (unsigned port = wanted->first; taken && port <= wanted->last; port++) {
			taken = find_port_holder(f, wanted, port, &conflict);
			if (port == wanted->first)
				first = conflict;
		}
		if (taken)
			add_conflict(f, first);
	}
}

/// A container of another application that uses a network, which then cannot be removed.
static const struct engine_container *find_user(
	const struct finder *f, const struct engine_network *network)
{
	const struct engine_inventory *all = f->search->inventory;

	for (size_t i = 0; i < all->containers.n; i++) {
		const struct engine_container *c = &all->containers.items[i];

		if (!is_own_project(f, c->project) && engine_container_is_active(c) &&
			engine_container_is_attached(c, network->id))
			return c;
	}
	return NULL;
}

/// Takes kind, what is wanted and the network from `c`.
static void add_network_conflict(struct finder *f, struct conflict c)
{
	const struct engine_network *network = c.network;

	c.holder = holder_of(f, network->project);

	if (c.holder == CONFLICT_OURS) {
		c.container = find_user(f, network);
		c.holder = c.container ? CONFLICT_STRANGER : CONFLICT_OURS;
	}
	add_conflict(f, c);
}

struct subnet {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

static bool read_subnet(const char *text, struct subnet *ret)
{
	struct lm_str bits = lm_str(text);
	struct lm_str address = lm_str_cut(&bits, '/');
	struct subnet s = {.family = memchr(text, ':', strlen(text)) ? AF_INET6 : AF_INET};
	lm_auto_free char *copy = lm_xmemdup0(address.p, address.n);
	uint64_t n = 0;

	if (!lm_str_to_u64(bits, s.family == AF_INET ? 32 : 128, &n) ||
		inet_pton(s.family, copy, s.bytes) != 1)
		return false;
	s.bits = (unsigned)n;
	*ret = s;
	return true;
}

static bool subnets_overlap(const char *a_text, const char *b_text)
{
	struct subnet a, b;

	if (!read_subnet(a_text, &a) || !read_subnet(b_text, &b) || a.family != b.family)
		return false;
	unsigned bits = a.bits < b.bits ? a.bits : b.bits;
	if (memcmp(a.bytes, b.bytes, bits / 8) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || ((a.bytes[bits / 8] ^ b.bytes[bits / 8]) >> (8 - rest)) == 0;
}

static void find_subnet(
	struct finder *f, const struct compose_network *wanted, const struct engine_network *n)
{
	for (size_t i = 0; i < wanted->subnets_n; i++)
		for (size_t k = 0; k < n->subnets_n; k++)
			if (subnets_overlap(wanted->subnets[i], n->subnets[k])) {
				add_network_conflict(f, (struct conflict){.kind = CONFLICT_SUBNET,
								.wanted = wanted->subnets[i],
								.network = n});
				return;
			}
}

/// Those that the engine sets by itself, which docker-compose 1 leaves out.
static bool is_engines_option(const char *key)
{
	static const char *const keys[] = {"com.docker.network.driver.overlay.vxlanid_list",
		"com.docker.network.windowsshim.hnsid",
		"com.docker.network.windowsshim.networkname"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static const char *find_wanted_option(const struct compose_network *wanted, const char *key)
{
	for (size_t i = 0; i < wanted->options_n; i++)
		if (strcmp(wanted->options[i].key, key) == 0)
			return wanted->options[i].value;
	return NULL;
}

static bool has_option(const struct engine_network *n, const char *key)
{
	for (size_t i = 0; i < n->options_n; i++)
		if (strcmp(n->options[i].key, key) == 0)
			return true;
	return false;
}

/// What docker-compose 1 compares, and finds to differ; NULL: nothing. It does not get as far as
/// subnets.
static const char *find_difference(
	const struct compose_network *wanted, const struct engine_network *n)
{
	if (*wanted->driver && strcmp(wanted->driver, n->driver) != 0)
		return "driver";
	for (size_t i = 0; i < n->options_n; i++) {
		const char *value = find_wanted_option(wanted, n->options[i].key);

		if (!is_engines_option(n->options[i].key) &&
			!(value && strcmp(value, n->options[i].value) == 0))
			return n->options[i].key;
	}
	for (size_t i = 0; i < wanted->options_n; i++)
		if (!has_option(n, wanted->options[i].key) &&
			!is_engines_option(wanted->options[i].key))
			return wanted->options[i].key;
	if (*wanted->internal && (strcasecmp(wanted->internal, "true") == 0) != n->internal)
		return "internal";
	if (*wanted->ipv6 && (strcasecmp(wanted->ipv6, "true") == 0) != n->ipv6)
		return "enable_ipv6";
	return NULL;
}

/// A network that has the name of one of the file's.
static void find_network(
	struct finder *f, const struct compose_network *wanted, const struct engine_network *n)
{
	struct conflict c = {.kind = CONFLICT_NETWORK, .wanted = wanted->name, .network = n};

	if (f->search->generation == 1) {
		c.kind = CONFLICT_NETWORK_CHANGED;
		c.difference = find_difference(wanted, n);
	}
	// Generation 1 wrote another key into the label of networks with a name of their own.
	if (c.difference || (f->search->generation > 1 && strcmp(n->key, wanted->key) != 0))
		add_network_conflict(f, c);
}

static void find_networks(struct finder *f)
{
	const struct engine_inventory *all = f->search->inventory;

	for (size_t i = 0; i < f->search->wanted->networks_n; i++) {
		const struct compose_network *wanted = &f->search->wanted->networks[i];

		for (size_t k = 0; !wanted->external && k < all->networks.n; k++) {
			const struct engine_network *n = &all->networks.items[k];

			if (strcmp(n->name, wanted->name) != 0)
				find_subnet(f, wanted, n);
			else
				find_network(f, wanted, n);
		}
	}
}

static bool is_wanted_service(const struct finder *f, const char *service)
{
	for (size_t i = 0; i < f->search->wanted->names_n; i++)
		if (strcmp(f->search->wanted->names[i].service, service) == 0)
			return true;
	return false;
}

static bool network_exists(const struct engine_inventory *all, const char *id)
{
	for (size_t i = 0; i < all->networks.n; i++)
		if (strcmp(all->networks.items[i].id, id) == 0)
			return true;
	return false;
}

/// The engine does not start such a container again, and docker-compose takes it as it is if its
/// definition is still the same.
static void find_gone_networks(struct finder *f)
{
	const struct engine_inventory *all = f->search->inventory;

	for (size_t i = 0; i < all->containers.n; i++) {
		const struct engine_container *c = &all->containers.items[i];
		size_t k = 0;

		if (!is_own_project(f, c->project) || c->oneoff || engine_container_is_active(c) ||
			!is_wanted_service(f, c->service))
			continue;
		while (k < c->networks_n && network_exists(all, c->network_ids[k]))
			k++;
		if (k < c->networks_n)
			add_conflict(f, (struct conflict){.kind = CONFLICT_NETWORK_GONE,
						.holder = CONFLICT_OURS,
						.service = c->service,
						.wanted = c->network_names[k],
						.container = c});
	}
}

void conflict_find(const struct conflict_search *search, struct conflicts *ret)
{
	struct finder f = {.search = search, .found = ret};

	*ret = (struct conflicts){0};
	find_names(&f);
	find_ports(&f);
	find_networks(&f);
	find_gone_networks(&f);
}

void conflicts_finish(struct conflicts *list)
{
	free(list->items);
	*list = (struct conflicts){0};
}

#define FORCE ", or set ForceDeploy to True"

static void describe_wish(const struct conflict *c, struct lm_buf *out)
{
	switch (c->kind) {
	case CONFLICT_NAME:
		(void)lm_buf_printf(
			out, "the container name '%s' of service %s", c->wanted, c->service);
		break;
	case CONFLICT_PORT:
		(void)lm_buf_printf(out, "port %s%s%u/%s of service %s", c->wanted,
			*c->wanted ? ":" : "", c->port, c->protocol, c->service);
		break;
	case CONFLICT_NETWORK:
		(void)lm_buf_printf(out, "the network name '%s'", c->wanted);
		break;
	case CONFLICT_SUBNET:
		(void)lm_buf_printf(out, "the subnet %s", c->wanted);
		break;
	case CONFLICT_NETWORK_CHANGED:
	case CONFLICT_NETWORK_GONE:
		(void)lm_buf_printf(out, "the network '%s'", c->wanted);
		break;
	}
}

/// "of project x", "of no project".
static void describe_project(const char *project, struct lm_buf *out)
{
	if (*project)
		(void)lm_buf_printf(
			out, ", which does not belong to this application (project '%s')", project);
	else
		(void)lm_buf_puts(out, ", which does not belong to this application");
}

static const char *alternative_of(enum conflict_kind kind)
{
	static const char *const texts[] = {
		[CONFLICT_NAME] = ", or choose another name in the compose file",
		[CONFLICT_PORT] = ", or publish another port",
		[CONFLICT_NETWORK] = ", or choose another name in the compose file",
		[CONFLICT_NETWORK_CHANGED] = ", or choose another name in the compose file",
		[CONFLICT_SUBNET] = ", or choose another subnet",
		[CONFLICT_NETWORK_GONE] = "",
	};

	return texts[kind];
}

static void describe_container(const struct conflict *c, struct lm_buf *out)
{
	(void)lm_buf_printf(out, " is in use by container '%s'", c->container->name);
	if (c->holder == CONFLICT_OURS)
		(void)lm_buf_printf(out, " of an earlier deployment: run 'docker rm -f %s'" FORCE,
			c->container->name);
	else {
		describe_project(c->container->project, out);
		(void)lm_buf_printf(out, ": run 'docker rm -f %s'%s", c->container->name,
			alternative_of(c->kind));
	}
}

static void describe_network(const struct conflict *c, struct lm_buf *out)
{
	const struct engine_network *n = c->network;

	if (c->kind == CONFLICT_SUBNET)
		(void)lm_buf_printf(out, " overlaps with %s of network '%s'",
			n->subnets_n > 0 ? n->subnets[0] : "that", n->name);
	else if (c->kind == CONFLICT_NETWORK_CHANGED)
		(void)lm_buf_printf(
			out, " differs in '%s' from the network of that name", c->difference);
	else
		(void)lm_buf_puts(out, " is in use by a network");
	if (c->container) {
		(void)lm_buf_printf(out, " of an earlier deployment, which container '%s' uses",
			c->container->name);
		describe_project(c->container->project, out);
		(void)lm_buf_printf(out, ": run 'docker network disconnect -f %s %s'", n->name,
			c->container->name);
	} else if (c->holder == CONFLICT_OURS && c->kind == CONFLICT_NETWORK_CHANGED) {
		(void)lm_buf_puts(out,
			" of an earlier deployment: run 'lighterman stop' and deploy again" FORCE);
	} else if (c->holder == CONFLICT_OURS) {
		(void)lm_buf_printf(out,
			" of an earlier deployment: run 'docker network rm %s'" FORCE, n->name);
	} else {
		describe_project(n->project, out);
		(void)lm_buf_printf(
			out, ": run 'docker network rm %s'%s", n->name, alternative_of(c->kind));
	}
}

static const struct engine_container *find_by_id(
	const struct engine_inventory *all, const char *container_id)
{
	for (size_t i = 0; *container_id && i < all->containers.n; i++)
		if (strcmp(all->containers.items[i].id, container_id) == 0)
			return &all->containers.items[i];
	return NULL;
}

static void describe_user(uid_t uid, struct lm_buf *out)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	if (process_user_by_uid(uid, &user, NULL) == LM_OK)
		(void)lm_buf_printf(out, "user %s", user.name);
	else
		(void)lm_buf_printf(out, "user %u", (unsigned)uid);
}

static void describe_listener(
	const struct conflict *c, const struct engine_inventory *inventory, struct lm_buf *out)
{
	struct listener_process process = listener_find_process(c->listener);
	const struct engine_container *container = find_by_id(inventory, process.container_id);
	char name[4 * sizeof(process.name) + 32];

	(void)lm_str_shorten(lm_str(process.name), sizeof(process.name), name, sizeof(name));
	(void)lm_buf_puts(out, " is in use by ");
	if (container) {
		(void)lm_buf_printf(out,
			"container '%s' in the network of this device: run 'docker rm -f %s'",
			container->name, container->name);
	} else if (process.pid) {
		(void)lm_buf_printf(out, "program '%s' (PID %d, ", name, (int)process.pid);
		describe_user(c->listener->uid, out);
		(void)lm_buf_puts(out, "): stop it");
	} else {
		(void)lm_buf_puts(out, "a program of ");
		describe_user(c->listener->uid, out);
		(void)lm_buf_printf(out, ": stop it (as root, 'ss -l%snp sport = :%u' names it)",
			c->listener->udp ? "u" : "t", c->port);
	}
	(void)lm_buf_puts(out, alternative_of(c->kind));
}

void conflict_describe(
	const struct conflict *c, const struct engine_inventory *inventory, struct lm_buf *out)
{
	describe_wish(c, out);
	if (c->kind == CONFLICT_NETWORK_GONE)
		(void)lm_buf_printf(out,
			" is gone, and container '%s' refers to it: run 'docker rm -f %s'" FORCE,
			c->container->name, c->container->name);
	else if (c->holder == CONFLICT_FILE)
		(void)lm_buf_printf(out,
			" is published by service %s of the compose file as well: change one of "
			"them",
			c->other_service);
	else if (c->network)
		describe_network(c, out);
	else if (c->container)
		describe_container(c, out);
	else
		describe_listener(c, inventory, out);
}

void conflicts_describe(
	const struct conflicts *list, const struct engine_inventory *inventory, struct lm_buf *out)
{
	enum { SHOWN_MAX = 3 };

	for (size_t i = 0; i < list->n && i < SHOWN_MAX; i++) {
		if (i > 0)
			(void)lm_buf_puts(out, "; ");
		conflict_describe(&list->items[i], inventory, out);
	}
	if (list->n > SHOWN_MAX)
		(void)lm_buf_printf(out, "; and %zu more", list->n - SHOWN_MAX);
}
