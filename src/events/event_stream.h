// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The events of the Docker Engine about the project's containers, as they come: connects again,
/// with growing pauses, whenever the stream ends. Which events are new is for the receiver to
/// decide, who names the time from which they are asked for at each connection.

#include "base/cleanup.h"
#include "base/error.h"
#include "docker/engine_json.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum engine_event_action {
	ENGINE_EVENT_OTHER, ///< Not of interest.
	ENGINE_EVENT_CREATE,
	ENGINE_EVENT_START,
	ENGINE_EVENT_DIE,
	ENGINE_EVENT_OOM,
	ENGINE_EVENT_KILL,
	ENGINE_EVENT_PAUSE,
	ENGINE_EVENT_UNPAUSE,
	ENGINE_EVENT_RENAME,
	ENGINE_EVENT_DESTROY,
	ENGINE_EVENT_HEALTH,
};

enum { ENGINE_EVENT_ID_SIZE = 65 };

struct engine_event {
	enum engine_event_action action;
	int64_t time_ns; ///< Since 1970, by the engine's clock.
	uint64_t key;    ///< The same for the same event, sent again; a hash.
	char id[ENGINE_EVENT_ID_SIZE];
	/// Borrowed from the document; "" if absent.
	const char *name, *service, *image;
	bool oneoff;               ///< Of a container made by `docker-compose run`.
	int exit_code;             ///< DIE; -1: absent.
	int signal;                ///< KILL; 0: absent.
	enum engine_health health; ///< HEALTH
};

/// Reads one object of GET /events. Engines before API 1.22 have `status` and `id` where later ones
/// have `Action` and `Actor`; from 1.52 on only the latter are there. `*ret_json` is the caller's;
/// `ret` borrows from it. LM_E_PROTOCOL: it is no event of a container.
lm_rc engine_event_parse(
	struct lm_str text, json_t **ret_json, struct engine_event *ret, struct lm_err *err);

/// Appends the target of the request: the events of a project's containers from `since_ns` on that
/// engine_event_parse knows, those of health checks' commands not among them. False over the
/// ceiling.
bool engine_event_target(struct lm_buf *out, unsigned minor, const char *project, int64_t since_ns);

struct event_stream;

/// From the loop only. None may destroy the stream.
struct event_stream_callbacks {
	/// The first time from which on events are wanted.
	int64_t (*from)(void *ctx);
	/// The engine sends its events from now on, those earlier ones first that it still has.
	void (*opened)(void *ctx, unsigned minor);
	/// An event, borrowed for the call.
	void (*event)(void *ctx, const struct engine_event *event);
	/// There is no stream; it is tried again. `is_first`: of the failures since it was there.
	void (*lost)(void *ctx, const struct lm_err *why, bool is_first);
	void *ctx;
};

/// `socket_path` and `project` must outlive the stream; `events` is copied.
struct event_stream *event_stream_create(struct loop *loop, const char *socket_path,
	const char *project, const struct event_stream_callbacks *events);
void event_stream_destroy(struct event_stream *s);
LM_DEFINE_CLEANUP(struct event_stream, event_stream_destroy)

/// All is well: after the next loss it tries again soon.
void event_stream_reset_backoff(struct event_stream *s);
/// Drops the connection and makes another later; `lost` is called. Not from within a callback of
/// the stream.
void event_stream_break(struct event_stream *s, const struct lm_err *why);
