// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What must be on this device, or be known to the engine, for `up` to succeed: files, devices,
/// drivers, volumes. Reads what `docker-compose config` printed, of both generations. Pure.
/// What a compose file takes for itself (names, ports, networks) is in compose_resources.h.

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
