// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The request `device` of the control socket (docs/formats.md): each is a task of the worker that
/// has the keys (daemon/own_tasks.h), and its lines become the answer.
///
/// From the loop's thread.

#include "base/cleanup.h"
#include "daemon/own_tasks.h"
#include "deploy/store.h"
#include "sys/json.h"

#include <stdbool.h>

struct device_requests;

/// All is borrowed and outlives them.
struct device_requests_sources {
	struct own_tasks *tasks;
	struct store *store;
	/// A device was added or removed. `is_removed`: the files of the services are already
	/// without it. Called before the client is answered.
	void (*changed)(void *ctx, bool is_removed);
	/// What the broker says (daemon/device_status.h), a new reference; NULL: nothing.
	json_t *(*status)(void *ctx);
	void *ctx;
};

struct device_requests *device_requests_create(const struct device_requests_sources *from);
/// Before the tasks. Nobody is answered any more. Takes NULL.
void device_requests_destroy(struct device_requests *c);
LM_DEFINE_CLEANUP(struct device_requests, device_requests_destroy)

/// The last line of the answer; borrowed for the call.
typedef void device_requests_answer(void *ctx, json_t *last);
/// Carries out a request; `generation` is what is deployed, 0: nothing is. `done` may be called
/// from within this.
void device_requests_ask(struct device_requests *c, unsigned generation, const json_t *request,
	device_requests_answer *done, void *ctx);
/// No `done` with this `ctx` is called any more; what it asked for is done all the same.
void device_requests_forget(struct device_requests *c, const void *ctx);
