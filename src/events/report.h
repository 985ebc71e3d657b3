// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happened to a container, as it is told: a message, a record of the ring, a sentence. Pure.

#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

enum report_event {
	REPORT_DIED,
	REPORT_OOM,
	REPORT_UNHEALTHY,
	REPORT_HEALTHY,
	REPORT_RESTARTED,
	REPORT_STARTED,
};

enum { REPORT_UNKNOWN = -1, REPORT_ID_SIZE = 40 };

/// Numbers are REPORT_UNKNOWN where they are not known or mean nothing.
struct report {
	enum report_event event;
	int64_t time_ns;                             ///< Since 1970, by the engine's clock.
	char *container_id, *service, *name, *image; ///< Owned; none is NULL.
	int exit_code;
	int oom_killed; ///< 0, 1
	int64_t restart_count;
	int64_t uptime_s;
	json_t *log;                    ///< Array of lines; NULL: not known. Owned.
	unsigned count;                 ///< How many events of this kind it stands for.
	bool crash;                     ///< DIED, and not as it should.
	int64_t memory_free, disk_free; ///< Bytes, of the machine.
	/// The lines of its log are later than the one and not later than the other; 0: not known.
	int64_t log_from_ns, log_until_ns;
	/// A signal that came while a job of ours was at work: if the engine stops the container by
	/// it, the end is ours, and no report. 0: none.
	int notice;
};

/// With nothing known but what is given; the texts are copied.
struct report report_make(enum report_event event, int64_t time_ns, const char *container_id,
	const char *service, const char *name, const char *image);
void report_finish(struct report *r);

/// The signal that ended it, by the exit code; 0: none.
int report_signal(const struct report *r);
/// The same for the same happening, whenever it is told.
char *report_id(const struct report *r, char out[REPORT_ID_SIZE]);
/// Reads a death's id: whether it is of that container, and when it died.
bool report_id_read(const char *id, const char *container_id, int64_t *ret_time_ns);

/// docs/formats.md, "MQTT", topic `containers`; a new reference.
json_t *report_to_message(const struct report *r);
/// docs/formats.md, `crashes`; a new reference.
json_t *report_to_record(const struct report *r);
/// "container app_web_1 died: exit code 3, after 12 s"; the caller frees.
char *report_to_text(const struct report *r) __attribute__((returns_nonnull));
/// Somebody should look at it.
bool report_is_bad(const struct report *r);
