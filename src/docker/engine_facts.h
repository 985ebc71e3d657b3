// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Facts about an engine that decide whether it can run a compose file: where it runs, which
/// drivers it knows, what a volume is like, whether a network exists.

#include "docker/engine.h"

struct engine_names {
	char **items;
	size_t n;
};

bool engine_names_have(const struct engine_names *names, const char *name);

/// What the engine says of itself.
struct engine_facts {
	char *host_name;      ///< Of the host that it runs on, "" if it does not say.
	char *root_directory; ///< Where it keeps images, as it sees it; "" if it does not say.
	bool rootless;        ///< It runs as a user, in a mount namespace of its own.
	bool in_swarm;
	bool has_mirrors; ///< Of the Docker Hub.
	/// Legacy plugins that nothing has used yet are missing.
	struct engine_names volume_drivers, network_drivers, log_drivers;
	struct engine_names runtimes;
	struct engine_names plugins; ///< Managed ones that are enabled: "vieux/sshfs:latest".
	bool plugins_known;
};

lm_rc engine_get_facts(const struct engine *e, const struct wait_limit *limit,
	struct engine_facts *ret, struct lm_err *err);
void engine_facts_finish(struct engine_facts *facts);
/// Read GET /info, and GET /plugins into what the first found. LM_E_PROTOCOL. Pure.
lm_rc engine_parse_info(struct lm_str body, struct engine_facts *ret, struct lm_err *err);
lm_rc engine_parse_plugins(struct lm_str body, struct engine_facts *to, struct lm_err *err);

struct engine_volume_option {
	char *key, *value;
};

struct engine_volume {
	char *driver;
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

/// LM_E_NOT_FOUND: there is no network of that name or id.
lm_rc engine_find_network(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err);
