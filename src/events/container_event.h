// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happened to a container, as it is reported: a message, an entry of the crash log, a
/// sentence. Pure.

#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

enum container_event_kind {
	EVENT_DIED,
	EVENT_OOM,
	EVENT_UNHEALTHY,
	EVENT_HEALTHY,
	EVENT_RESTARTED,
	EVENT_STARTED,
};

enum { EVENT_UNKNOWN = -1, CONTAINER_EVENT_ID_SIZE = 40 };

/// Numbers are EVENT_UNKNOWN where they are not known or mean nothing.
struct container_event {
	enum container_event_kind kind;
	int64_t time_ns;                             ///< Since 1970, by the engine's clock.
	char *container_id, *service, *name, *image; ///< Owned; none is NULL.
	int exit_code;
	int oom_killed; ///< 0, 1
	int64_t restart_count;
	int64_t uptime_s;
	json_t *log;                    ///< Array of lines; NULL: not known. Owned.
	bool unhealthy;                 ///< RESTARTED: by lightermand, because it was unhealthy.
	unsigned count;                 ///< How many events of this kind it stands for.
	bool crash;                     ///< DIED, with an exit code other than 0 or for memory.
	int64_t memory_free, disk_free; ///< Bytes, of the machine.
	/// The lines of its log are later than the first and not later than the second; 0: not
	/// known.
	int64_t log_from_ns, log_until_ns;
	/// A signal that was sent during a task of ours: if the engine stops the container by it,
	/// the exit is ours and not reported. 0: none.
	int notice;
};

/// With nothing known but what is given; the texts are copied.
struct container_event container_event_make(enum container_event_kind kind, int64_t time_ns,
	const char *container_id, const char *service, const char *name, const char *image);
void container_event_finish(struct container_event *e);

/// The same for the same event, whenever it is reported. Returns `out`.
char *container_event_id(const struct container_event *e, char out[CONTAINER_EVENT_ID_SIZE]);
/// Reads the id of a DIED event: false if it is not of that container.
bool container_event_parse_id(const char *id, const char *container_id, int64_t *ret_time_ns);

/// docs/formats.md, "MQTT", topic `containers`; a new reference.
json_t *container_event_to_message(const struct container_event *e);
/// docs/formats.md, `crashes`; a new reference.
json_t *container_event_to_crash(const struct container_event *e);
/// "container app_web_1 died: exit code 3, after 12 s"; the caller frees.
char *container_event_to_text(const struct container_event *e) __attribute__((returns_nonnull));
/// An operator should look at it.
bool container_event_is_problem(const struct container_event *e);
