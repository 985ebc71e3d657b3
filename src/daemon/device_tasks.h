// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The tasks `devices` of lighterman-worker: whatever has to do with keys and certificates of
/// client devices. The worker stays the user that lightermand is, gets nothing of our environment,
/// and is ended after a time limit that fits the group. One after the other, beside whatever else
/// runs.
///
/// From the loop's thread. Logs the worker's own lines only.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct device_tasks;

/// How a task has ended. Borrowed for the call.
struct device_task_result {
	lm_rc rc;            ///< LM_OK, LM_E_CANCELLED, or why not.
	bool is_invalid;     ///< What was asked for is to blame.
	const char *message; ///< NULL after LM_OK.
	const json_t *lines; ///< An array: the objects that the worker sent, without the result.
};
/// May call into device_tasks.h, except for device_tasks_destroy.
typedef void device_task_done(void *ctx, const struct device_task_result *result);

/// `host` is borrowed.
struct device_tasks *device_tasks_create(struct loop *loop, const struct host_settings *host);
/// A worker that still runs is killed; `done` is called for none. Takes NULL.
void device_tasks_destroy(struct device_tasks *t);
LM_DEFINE_CLEANUP(struct device_tasks, device_tasks_destroy)

/// A task's document: the action, and the group that is deployed; NULL: none is. A new reference.
json_t *device_tasks_document(const char *action, const struct group *group);
/// The first object of that name among the lines of a task; NULL: it sent none. Borrowed.
json_t *device_tasks_find(const json_t *lines, const char *key);
/// Adds a task. `document` is taken over: "action", "group" and what else belongs to it; "job" and
/// "host" are put in. `done` is called later, never from within this.
void device_tasks_add(struct device_tasks *t, json_t *document, device_task_done *done, void *ctx);
/// No `done` with this `ctx` is called any more. A task that has begun goes on; others are dropped.
void device_tasks_forget(struct device_tasks *t, const void *ctx);
/// Ends the tasks with this `ctx`, whose `done` is called later.
void device_tasks_cancel(struct device_tasks *t, const void *ctx);
/// Whether a task runs or waits.
bool device_tasks_is_busy(const struct device_tasks *t);
