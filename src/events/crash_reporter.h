// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Completes the report of each crash with what can still be learned about it, reports it, and
/// keeps it in the crash log. The engine answers nothing about a container while it takes down its
/// network, 20 to 60 ms from the event on; so the log's end is read from the file of the engine's
/// default logging driver, and the report does not wait for the rest.

#include "docker/engine_json.h"
#include "events/container_event.h"
#include "events/crash_log.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct crash_reporter;

struct crash_reporter_settings {
	const char *engine_socket, *state_directory; ///< Borrowed.
	struct crash_log *log;                       ///< Borrowed.
};

/// None may destroy the reporter.
struct crash_reporter_callbacks {
	/// A crash is reported; borrowed for the call.
	void (*event)(void *ctx, const struct container_event *event);
	/// The engine has answered about a container that crashed.
	void (*inspected)(
		void *ctx, const char *container_id, const struct engine_container_state *state);
	/// A crash cannot be kept: a sentence; once until one can.
	void (*trouble)(void *ctx, const char *what);
	void *ctx;
};

/// Both are copied.
struct crash_reporter *crash_reporter_create(struct loop *loop,
	const struct crash_reporter_settings *settings,
	const struct crash_reporter_callbacks *callbacks);
/// Reports and keeps all that is under way, as it is. Takes NULL.
void crash_reporter_destroy(struct crash_reporter *r);

/// The API version to ask the engine with.
void crash_reporter_set_api(struct crash_reporter *r, unsigned minor);
/// The engine's folder, where log files are; taken over.
void crash_reporter_set_root(struct crash_reporter *r, char *directory);

/// Takes over a crash: reports it as soon as its log is known or it would be late. `unseen`: it
/// happened while there was no stream, and waits for the engine's answers.
void crash_reporter_add(struct crash_reporter *r, struct container_event *event, bool unseen);
/// The engine reports that this container ran out of memory.
void crash_reporter_note_oom(struct crash_reporter *r, const char *container_id);
/// The earliest crash that is not reported yet; INT64_MAX: none.
int64_t crash_reporter_pending_ns(const struct crash_reporter *r);
/// Reports and keeps all that is under way, as it is.
void crash_reporter_flush(struct crash_reporter *r);
