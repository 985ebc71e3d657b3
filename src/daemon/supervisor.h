// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Decides what is done and when: takes orders (deploy, start, stop, end), runs one worker at a
/// time, keeps the store, and hands status messages to the outboxes.
///
/// One order waits at most: a later one takes its place. A deployment under way is cancelled by a
/// newer deployment, by a stop and by the end; taking down is never cut short. From the loop's
/// thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "connector/definition.h"
#include "daemon/metrics.h"
#include "daemon/outgoing.h"
#include "deploy/store.h"
#include "host/host_file.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct supervisor;

/// Somebody who waits for what becomes of an order. All zero: nobody does.
struct supervisor_waiter {
	/// A line of the answer (docs/formats.md, "Control socket"); borrowed. `droppable`: only
	/// how far something is.
	void (*told)(void *ctx, json_t *line, bool droppable);
	/// The last line; borrowed. The waiter is forgotten.
	void (*ended)(void *ctx, json_t *last);
	void *ctx;
};

/// All is borrowed and outlives the supervisor. Sends what an earlier run could not.
struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct outgoing *outgoing);
/// A worker that still runs is killed.
void supervisor_destroy(struct supervisor *s);
LM_DEFINE_CLEANUP(struct supervisor, supervisor_destroy)

/// Deploys the text of a group file. One that is not valid is told to the waiter and published,
/// nothing more. `reuse`: a definition that was deployed last is not made a new generation.
void supervisor_deploy(struct supervisor *s, struct lm_str group_file, bool reuse,
	const struct supervisor_waiter *waiter);
/// Tells the waiter what a deployment of that text would do. Writes nothing, publishes nothing, and
/// gives way to every order that comes.
void supervisor_plan(
	struct supervisor *s, struct lm_str group_file, const struct supervisor_waiter *waiter);
/// Brings up the generation that was interrupted, or the current one, or the last that was tried.
void supervisor_start(struct supervisor *s, const struct supervisor_waiter *waiter);
/// Takes the application down, and keeps it down until a start or a deployment. Where nothing was
/// ever deployed or is about to be, that is all it says.
void supervisor_stop(struct supervisor *s, const struct supervisor_waiter *waiter);
/// At the program's start, if no group file was named: what supervisor_start does, unless the
/// application is to stay down or there is nothing to start.
void supervisor_resume(struct supervisor *s);
/// Ends what runs, takes the application down unless its definition says that it runs on, then
/// calls `done`, however that went: the log tells what still runs.
void supervisor_end(struct supervisor *s, loop_cb *done, void *ctx);
/// The waiter with this `ctx` is told nothing any more.
void supervisor_forget(struct supervisor *s, const void *ctx);

/// Somebody who has to know what the supervisor does, and to keep out of its workers' way.
struct supervisor_watcher {
	/// A worker is about to start: no other may run when this returns. `acts`: it changes what
	/// runs, and does not only look.
	void (*begins)(void *ctx, bool acts);
	/// Nothing is being done, and nothing waits.
	void (*rests)(void *ctx);
	/// A job, or a stage of it, has begun or ended. It must not give orders.
	void (*changed)(void *ctx);
	void *ctx;
};
/// `watcher` is copied; its functions may be called more than once in a row, and `rests` at once.
void supervisor_watch(struct supervisor *s, const struct supervisor_watcher *watcher);

/// Goes by the loggers of the generation that the next start takes up, if there is one.
void supervisor_apply_loggers(struct supervisor *s);
/// How often the status of the deployed application's containers is to be logged; 0: nothing is
/// deployed, or it is to stay down.
unsigned supervisor_status_frequency_s(struct supervisor *s);

/// What goes on, in a few words for people: "deploying generation 3: pull". The caller frees.
char *supervisor_describe(const struct supervisor *s);
/// What `status` shows but for containers and brokers; a new reference.
json_t *supervisor_to_json(struct supervisor *s);
/// What of it metrics tell.
struct metrics_deployments supervisor_measure(const struct supervisor *s);
/// Whether the application is to stay down.
bool supervisor_is_stopped(const struct supervisor *s);
