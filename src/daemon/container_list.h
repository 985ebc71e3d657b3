// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Asks the engine for the application's containers, without waiting: one connection a question,
/// stepped by the loop. The engine's version is asked for once and remembered; after a failure it
/// is asked for again.

#include "base/cleanup.h"
#include "base/error.h"
#include "docker/answer.h"
#include "sys/loop.h"

struct container_list;

/// LM_OK: `list` holds the containers. Otherwise `err` says why there is no list. Both are borrowed
/// for the call.
typedef void container_list_done(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err);

/// `socket_path` and `project` are copied.
struct container_list *container_list_create(
	struct loop *loop, const char *socket_path, const char *project);
/// Questions under way end without `done`.
void container_list_destroy(struct container_list *c);
LM_DEFINE_CLEANUP(struct container_list, container_list_destroy)

/// Asks; `done` is called later, from the loop, exactly once. An engine that does not answer within
/// 10 s is given up (LM_E_TIMEOUT). Questions that are asked while one is under way share its
/// answer.
void container_list_ask(struct container_list *c, container_list_done *done, void *ctx);
/// The API's minor version, for other questions to the same engine; 0: not known (any more).
unsigned container_list_api_minor(const struct container_list *c);
/// Forgets a question: its `done` is not called.
void container_list_forget(struct container_list *c, void *ctx);
