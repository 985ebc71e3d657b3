// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The client devices of the group that is deployed (its member Devices): their broker and their
/// discovery run, with files that are up to date, as long as the application is to run. A group
/// without devices starts nothing, and in the place of one with devices has the files of the
/// services removed once these have ended; when the application is only stopped, they stay.
///
/// Files are made by tasks of lighterman-worker (daemon/own_tasks.h): before a deployment; when
/// the application starts; when lightermand starts; twice a day; when addresses of this device
/// change, or its clock is set; and after a command. What fails is tried again, and never keeps the
/// application from running, but for certificates that a deployment needs.
///
/// From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/device_preparation.h"
#include "daemon/device_requests.h"
#include "daemon/metrics.h"
#include "daemon/mqtt_brokers.h"
#include "deploy/store.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>

struct client_devices;

/// Everything is borrowed and outlives it. `by_systemd`: a service manager has started us, which
/// may run the services, too.
struct client_devices *client_devices_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct mqtt_brokers *brokers, bool by_systemd);
/// What runs as a child is killed: see client_devices_exit. Takes NULL.
void client_devices_destroy(struct client_devices *c);
LM_DEFINE_CLEANUP(struct client_devices, client_devices_destroy)
/// `changed` is called when what is shown has changed.
void client_devices_watch(struct client_devices *c, loop_cb *changed, void *ctx);

/// Before a deployment: makes certificates for the devices of the group. `done` is called later.
/// False: the group has none, and nothing is done.
bool client_devices_prepare(struct client_devices *c, const struct group *group,
	device_preparation_done *done, void *ctx);
/// The same for a group that has none, in place of one that had, whose files are to be removed: a
/// descriptor of an empty list; the caller closes. -1: there was none.
int client_devices_prepare_nothing(const struct client_devices *c);
/// `done` comes sooner, with LM_E_CANCELLED.
void client_devices_cancel(struct client_devices *c);

/// The application of that generation is about to start: serves its devices, and no others. `done`
/// is called later, at the latest after half a minute, however that went. False: there is nothing
/// to wait for, as neither this group nor the one before it has devices.
bool client_devices_apply(struct client_devices *c, unsigned generation, const struct group *group,
	loop_cb *done, void *ctx);
/// No `done` of these two is called any more.
void client_devices_forget(struct client_devices *c);

/// At our start: that generation is deployed; `group` NULL: none is. `runs`: it is to run, and did
/// before; if not, what an earlier lightermand left running is stopped.
void client_devices_resume(
	struct client_devices *c, unsigned generation, const struct group *group, bool runs);
/// The application is stopped.
void client_devices_stop(struct client_devices *c);
/// At our end: children are ended in good order, then `done` is called, later. Units of systemd
/// stay, unless the application was stopped.
void client_devices_exit(struct client_devices *c, loop_cb *done, void *ctx);

/// A request `device` of the control socket (docs/formats.md), to which `last` is the last line;
/// borrowed. `done` may be called from within this.
typedef void client_devices_answer(void *ctx, json_t *last);
void client_devices_ask(
	struct client_devices *c, const json_t *request, client_devices_answer *done, void *ctx);
/// No `done` with this `ctx` is called any more.
void client_devices_forget_request(struct client_devices *c, const void *ctx);

/// The member "devices" of the answer of `status`; a new reference, maybe null.
json_t *client_devices_show(const struct client_devices *c);
struct metrics_devices client_devices_measure(const struct client_devices *c);
