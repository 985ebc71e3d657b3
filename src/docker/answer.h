// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads what the Docker Engine answers. Pure: no I/O, so that the programs that wait and the one
/// that never does share it. Unknown members are ignored, absent ones have a neutral value, since
/// engines from 1.9.1 (API 1.21) to today's answer differently.
/// https://docs.docker.com/reference/api/engine/version-history/

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// An engine and the API version that it and we both speak.
struct engine_version {
	char engine[64];                   ///< "20.10.24+dfsg1"
	char platform[64];                 ///< "linux/amd64": of the containers that it runs.
	unsigned minor;                    ///< of API version 1.<minor>
	unsigned offered_min, offered_max; ///< What the engine takes, as minors; min 0: unknown.
};

enum { ENGINE_API_MINOR_MIN = 21, ENGINE_API_MINOR_MAX = 44 };

/// Reads GET /version. LM_E_REFUSED: the engine is older than 1.9.1, or takes no version that we
/// speak; the message names its version.
lm_rc engine_parse_version(struct lm_str body, struct engine_version *ret, struct lm_err *err);

enum engine_health { ENGINE_HEALTH_NONE, ENGINE_HEALTH_STARTING, ENGINE_HEALTHY, ENGINE_UNHEALTHY };

struct engine_container {
	char *id;
	char *name;    ///< Without the leading '/'.
	char *service; ///< Label com.docker.compose.service, or "".
	char *image;
	char *image_id;        ///< "sha256:…", or "".
	char *config_hash;     ///< Label com.docker.compose.config-hash, or "".
	char *compose_version; ///< Label com.docker.compose.version, or "".
	char *state; ///< "created", "running", "paused", "restarting", "removing", "exited", "dead"
	char *status; ///< For people: "Up 2 minutes (healthy)".
	bool oneoff;  ///< Made by `docker-compose run`.
	enum engine_health health;
	int exit_code;   ///< Of a container that has ended; -1: unknown or still running.
	int64_t created; ///< Seconds since 1970.
};

/// The name of a container in the engine's list, without the leading '/'; "" if it has none. The
/// caller frees.
char *engine_container_name(const json_t *item);

struct engine_containers {
	struct engine_container *items;
	size_t n;
};

/// Reads GET /containers/json and keeps those whose label com.docker.compose.project is `project`.
lm_rc engine_parse_containers(
	struct lm_str body, const char *project, struct engine_containers *ret, struct lm_err *err);
void engine_containers_finish(struct engine_containers *list);

struct engine_network {
	char *id;
	char *name;
};

struct engine_networks {
	struct engine_network *items;
	size_t n;
};

/// Reads GET /networks and keeps those whose label com.docker.compose.project is `project`.
lm_rc engine_parse_networks(
	struct lm_str body, const char *project, struct engine_networks *ret, struct lm_err *err);
void engine_networks_finish(struct engine_networks *list);

struct engine_image {
	char *id;     ///< "sha256:…"
	char *digest; ///< "sha256:…" of the repository asked for, else of any; NULL if it has none.
	char *platform; ///< "linux/arm64/v8"; "" if the engine does not say.
	uint64_t size;  ///< Bytes.
};

/// Reads GET /images/{name}/json. `repository` ("localhost:5000/demo/web", as the engine spells
/// it) chooses among the image's RepoDigests; NULL: any.
lm_rc engine_parse_image(
	struct lm_str body, const char *repository, struct engine_image *ret, struct lm_err *err);
void engine_image_finish(struct engine_image *image);

/// Reads GET /info: the directory in which the engine keeps images. The caller frees.
lm_rc engine_parse_root_directory(struct lm_str body, char **ret, struct lm_err *err);

/// The engine's own words in an answer that is not 2xx: `{"message":…}`, else the body itself,
/// shortened. Appends to `out`.
void engine_error_text(struct lm_str body, struct lm_buf *out);
/// The class of an answer by status and words: LM_E_DENIED (credentials refused), LM_E_NETWORK (a
/// registry does not answer), LM_E_CONFLICT (409), LM_E_NOT_FOUND (404 of the engine's own
/// objects), else LM_E_REFUSED. `status` 0: words only.
lm_rc engine_error_class(int status, struct lm_str text);

/// Target of the list of all containers of a project; appends "/v1.<minor>/containers/json?…".
bool engine_containers_target(struct lm_buf *out, unsigned minor, const char *project);
