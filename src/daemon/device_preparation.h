// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keys and certificates for the things of a group that is about to be deployed: a task of
/// lighterman-worker makes them, and the worker of the deployment gets them as an open file. They
/// are in no other place than the runtime directory, and there for a moment only.
///
/// From the loop's thread.

#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/own_tasks.h"

struct device_preparation;

/// `files_fd` has the keys and certificates; it is the callee's. `err` NULL: that went well, else
/// there is no descriptor.
typedef void device_preparation_done(void *ctx, int files_fd, const struct lm_err *err);

/// Removes what an earlier lightermand has left. Both are borrowed, and outlive it.
struct device_preparation *device_preparation_create(
	const struct host_settings *host, struct own_tasks *tasks);
/// Before the tasks are. Takes NULL.
void device_preparation_destroy(struct device_preparation *p);

/// `done` is called later.
void device_preparation_begin(struct device_preparation *p, const struct group *group,
	device_preparation_done *done, void *ctx);
/// `done` comes sooner, with LM_E_CANCELLED.
void device_preparation_cancel(struct device_preparation *p);
/// `done` is not called any more.
void device_preparation_forget(struct device_preparation *p);

/// A descriptor of an empty list, which the caller closes; -1: there is none.
int device_preparation_make_nothing(void);
