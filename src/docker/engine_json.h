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

/// A port of the host that a running container publishes.
struct engine_port {
	char *ip; ///< "0.0.0.0", "::", …
	unsigned port;
	char *protocol;
};

struct engine_container {
	char *id;
	char *name;    ///< Without the leading '/'.
	char *project; ///< Label com.docker.compose.project, or "".
	char *service; ///< Label com.docker.compose.service, or "".
	char *image;
	char *image_id;        ///< "sha256:…", or "".
	char *config_hash;     ///< Label com.docker.compose.config-hash, or "".
	char *compose_version; ///< Label com.docker.compose.version, or "".
	char *state; ///< "created", "running", "paused", "restarting", "removing", "exited", "dead"
	char *status; ///< Human-readable: "Up 2 minutes (healthy)".
	bool oneoff;  ///< Made by `docker-compose run`.
	enum engine_health health;
	int exit_code;   ///< Of a container that has exited; -1: unknown or still running.
	int64_t created; ///< Seconds since 1970.
	struct engine_port *ports;
	size_t ports_n;
	char **network_ids; ///< Of a stopped container also networks that no longer exist.
	char **network_names;
	size_t networks_n;
	char **volumes; ///< Names of those that are mounted in it.
	size_t volumes_n;
};

struct engine_containers {
	struct engine_container *items;
	size_t n;
};

/// Reads GET /containers/json and keeps those whose label com.docker.compose.project is `project`;
/// NULL: all. LM_E_PROTOCOL.
lm_rc engine_parse_containers(
	struct lm_str body, const char *project, struct engine_containers *ret, struct lm_err *err);
void engine_containers_finish(struct engine_containers *list);
/// Whether the container refers to a network of that id.
bool engine_container_is_attached(const struct engine_container *c, const char *network_id);
/// Whether that volume is mounted in the container, running or not.
bool engine_container_mounts(const struct engine_container *c, const char *volume);
/// Whether the container has a process, and holds its ports.
bool engine_container_is_active(const struct engine_container *c);

struct engine_network_option {
	char *key, *value;
};

struct engine_network {
	char *id;
	char *name;
	char *project; ///< Label com.docker.compose.project, or "".
	char *key;     ///< Label com.docker.compose.network, or "".
	char *driver;
	bool internal, ipv6;
	char **subnets;
	size_t subnets_n;
	struct engine_network_option *options; ///< Of the driver.
	size_t options_n;
};

struct engine_networks {
	struct engine_network *items;
	size_t n;
};

/// Reads GET /networks and keeps those of `project`, as above.
lm_rc engine_parse_networks(
	struct lm_str body, const char *project, struct engine_networks *ret, struct lm_err *err);
void engine_networks_finish(struct engine_networks *list);

/// Reads GET /info: the directory in which the engine keeps images. The caller frees.
lm_rc engine_parse_root_directory(struct lm_str body, char **ret, struct lm_err *err);

/// The engine's error message in an answer that is not 2xx: `{"message":…}`, else the body itself,
/// shortened. Appends to `out`. Returns whether it is such a message.
bool engine_error_text(struct lm_str body, struct lm_buf *out);
/// The class of an answer by status and error message: LM_E_DENIED (credentials refused),
/// LM_E_NETWORK (a registry does not answer), LM_E_CONFLICT (409), LM_E_NOT_FOUND (404 of the
/// engine's own objects), else LM_E_REFUSED. `status` 0: message only.
lm_rc engine_error_class(int status, struct lm_str text);

/// Target of the list of all containers of a project, NULL: of all; appends
/// "/v1.<minor>/containers/json?…".
bool engine_containers_target(struct lm_buf *out, unsigned minor, const char *project);

/// What the engine does when a container exits by itself.
enum engine_restart {
	ENGINE_RESTART_NO,
	ENGINE_RESTART_ON_FAILURE, ///< Starts it again unless it exited with 0, perhaps only so
				   ///< often.
	ENGINE_RESTART_ALWAYS,     ///< "always", "unless-stopped"
};

enum { ENGINE_STOP_DEFAULT_S = 10, ENGINE_STOP_UNLIMITED = INT32_MAX };

/// The state of one container, with what lists of containers do not have.
struct engine_container_state {
	unsigned restart_count; ///< By its restart policy, since it was created.
	int exit_code;          ///< Of its last run; -1: it runs, or never ran.
	int64_t started_ms;     ///< Wall clock, of the engine's host; 0: it never ran.
	int64_t ended_ms;       ///< When its last run ended; 0: none has ended.
	bool oom_killed;
	enum engine_health health;
	int stop_signal; ///< By which the engine stops it; 0: not known here.
	/// How long it then has until it is killed; ENGINE_STOP_UNLIMITED: for ever.
	unsigned stop_timeout_s;
	enum engine_restart restart_policy;
	char state[16]; ///< As engine_container.state.
};

/// Appends "/v1.<minor>/containers/<id>/json". False if that cannot be a target.
bool engine_container_target(struct lm_buf *out, unsigned minor, const char *id);
/// Reads GET /containers/{id}/json. LM_E_PROTOCOL.
lm_rc engine_parse_container_state(
	struct lm_str body, struct engine_container_state *ret, struct lm_err *err);

/// For how many seconds, at least, a container has been in its state, by the human-readable status
/// of lists: "Up 5 minutes (healthy)", "Exited (137) About an hour ago". -1: unknown.
int64_t engine_status_age_s(const char *status);

/// Splits a stream of JSON objects (pull progress, events) at object boundaries. Line ends between
/// them do not matter, nor how the bytes are split into pieces.
struct json_stream {
	struct lm_buf object; ///< What has come of the current object.
	unsigned depth;
	bool in_string;
	bool escaped;
};

void json_stream_init(struct json_stream *s);
void json_stream_finish(struct json_stream *s);
/// Calls `on_object` with the text of each object that became complete.
/// LM_E_PROTOCOL (something that is no object), LM_E_TOO_LARGE (over LIMIT_ENGINE_LINE), or what
/// on_object returned.
lm_rc json_stream_feed(struct json_stream *s, struct lm_str piece,
	lm_rc (*on_object)(void *ctx, struct lm_str object, struct lm_err *err), void *ctx,
	struct lm_err *err);
/// Whether the stream stands between two objects.
bool json_stream_at_boundary(const struct json_stream *s);
