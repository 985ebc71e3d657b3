// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One of the programs that serve client devices, kept running: as a child of lightermand, or,
/// where systemd manages lightermand and a unit file is installed, as a unit of systemd.
///
/// A child that ends is started again after 1 s, then later and later, up to 60 s; its lines go to
/// our log, so many at a time. It ends with lightermand, however that ends: one that was left all
/// the same holds a lock, and is ended before another one is started. A unit is restarted by
/// systemd and stays when lightermand ends.
///
/// From the loop's thread; logs.

#include "base/cleanup.h"
#include "sys/loop.h"
#include "sys/process.h"

#include <stdbool.h>
#include <sys/types.h>

struct device_service;

enum device_service_state {
	DEVICE_SERVICE_STOPPED,
	DEVICE_SERVICE_STARTING, ///< One that was left is being ended, or systemd starts it.
	DEVICE_SERVICE_RUNNING,
	DEVICE_SERVICE_FAILED, ///< It has ended, or could not be started, and will be again.
	DEVICE_SERVICE_STOPPING,
};

/// "stopped", "starting", "running", "failed", "stopping". Static storage.
const char *device_service_state_name(enum device_service_state state);

struct device_service_settings {
	const char *name;        ///< For messages: "the broker".
	const char *const *argv; ///< NULL-ended; argv[0] is an absolute path.
	const char *user;        ///< What the child becomes; NULL: it stays what we are.
	const char *owner;       ///< Whose it is in the end, by its own doing; NULL: ours.
	bool logs_as_we_do;      ///< Its lines have the form of our log, and are taken as they are.
	const char *lock;        ///< Path of the file that a child holds a lock on.
	const char *unit;        ///< A unit of systemd; NULL: it is a child.
	/// For a child: a unit of an earlier lightermand that must not run beside it; NULL: none.
	const char *rival;
	const char *systemctl;  ///< Path of systemctl; for a unit.
	const char *journalctl; ///< Path of journalctl, which says why a unit fails; NULL: unsaid.
	/// The state is another one, or nothing is owed any more. Must not destroy the service.
	loop_cb *changed;
	void *ctx;
};

/// `settings` is copied. Nothing is started.
struct device_service *device_service_create(
	struct loop *loop, const struct device_service_settings *settings);
/// Other arguments, or other users, from the next start on.
void device_service_set(
	struct device_service *s, const char *const *argv, const char *user, const char *owner);
/// A child that still runs is killed. Takes NULL.
void device_service_destroy(struct device_service *s);
LM_DEFINE_CLEANUP(struct device_service, device_service_destroy)

/// From now on it is to run. Does nothing if it does.
void device_service_start(struct device_service *s);
/// It is to read its files again; one that does not run is started.
void device_service_reload(struct device_service *s);
/// It is ended in good order and started again.
void device_service_restart(struct device_service *s);
/// It is ended in good order; after 10 s it is killed.
void device_service_stop(struct device_service *s);

/// At our start, where it is not to run: a unit that an earlier lightermand may have left running
/// is stopped.
void device_service_stop_left(struct device_service *s);

/// What it was last told (a start, a reload, a restart) has not ended well yet, and is said again.
bool device_service_owes(const struct device_service *s);
bool device_service_is_unit(const struct device_service *s);
enum device_service_state device_service_state(const struct device_service *s);
/// Of the process; 0: it does not run.
pid_t device_service_pid(const struct device_service *s);
/// How often it ended by itself since it was created.
unsigned device_service_failures(const struct device_service *s);
/// Why it is DEVICE_SERVICE_FAILED; "" otherwise. Borrowed.
const char *device_service_fault(const struct device_service *s);
