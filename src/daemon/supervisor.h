// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Takes commands (deploy, start, stop, rollback, plan, exit), runs one worker at a time, keeps the
/// store, and hands status messages to the outboxes. deploy/lifecycle.h alone decides what is next;
/// this carries it out.
///
/// From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/host_file.h"
#include "daemon/client_devices.h"
#include "daemon/deployment.h"
#include "daemon/metrics.h"
#include "daemon/mqtt_brokers.h"
#include "daemon/status.h"
#include "daemon/waiters.h"
#include "deploy/store.h"
#include "events/monitor.h"
#include "sys/loop.h"

#include <stdbool.h>

struct supervisor;

/// All is borrowed and outlives the supervisor. Sends what an earlier run could not.
/// `left_running`: what supervisor_left_running returned at the end of that run, if the device has
/// run on since.
struct supervisor *supervisor_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers, struct client_devices *devices,
	const struct monitor *monitor, unsigned left_running);
/// A worker that still runs is killed.
void supervisor_destroy(struct supervisor *s);
LM_DEFINE_CLEANUP(struct supervisor, supervisor_destroy)

/// Who orders a deployment. Only a person may deploy a definition that is quarantined.
enum supervisor_origin {
	ORIGIN_PERSON,
	ORIGIN_PERSON_NOW, ///< The same, whatever ActivateAt and HoldFile of the definition say.
	ORIGIN_SIGNAL,     ///< The group file is to be read again.
	/// The program's own start, which is tried again when it fails; a definition that was
	/// deployed last is not made a new generation.
	ORIGIN_START,
	ORIGIN_JOB, ///< Of AWS IoT Jobs.
};

/// Deploys the text of a group file. One that is not valid is reported to the waiter and
/// published, nothing more.
void supervisor_deploy(struct supervisor *s, struct lm_str group_file,
	enum supervisor_origin origin, const struct waiter *waiter);
/// The deployment under way does not wait for its ActivateAt and HoldFile any more.
void supervisor_activate(struct supervisor *s, const struct waiter *waiter);
/// Goes back to a generation that was deployed with success once; 0: to the last such one before
/// the present one, or, if that has failed since or is not deployed yet, to what ran last.
/// What it leaves is quarantined.
void supervisor_rollback(struct supervisor *s, unsigned generation, const struct waiter *waiter);
/// What supervisor_rollback goes back to if no generation is named. LM_E_NOT_FOUND and others:
/// there is nothing to go back to.
lm_rc supervisor_find_rollback(struct supervisor *s, unsigned *ret, struct lm_err *err);
/// The deployment of that generation fails for that reason, and is not tried again. False: it has
/// begun to change what runs, or there is none. One that waits for its next attempt, for disk space
/// or after a failure, has it at once for that, but only once.
bool supervisor_abandon(struct supervisor *s, unsigned generation, const char *why);
/// Deployments ask it from now on; copied.
void supervisor_set_gate(struct supervisor *s, const struct deployment_gate *gate);
/// Publishes and logs that a group file could not be read.
void supervisor_refuse(struct supervisor *s, const struct lm_err *err);
/// Reports to the waiter what a deployment of that text would do. Writes and publishes nothing; any
/// command preempts it.
void supervisor_plan(struct supervisor *s, struct lm_str group_file, const struct waiter *waiter);
/// Starts what is wanted, or was before it was stopped.
void supervisor_start(struct supervisor *s, const struct waiter *waiter);
/// Stops the application until a start or a deployment. Does nothing where nothing was ever
/// deployed or is about to be.
void supervisor_stop(struct supervisor *s, const struct waiter *waiter);
/// At the program's start, if no group file was named: works until what runs is what is wanted.
void supervisor_resume(struct supervisor *s);
/// Cancels the current task, stops the application unless its definition or `leaves_running` keeps
/// it running, then calls `done`, however that went: what still runs is logged. A stop that comes
/// meanwhile is carried out first.
void supervisor_exit(struct supervisor *s, bool leaves_running, loop_cb *done, void *ctx);
/// After supervisor_exit with `leaves_running`: the generation that runs and is what is wanted; 0:
/// there is none, or something has begun to change it.
unsigned supervisor_left_running(const struct supervisor *s);
/// The waiter with this `ctx` gets nothing any more.
void supervisor_forget(struct supervisor *s, const void *ctx);
/// Images of generation `n` are damaged; `images` is as `damaged` of a task in docs/formats.md, a
/// new reference is taken. As soon as that generation runs, and is what is wanted, it is deployed
/// once more to replace them, which is tried until it succeeds; without `at_once`, only when a
/// person starts it. If it does not come up, every other try of its start replaces them, too.
/// `images` NULL: it has none any more.
void supervisor_repair(struct supervisor *s, unsigned n, json_t *images, bool at_once);
/// The engine was away, or was restarted, and answers again.
void supervisor_engine_back(struct supervisor *s);
/// What the monitor knows of the containers may be another. May be called often.
void supervisor_containers_changed(struct supervisor *s);

/// Notified of what the supervisor does, to keep out of its workers' way.
struct supervisor_watcher {
	/// A worker is about to start: no other may run when this returns. `acts`: it changes
	/// containers.
	void (*starts)(void *ctx, bool acts);
	/// Whether a worker that changes containers may start now; else supervisor_continue is to
	/// be called when it may. NULL: always.
	bool (*may_act)(void *ctx);
	/// The worker that was to change containers waits for a time to do so. Before it does,
	/// `starts` is called again, once `may_act`. NULL: nobody cares.
	void (*waits)(void *ctx);
	/// A deployment or a start has succeeded.
	void (*deployed)(void *ctx);
	/// The damaged images of supervisor_repair were replaced.
	void (*repaired)(void *ctx, unsigned generation);
	/// No task runs.
	void (*idle)(void *ctx);
	/// What `status` shows has changed. It must not give commands.
	void (*changed)(void *ctx);
	void *ctx;
};
/// `watcher` is copied; its functions may be called more than once in a row, and `idle` at once.
void supervisor_watch(struct supervisor *s, const struct supervisor_watcher *watcher);

/// `may_act` returns true again.
void supervisor_continue(struct supervisor *s);

/// Applies the loggers of the generation that the next start deploys, if there is one.
void supervisor_apply_loggers(struct supervisor *s);
/// How often the status of the deployed application's containers is to be logged; 0: nothing is
/// deployed, it should stay stopped, or its start after a stop has not finished.
unsigned supervisor_status_frequency_s(struct supervisor *s);

/// The generation that is up, if its unhealthy containers are to be restarted
/// (Policy.RestartUnhealthy) and no task works on the application or is about to, other than one
/// that waits for its ActivateAt or HoldFile; else 0.
unsigned supervisor_restarts_unhealthy(struct supervisor *s);

/// For status.h; borrowed until the supervisor changes.
struct status supervisor_status(const struct supervisor *s);
/// The metrics of deployments.
struct metrics_deployments supervisor_measure(const struct supervisor *s);
/// Whether the application is to stay down.
bool supervisor_is_stopped(const struct supervisor *s);
