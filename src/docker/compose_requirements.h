// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a resolved compose file needs for `up` to succeed: what must be on this device or be known
/// to the engine (files, devices, drivers, volumes), and what it takes for itself (names, host
/// ports, networks). Reads what `docker-compose config` printed, of both generations. Pure.

#include "base/error.h"
#include "base/str.h"
#include "docker/compose_file.h"

#include <stdbool.h>
#include <stddef.h>

enum compose_path_kind {
	COMPOSE_PATH_BIND,
	COMPOSE_PATH_DEVICE,
	COMPOSE_PATH_SECRET,
	COMPOSE_PATH_CONFIG,
	COMPOSE_PATH_VOLUME, ///< What a volume of the driver `local` mounts.
	COMPOSE_PATH_BUILD,  ///< Build context.
};

/// An absolute path of this device.
struct compose_path {
	enum compose_path_kind kind;
	char *service;
	char *name; ///< Key of the secret, config or volume; "" for other kinds.
	char *path;
	bool required; ///< Without it the engine refuses the container.
};

enum compose_driver_kind {
	COMPOSE_DRIVER_VOLUME,
	COMPOSE_DRIVER_NETWORK,
	COMPOSE_DRIVER_LOG,
	COMPOSE_DRIVER_RUNTIME,
	COMPOSE_DRIVER_DEVICE, ///< Of `deploy.resources.reservations.devices`.
};

struct compose_driver {
	enum compose_driver_kind kind;
	char *user; ///< The service; for volumes and networks their key.
	char *name;
};

struct compose_option {
	char *key, *value;
};

struct compose_volume {
	char *key;    ///< As the file calls it.
	char *name;   ///< As the engine does.
	char *driver; ///< "": the engine's default.
	bool external;
	struct compose_option *options;
	size_t options_n;
};

/// An external network that a service is in.
struct compose_external {
	char *key;
	char *name; ///< As the engine calls it.
};

/// A container that is not the file's own, and that a service shares something with.
struct compose_partner {
	char *service;
	char *name;
	bool required; ///< Without it the engine does not start the service.
};

struct compose_requirements {
	struct compose_path *paths; ///< Each path once for each service.
	size_t paths_n;
	struct compose_driver *drivers;
	size_t drivers_n;
	struct compose_volume *volumes;
	size_t volumes_n;
	struct compose_external *networks;
	size_t networks_n;
	struct compose_partner *partners;
	size_t partners_n;
};

/// Of the active services; `services` is what compose_services_parse made of the same text.
/// `generation` is docker-compose's. LM_E_INVALID, LM_E_TOO_LARGE (LIMIT_RESOURCES of a kind).
lm_rc compose_requirements_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_requirements *ret,
	struct lm_err *err);
void compose_requirements_finish(struct compose_requirements *r);

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
	char *internal; ///< "true", "false"; "": not set.
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

/// Of the active services; `services` is what compose_services_parse made of the same text.
/// `generation` is docker-compose's: 1 joins generated names with '_', 2 with '-'. Ports that the
/// engine chooses are left out. LM_E_INVALID, LM_E_TOO_LARGE (LIMIT_RESOURCES of a kind, of
/// ports ten times as many).
lm_rc compose_resources_parse(struct lm_str config, const char *project, unsigned generation,
	const struct compose_services *services, struct compose_resources *ret, struct lm_err *err);
void compose_resources_finish(struct compose_resources *r);
