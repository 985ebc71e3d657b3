// SPDX-License-Identifier: Apache-2.0
#pragma once

/// All containers and networks of an engine, whoever made them, with what each of them holds that
/// others may want as well: names, host ports, addresses.

#include "base/error.h"
#include "base/str.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

struct engine;

struct inventory_port {
	char *ip; ///< "0.0.0.0", "::", …
	unsigned port;
	char *protocol;
};

struct inventory_container {
	char *id;
	char *name;
	char *project;                ///< Label com.docker.compose.project, or "".
	char *service;                ///< Label com.docker.compose.service, or "".
	bool oneoff;                  ///< Made by `docker-compose run`.
	char *state;                  ///< As engine_container.state; "" before API 1.23.
	struct inventory_port *ports; ///< Of the host; those of a container that runs.
	size_t ports_n;
	char **network_ids; ///< Of a stopped container also networks that are gone.
	char **network_names;
	size_t networks_n;
};

struct inventory_option {
	char *key, *value;
};

struct inventory_network {
	char *id;
	char *name;
	char *project; ///< Label com.docker.compose.project, or "".
	char *key;     ///< Label com.docker.compose.network, or "".
	char *driver;
	bool internal, ipv6;
	char **subnets;
	size_t subnets_n;
	struct inventory_option *options; ///< Of the driver.
	size_t options_n;
};

struct inventory {
	struct inventory_container *containers;
	size_t containers_n;
	struct inventory_network *networks;
	size_t networks_n;
};

/// Two requests. As engine_list_containers.
lm_rc inventory_take(const struct engine *e, const struct wait_limit *limit, struct inventory *ret,
	struct lm_err *err);
void inventory_finish(struct inventory *inventory);

/// Read GET /containers/json and GET /networks into an inventory that has none yet. Pure.
/// LM_E_PROTOCOL.
lm_rc inventory_parse_containers(struct lm_str body, struct inventory *to, struct lm_err *err);
lm_rc inventory_parse_networks(struct lm_str body, struct inventory *to, struct lm_err *err);

/// Whether the container refers to a network of that id.
bool inventory_is_attached(const struct inventory_container *c, const char *network_id);
/// Whether the container has a process, and holds its ports.
bool inventory_is_active(const struct inventory_container *c);
