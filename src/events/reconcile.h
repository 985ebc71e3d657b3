// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keeps the container table in step with the engine, and finds out what happened: applies each of
/// the engine's events, and after each (re)connection asks for the list of containers and for the
/// state of each, for changes without an event. The engine keeps few events, and none over a
/// restart of its own.

#include "events/container_table.h"
#include "events/crash_reporter.h"
#include "events/event_cursor.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct reconcile;

/// All borrowed.
struct reconcile_settings {
	const char *engine_socket, *project;
	struct event_cursor *cursor; ///< As it was loaded.
	struct crash_log *crash_log;
	struct crash_reporter *crash_reporter;
};

/// None may destroy the reconciler, nor begin a comparison.
struct reconcile_callbacks {
	/// Something happened that is no crash; borrowed for the call.
	void (*event)(void *ctx, const struct container_event *event);
	/// All containers are compared.
	void (*compared)(void *ctx);
	/// They cannot be, with this connection.
	void (*failed)(void *ctx, const struct lm_err *why);
	/// Something else is wrong, and survived: a sentence.
	void (*trouble)(void *ctx, const char *what);
	void *ctx;
};

/// Both are copied.
struct reconcile *reconcile_create(struct loop *loop, const struct reconcile_settings *settings,
	const struct reconcile_callbacks *callbacks);
/// Takes NULL.
void reconcile_destroy(struct reconcile *r);
/// Reports what rate limits hold back, and forgets all containers.
void reconcile_flush(struct reconcile *r);

/// From when on events are wanted.
int64_t reconcile_from_ns(struct reconcile *r);
/// Compares all containers, with this API version.
void reconcile_begin(struct reconcile *r, unsigned minor);
/// False: the event is none of ours, or was read before.
bool reconcile_event(struct reconcile *r, const struct engine_event *e);
/// The stream was lost, and with it perhaps events of what happens from now on.
void reconcile_lose(struct reconcile *r, const struct lm_err *why);
/// What the engine has answered about a container. True: with something new.
bool reconcile_inspected(
	struct reconcile *r, const char *id, const struct engine_container_state *state);
/// A task of ours that stops containers begins or finishes.
void reconcile_set_busy(struct reconcile *r, bool busy);

/// The table may be behind: the containers are not compared since the stream was lost.
bool reconcile_is_due(const struct reconcile *r);
/// All that happened before was read or compared.
int64_t reconcile_since_ns(const struct reconcile *r);
const struct container_table *reconcile_containers(const struct reconcile *r);
/// For how long a container that was started is up, at a time of the engine's clock: by the times
/// of the events, which are exact; if the clock was set meanwhile, by ours. EVENT_UNKNOWN
int64_t reconcile_uptime_s(const struct reconcile *r, const struct container *c, int64_t time_ns);
