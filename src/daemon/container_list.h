// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Asks the engine for the list of the application's containers, without blocking: one connection
/// for each question, driven by the loop. The engine's version is requested once and remembered,
/// until a failure.

#include "base/cleanup.h"
#include "base/error.h"
#include "docker/engine_json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct container_list;

/// LM_OK: `list` holds the containers. Otherwise `err` is the reason. Both are borrowed
/// for the call.
typedef void container_list_done(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err);

/// `socket_path` and `project` are copied.
struct container_list *container_list_create(
	struct loop *loop, const char *socket_path, const char *project);
/// Open questions are dropped without `done`.
void container_list_destroy(struct container_list *c);
LM_DEFINE_CLEANUP(struct container_list, container_list_destroy)

/// Asks; `done` is called later, from the loop, exactly once. Times out after 10 s
/// (LM_E_TIMEOUT). Questions asked while one is open share its answer.
void container_list_ask(struct container_list *c, container_list_done *done, void *ctx);
/// The API's minor version, for other requests to the same engine; 0: unknown.
unsigned container_list_api_minor(const struct container_list *c);
/// Drops the questions with this `ctx`: their `done` is not called.
void container_list_forget(struct container_list *c, void *ctx);

/// Whether the engine's word for the container's state is `word`: "running".
bool container_list_is_in_state(const struct engine_container *c, const char *word);
/// Whether it runs, restarts or is paused.
bool container_list_is_up(const struct engine_container *c);
/// "none", "starting", "healthy", "unhealthy".
const char *container_list_health_name(enum engine_health health);
