// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The engine's events as they come, for good: connects again, with growing pauses, whenever the
/// stream ends. Which events are new is for the receiver to see; from when on they are asked for is
/// asked at each connection.

#include "base/cleanup.h"
#include "base/error.h"
#include "docker/answer.h"
#include "events/event.h"
#include "sys/loop.h"

struct stream;

/// From the loop only. None may destroy the stream.
struct stream_events {
	/// The first time from which on events are wanted.
	int64_t (*from)(void *ctx);
	/// The engine tells its events from now on. What it knew of earlier ones comes first.
	void (*opened)(void *ctx, unsigned minor);
	/// An event, borrowed for the call.
	void (*event)(void *ctx, const struct event *event);
	/// There is no stream; it is tried again. `is_first`: of the attempts since it was there.
	void (*lost)(void *ctx, const struct lm_err *why, bool is_first);
	void *ctx;
};

/// `socket_path` and `project` must outlive the stream; `events` is copied.
struct stream *stream_create(struct loop *loop, const char *socket_path, const char *project,
	const struct stream_events *events);
void stream_destroy(struct stream *s);
LM_DEFINE_CLEANUP(struct stream, stream_destroy)

/// All is well: the next loss is tried again soon.
void stream_settle(struct stream *s);
/// Gives the connection up and makes another later; `lost` is called. Not from within a callback of
/// the stream.
void stream_break(struct stream *s, const struct lm_err *why);
