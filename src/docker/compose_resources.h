// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a resolved compose file wants of the engine and of this device: names, host ports,
/// networks. Reads what `docker-compose config` printed, of both generations. Pure.

#include "base/error.h"
#include "base/str.h"
#include "docker/compose_file.h"

#include <stdbool.h>
#include <stddef.h>

/// A name that a container of the service will have: `container_name`, or the generated ones.
struct compose_name {
	char *service;
	char *name;
};

/// A host port that a service publishes. Of a range the engine takes one that is free.
struct compose_port {
	char *service;
	char *ip; ///< "": every address of this device.
	unsigned first, last;
	char protocol[8]; ///< "tcp", "udp", "sctp"
};

struct compose_network_option {
	char *key, *value;
};

struct compose_network {
	char *key;      ///< As the file calls it.
	char *name;     ///< As the engine does.
	char *driver;   ///< "": the engine's default.
	char *internal; ///< "true", "false"; "": the file says nothing.
	char *ipv6;     ///< The same.
	bool external;
	struct compose_network_option *options; ///< `driver_opts`
	size_t options_n;
	char **subnets; ///< "172.28.0.0/16"; those that the file fixes.
	size_t subnets_n;
};

struct compose_resources {
	struct compose_name *names;
	size_t names_n;
	struct compose_port *ports;
	size_t ports_n;
	struct compose_network *networks;
	size_t networks_n;
};

struct yaml_node;

/// Whether a volume, network, secret or config of the file is made by others. `definition` may be
/// NULL; formats before 3.5 name what is external inside `external`.
bool compose_is_external(const struct yaml_node *definition);
/// What the engine calls a volume or network that the file calls `key`. The caller frees.
char *compose_resource_name(
	const char *project, struct lm_str key, const struct yaml_node *definition);

/// Of the active services; `services` is what compose_services_parse made of the same text.
/// `generation` is docker-compose's: 1 joins generated names with '_', 2 with '-'. Ports that the
/// engine chooses are left out. LM_E_INVALID, LM_E_TOO_LARGE (LIMIT_RESOURCES of a kind, of
/// ports ten times as many).
lm_rc compose_resources_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_resources *ret, struct lm_err *err);
void compose_resources_finish(struct compose_resources *r);
