// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Docker Engine, for programs that wait (the worker, the command line). Each call is one or a
/// few requests over the unix socket under the caller's limit. No call retries.
/// When the socket cannot be used, the message says why and what to do (engine_explain).
/// Images are pulled in docker/pull.h, registries logged in to in docker/login.h.

#include "base/error.h"
#include "docker/answer.h"
#include "docker/container_state.h"
#include "sys/wait.h"

#include <stdbool.h>

#define ENGINE_SOCKET_DEFAULT "/var/run/docker.sock"

struct http_unix;
struct lm_secret;
struct http_unix_request;

struct engine {
	char *socket_path; ///< Owned.
	struct engine_version version;
};

/// Asks for the version and agrees on one. LM_E_NOT_FOUND (no socket), LM_E_DENIED, LM_E_NETWORK
/// (nobody listens, or no answer), LM_E_REFUSED (too old or too new), LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc engine_open(const char *socket_path, const struct wait_limit *limit, struct engine *ret,
	struct lm_err *err);
void engine_close(struct engine *e);

/// Replaces the message of a failed http_unix_create by one that says what to do.
lm_rc engine_explain(lm_rc rc, const char *socket_path, struct lm_err *err);

/// The directory in which the engine keeps images and containers, as the engine sees it. The caller
/// frees.
lm_rc engine_root_directory(
	const struct engine *e, const struct wait_limit *limit, char **ret, struct lm_err *err);

/// Whether the image is there, and its id and digest. LM_E_NOT_FOUND: it is not.
/// `name` is a reference as in a compose file.
lm_rc engine_inspect_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct engine_image *ret, struct lm_err *err);

enum { ENGINE_ASK_MINOR_MIN = 30 };
/// Asks an image's registry, through the engine, whether the image is there and we may have it;
/// pulls nothing. `auth` is as in struct pull_item. Needs API 1.ENGINE_ASK_MINOR_MIN.
/// LM_E_DENIED, LM_E_NETWORK, LM_E_NOT_FOUND, LM_E_REFUSED: the message names the image and has the
/// registry's words. LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc engine_ask_registry(const struct engine *e, const char *image, const struct lm_secret *auth,
	const struct wait_limit *limit, struct lm_err *err);

/// All containers of a compose project, running or not.
lm_rc engine_list_containers(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_containers *ret, struct lm_err *err);
/// What the engine knows of one container. LM_E_NOT_FOUND: there is none of that id.
lm_rc engine_inspect_container(const struct engine *e, const char *id,
	const struct wait_limit *limit, struct engine_container_state *ret, struct lm_err *err);
lm_rc engine_list_networks(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct engine_networks *ret, struct lm_err *err);

/// A container or network. Borrowed.
struct engine_object {
	const char *id, *name;
};

/// Stops containers as each of them asks for (its stop signal and grace), several at once, in no
/// order. What has stopped already, or is gone, is no error.
lm_rc engine_stop_containers(const struct engine *e, const struct engine_object *items, size_t n,
	const struct wait_limit *limit, struct lm_err *err);
/// The same for all containers of a project.
lm_rc engine_stop_project(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct lm_err *err);

/// Removes a container (killing it); its volumes stay, anonymous ones too. What is gone already is
/// no error.
lm_rc engine_remove_container(const struct engine *e, const struct engine_object *container,
	const struct wait_limit *limit, struct lm_err *err);
/// Takes a container out of a network, and lets it run. What is not in it is no error.
lm_rc engine_disconnect(const struct engine *e, const struct engine_object *network,
	const struct engine_object *container, const struct wait_limit *limit, struct lm_err *err);
/// Removes a network that no running container uses. LM_E_CONFLICT: something holds it; the message
/// names it.
lm_rc engine_remove_network(const struct engine *e, const struct engine_object *network,
	const struct wait_limit *limit, struct lm_err *err);
/// Removes all containers (killing them) and then all networks that carry the project's label, and
/// nothing else. `on_removed` is told "container NAME" or "network NAME"; may be NULL.
/// LM_E_CONFLICT: something of a stranger holds one of the networks; the message names it.
lm_rc engine_remove_project(const struct engine *e, const char *project,
	void (*on_removed)(void *ctx, const char *what), void *ctx, const struct wait_limit *limit,
	struct lm_err *err);
