// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Decides what is done and when: takes commands (deploy, start, stop, plan, end), runs one worker
/// at a time, keeps the store, and hands status messages to the outboxes. What it does next is
/// decided by deploy/lifecycle.h alone; this carries it out.
///
/// From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/metrics.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/status.h"
#include "daemon/waiters.h"
#include "deploy/store.h"
#include "sys/loop.h"

#include <stdbool.h>

struct supervisor;

/// All is borrowed and outlives the supervisor. Sends what an earlier run could not.
struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers);
/// A worker that still runs is killed.
void supervisor_destroy(struct supervisor *s);
LM_DEFINE_CLEANUP(struct supervisor, supervisor_destroy)

/// Deploys the text of a group file. One that is not valid is told to the waiter and published,
/// nothing more. `own`: it is the program's own start, which is tried again when it fails, and a
/// definition that was deployed last is not made a new generation.
void supervisor_deploy(
	struct supervisor *s, struct lm_str group_file, bool own, const struct waiter *waiter);
/// Publishes and logs that a deployment could not even be ordered.
void supervisor_refuse(struct supervisor *s, const struct lm_err *err);
/// Tells the waiter what a deployment of that text would do. Writes nothing, publishes nothing, and
/// gives way to every command that comes.
void supervisor_plan(struct supervisor *s, struct lm_str group_file, const struct waiter *waiter);
/// Brings up what is wanted, or was before it was stopped.
void supervisor_start(struct supervisor *s, const struct waiter *waiter);
/// Takes the application down, and keeps it down until a start or a deployment. Where nothing was
/// ever deployed or is about to be, that is all it says.
void supervisor_stop(struct supervisor *s, const struct waiter *waiter);
/// At the program's start, if no group file was named: works until what runs is what is wanted.
void supervisor_resume(struct supervisor *s);
/// Ends what runs, takes the application down unless its definition says that it runs on, then
/// calls `done`, however that went: the log tells what still runs. A stop that comes meanwhile is
/// carried out first.
void supervisor_exit(struct supervisor *s, loop_cb *done, void *ctx);
/// The waiter with this `ctx` is told nothing any more.
void supervisor_forget(struct supervisor *s, const void *ctx);
/// The engine was away, or was restarted, and answers again.
void supervisor_engine_back(struct supervisor *s);

/// Somebody who has to know what the supervisor does, and to keep out of its workers' way.
struct supervisor_watcher {
	/// A worker is about to start: no other may run when this returns. `acts`: it changes what
	/// runs, and does not only look.
	void (*starts)(void *ctx, bool acts);
	/// Nothing is being done.
	void (*idle)(void *ctx);
	/// What `status` shows has changed. It must not give commands.
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

/// For status.h; borrowed until the supervisor changes.
struct status supervisor_status(const struct supervisor *s);
/// What of it metrics tell.
struct metrics_deployments supervisor_measure(const struct supervisor *s);
/// Whether the application is to stay down.
bool supervisor_is_stopped(const struct supervisor *s);
