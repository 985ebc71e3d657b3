// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Docker Engine, for programs that wait (the worker, the command line). Each call is one or a
/// few requests over the unix socket under the caller's limit. No call retries.
/// When the socket cannot be used, the message has the cause and the fix (engine_explain).
/// Images are in docker/engine_images.h and docker/pull.h, logins in docker/login.h.

#include "base/error.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

#define ENGINE_SOCKET_DEFAULT "/var/run/docker.sock"

struct engine {
	char *socket_path; ///< Owned.
	struct engine_version version;
};

/// Asks for the version and agrees on one. LM_E_NOT_FOUND (no socket), LM_E_DENIED, LM_E_NETWORK
/// (nobody listens, or no answer), LM_E_REFUSED (too old or too new), LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc engine_open(const char *socket_path, const struct wait_limit *limit, struct engine *ret,
	struct lm_err *err);
void engine_close(struct engine *e);

/// The directory in which the engine keeps images and containers, as the engine sees it. The caller
/// frees.
lm_rc engine_root_directory(
	const struct engine *e, const struct wait_limit *limit, char **ret, struct lm_err *err);

/// All containers of a compose project, running or not; `project` NULL: of the engine.
lm_rc engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err);
/// The state of one container. LM_E_NOT_FOUND: there is none of that id.
lm_rc engine_inspect_container(const struct engine *e, const char *id,
	const struct wait_limit *limit, struct engine_container_state *ret, struct lm_err *err);
/// The networks of a compose project; NULL: all.
lm_rc engine_list_networks(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_networks *ret, struct lm_err *err);

/// All containers and networks of the engine, not only ours.
struct engine_inventory {
	struct engine_containers containers;
	struct engine_networks networks;
};

lm_rc engine_take_inventory(const struct engine *e, const struct wait_limit *limit,
	struct engine_inventory *ret, struct lm_err *err);
void engine_inventory_finish(struct engine_inventory *inventory);

/// Facts that decide whether the engine can run a compose file.
struct engine_names {
	char **items;
	size_t n;
};

bool engine_names_have(const struct engine_names *names, const char *name);

/// What GET /info and GET /plugins report.
struct engine_facts {
	char *host_name;      ///< Of the host that it runs on, "" if it is not reported.
	char *root_directory; ///< Where it keeps images, as it sees it; "" if it is not reported.
	bool rootless;        ///< It runs as a user, in a mount namespace of its own.
	bool has_containerd_store; ///< containerd keeps its images, not a storage driver of its
				   ///< own.
	bool in_swarm;
	bool has_mirrors; ///< Of the Docker Hub.
	/// Legacy plugins that nothing has used yet are missing.
	struct engine_names volume_drivers, network_drivers, log_drivers;
	struct engine_names runtimes;
	struct engine_names plugins; ///< Managed ones that are enabled: "vieux/sshfs:latest".
	bool plugins_known; ///< False: its API is older than managed plugins, or it has none (404).
};

lm_rc engine_get_facts(const struct engine *e, const struct wait_limit *limit,
	struct engine_facts *ret, struct lm_err *err);
void engine_facts_finish(struct engine_facts *facts);
/// Reads GET /info alone. LM_E_PROTOCOL. Pure.
lm_rc engine_parse_info(struct lm_str body, struct engine_facts *ret, struct lm_err *err);

struct engine_volume_option {
	char *key, *value;
};

struct engine_volume {
	char *name, *driver;
	char *mountpoint; ///< The directory with its content, as the engine sees it.
	struct engine_volume_option *options;
	size_t options_n;
};

/// LM_E_NOT_FOUND: there is none of that name.
lm_rc engine_inspect_volume(const struct engine *e, const char *name,
	const struct wait_limit *limit, struct engine_volume *ret, struct lm_err *err);
void engine_volume_finish(struct engine_volume *volume);
/// The value of an option; NULL: it is not set. Borrowed.
const char *engine_volume_option(const struct engine_volume *volume, const char *key);
/// Reads GET /volumes/{name}. LM_E_PROTOCOL. Pure.
lm_rc engine_parse_volume(struct lm_str body, struct engine_volume *ret, struct lm_err *err);

struct engine_volumes {
	struct engine_volume *items;
	size_t n;
};

/// The volumes that carry the label of a compose project; not those that it only uses.
lm_rc engine_list_volumes(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_volumes *ret, struct lm_err *err);
void engine_volumes_finish(struct engine_volumes *volumes);
/// Reads GET /volumes and keeps those of `project`. LM_E_PROTOCOL. Pure.
lm_rc engine_parse_volumes(
	struct lm_str body, const char *project, struct engine_volumes *ret, struct lm_err *err);

/// LM_E_NOT_FOUND: there is no network of that name or id.
lm_rc engine_find_network(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err);

/// A container or network. Borrowed.
struct engine_object {
	const char *id, *name;
};

/// Stops containers as each of them asks for (its stop signal and grace), several at once, in no
/// order. A container that is already stopped or removed is no error.
lm_rc engine_stop_containers(const struct engine *e, const struct engine_object *items, size_t n,
	const struct wait_limit *limit, struct lm_err *err);
/// The same for all containers of a project.
lm_rc engine_stop_project(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct lm_err *err);

/// Removes a container (killing it); its volumes stay, anonymous ones too. One that no longer
/// exists is no error.
lm_rc engine_remove_container(const struct engine *e, const struct engine_object *container,
	const struct wait_limit *limit, struct lm_err *err);
/// Disconnects a container from a network, and keeps it running. One that is not connected is no
/// error.
lm_rc engine_disconnect(const struct engine *e, const struct engine_object *network,
	const struct engine_object *container, const struct wait_limit *limit, struct lm_err *err);
/// Removes a network that no running container uses. LM_E_CONFLICT: something uses it; the message
/// names it.
lm_rc engine_remove_network(const struct engine *e, const struct engine_object *network,
	const struct wait_limit *limit, struct lm_err *err);
/// Removes all containers (killing them) and then all networks that carry the project's label, and
/// nothing else. `on_removed` gets "container NAME" or "network NAME"; may be NULL.
/// LM_E_CONFLICT: another application uses one of the networks; the message names it.
lm_rc engine_remove_project(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err);
