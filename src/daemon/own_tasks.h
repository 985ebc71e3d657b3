// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Tasks of lighterman-worker as the user that lightermand is: it gets nothing of our environment.
/// One after the other, beside whatever else runs.
///
/// From the loop's thread. Logs the worker's own lines only.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct own_tasks;

enum own_task_urgency {
	OWN_TASK_IN_TURN,
	OWN_TASK_URGENT, ///< Comes before all others.
	OWN_TASK_YIELDS, ///< In turn; interrupted for one that is urgent, and begun again after it:
			 ///< the worker goes on with what it has not done.
};

struct own_task_spec {
	json_t *document; ///< Taken over: "job" and what else belongs to it; "host" is put in.
	enum own_task_urgency urgency;
	uint64_t limit_ms; ///< It is killed after that; 0: only if it is silent for too long.
};

/// How a task has ended. Borrowed for the call.
struct own_task_result {
	lm_rc rc;            ///< LM_OK, LM_E_CANCELLED, or why not.
	bool is_invalid;     ///< What was asked for is to blame.
	const char *message; ///< NULL after LM_OK.
	const json_t *lines; ///< An array: the objects that the worker sent, without the result.
	const char *space_directory; ///< It was refused for lack of space there; NULL: it was not.
	uint64_t space_bytes;        ///< So many have to be free there.
};
/// May call into own_tasks.h, except for own_tasks_destroy.
typedef void own_task_done(void *ctx, const struct own_task_result *result);

/// `host` is borrowed.
struct own_tasks *own_tasks_create(struct loop *loop, const struct host_settings *host);
/// A worker that still runs is killed; `done` is called for none. Takes NULL.
void own_tasks_destroy(struct own_tasks *t);
LM_DEFINE_CLEANUP(struct own_tasks, own_tasks_destroy)

/// The first object of that name among the lines of a task; NULL: it sent none. Borrowed.
json_t *own_tasks_find(const json_t *lines, const char *key);
/// Adds a task. `done` is called later, never from within this.
void own_tasks_add(
	struct own_tasks *t, const struct own_task_spec *spec, own_task_done *done, void *ctx);
/// No `done` with this `ctx` is called any more. A task that has begun goes on; others are dropped.
void own_tasks_forget(struct own_tasks *t, const void *ctx);
/// Ends the tasks with this `ctx`, whose `done` is called later.
void own_tasks_cancel(struct own_tasks *t, const void *ctx);
