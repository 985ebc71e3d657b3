// SPDX-License-Identifier: Apache-2.0
#include "docker/inventory.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "docker/engine_priv.h"
#include "sys/json.h"

#include <stdio.h>
#include <string.h>

static void read_ports(const json_t *item, struct inventory_container *c)
{
	const json_t *ports = json_object_get(item, "Ports");
	size_t i;
	json_t *port;

	c->ports = lm_xcalloc(json_array_size(ports) + 1, sizeof(*c->ports));
	json_array_foreach(ports, i, port)
	{
		int64_t number = json_get_int(port, "PublicPort", 0);

		if (number <= 0 || number > UINT16_MAX)
			continue;
		c->ports[c->ports_n++] = (struct inventory_port){.ip = json_copy_text(port, "IP"),
			.port = (unsigned)number,
			.protocol = json_copy_text(port, "Type")};
	}
}

static void read_attached(const json_t *item, struct inventory_container *c)
{
	json_t *networks = json_object_get(json_object_get(item, "NetworkSettings"), "Networks");
	const char *name;
	json_t *network;

	c->network_ids = lm_xcalloc(json_object_size(networks) + 1, sizeof(*c->network_ids));
	c->network_names = lm_xcalloc(json_object_size(networks) + 1, sizeof(*c->network_names));
	json_object_foreach(networks, name, network)
	{
		const char *id = json_get_text(network, "NetworkID");

		if (!id || !*id) // it was never started
			continue;
		c->network_ids[c->networks_n] = lm_xstrdup(id);
		c->network_names[c->networks_n++] = lm_xstrdup(name);
	}
}

static void read_container(const json_t *item, struct inventory_container *c)
{
	const json_t *labels = json_object_get(item, "Labels");
	const char *oneoff = json_get_text(labels, "com.docker.compose.oneoff");

	c->id = json_copy_text(item, "Id");
	c->name = engine_container_name(item);
	c->project = json_copy_text(labels, "com.docker.compose.project");
	c->service = json_copy_text(labels, "com.docker.compose.service");
	c->oneoff = oneoff && strcmp(oneoff, "True") == 0;
	c->state = json_copy_text(item, "State");
	read_ports(item, c);
	read_attached(item, c);
}

static void read_network(const json_t *item, struct inventory_network *n)
{
	const json_t *labels = json_object_get(item, "Labels");
	const json_t *pools = json_object_get(json_object_get(item, "IPAM"), "Config");
	json_t *options = json_object_get(item, "Options");
	size_t i;
	json_t *pool, *value;
	const char *key;

	n->id = json_copy_text(item, "Id");
	n->name = json_copy_text(item, "Name");
	n->driver = json_copy_text(item, "Driver");
	n->internal = json_get_bool(item, "Internal", false);
	n->ipv6 = json_get_bool(item, "EnableIPv6", false);
	n->project = json_copy_text(labels, "com.docker.compose.project");
	n->key = json_copy_text(labels, "com.docker.compose.network");
	n->subnets = lm_xcalloc(json_array_size(pools) + 1, sizeof(*n->subnets));
	json_array_foreach(pools, i, pool)
	{
		const char *subnet = json_get_text(pool, "Subnet");
		if (subnet)
			n->subnets[n->subnets_n++] = lm_xstrdup(subnet);
	}
	n->options = lm_xcalloc(json_object_size(options) + 1, sizeof(*n->options));
	json_object_foreach(options, key, value) if (json_is_string(value))
		n->options[n->options_n++] = (struct inventory_option){
		.key = lm_xstrdup(key), .value = lm_xstrdup(json_string_value(value))};
}

static lm_rc parse_objects(struct lm_str body, const char *what, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	size_t i;
	json_t *item;

	if (json_parse(body, &list, NULL) != LM_OK || !json_is_array(list))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the Docker daemon's list of %s is not a JSON array", what);
	json_array_foreach(list, i, item) if (!json_is_object(item)) return lm_fail(err,
		LM_E_PROTOCOL, 0, "the Docker daemon's list of %s has an item that is no object",
		what);
	*ret = lm_take(list);
	return LM_OK;
}

lm_rc inventory_parse_containers(struct lm_str body, struct inventory *to, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	lm_rc rc = parse_objects(body, "containers", &list, err);
	size_t i;
	json_t *item;

	if (rc)
		return rc;
	to->containers = lm_xcalloc(json_array_size(list) + 1, sizeof(*to->containers));
	json_array_foreach(list, i, item) read_container(item, &to->containers[to->containers_n++]);
	return LM_OK;
}

lm_rc inventory_parse_networks(struct lm_str body, struct inventory *to, struct lm_err *err)
{
	lm_auto_json json_t *list = NULL;
	lm_rc rc = parse_objects(body, "networks", &list, err);
	size_t i;
	json_t *item;

	if (rc)
		return rc;
	to->networks = lm_xcalloc(json_array_size(list) + 1, sizeof(*to->networks));
	json_array_foreach(list, i, item) read_network(item, &to->networks[to->networks_n++]);
	return LM_OK;
}

static void finish_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

static void finish_container(struct inventory_container *c)
{
	free(c->id);
	free(c->name);
	free(c->project);
	free(c->service);
	free(c->state);
	for (size_t i = 0; i < c->ports_n; i++) {
		free(c->ports[i].ip);
		free(c->ports[i].protocol);
	}
	free(c->ports);
	finish_texts(c->network_ids, c->networks_n);
	finish_texts(c->network_names, c->networks_n);
}

void inventory_finish(struct inventory *inventory)
{
	for (size_t i = 0; i < inventory->containers_n; i++)
		finish_container(&inventory->containers[i]);
	for (size_t i = 0; i < inventory->networks_n; i++) {
		struct inventory_network *n = &inventory->networks[i];

		free(n->id);
		free(n->name);
		free(n->project);
		free(n->key);
		free(n->driver);
		finish_texts(n->subnets, n->subnets_n);
		for (size_t k = 0; k < n->options_n; k++) {
			free(n->options[k].key);
			free(n->options[k].value);
		}
		free(n->options);
	}
	free(inventory->containers);
	free(inventory->networks);
	*inventory = (struct inventory){0};
}

static lm_rc get_list(const struct engine *e, const char *path, const struct wait_limit *limit,
	struct http_unix **ret, struct lm_err *err)
{
	char target[64];

	(void)snprintf(target, sizeof(target), "/v1.%u/%s", e->version.minor, path);
	return engine_get_answer(e->socket_path, target, limit, ret, err);
}

lm_rc inventory_take(const struct engine *e, const struct wait_limit *limit, struct inventory *ret,
	struct lm_err *err)
{
	lm_auto(inventory_finish) struct inventory found = {0};
	lm_auto(http_unix_destroy_p) struct http_unix *containers = NULL;
	lm_auto(http_unix_destroy_p) struct http_unix *networks = NULL;
	lm_rc rc = get_list(e, "containers/json?all=1", limit, &containers, err);

	if (!rc)
		rc = inventory_parse_containers(http_unix_body(containers), &found, err);
	if (rc)
		return lm_wrap(err, "list containers");
	rc = get_list(e, "networks", limit, &networks, err);
	if (!rc)
		rc = inventory_parse_networks(http_unix_body(networks), &found, err);
	if (rc)
		return lm_wrap(err, "list networks");
	*ret = found;
	found = (struct inventory){0};
	return LM_OK;
}

bool inventory_is_attached(const struct inventory_container *c, const char *network_id)
{
	for (size_t i = 0; i < c->networks_n; i++)
		if (strcmp(c->network_ids[i], network_id) == 0)
			return true;
	return false;
}

bool inventory_is_active(const struct inventory_container *c)
{
	return strcmp(c->state, "running") == 0 || strcmp(c->state, "paused") == 0 ||
	       strcmp(c->state, "restarting") == 0;
}
