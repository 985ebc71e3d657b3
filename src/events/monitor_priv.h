// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside the monitor: monitor.c holds it together; judge.c says what an event means; compare.c
/// finds what no event told; recorder.c learns what there is to learn about a crash.

#include "docker/container_state.h"
#include "docker/engine_get.h"
#include "events/event.h"
#include "events/known.h"
#include "events/machine.h"
#include "events/monitor.h"
#include "events/resume.h"
#include "events/ring.h"
#include "events/stream.h"

enum { MONITOR_NS_PER_MS = 1000000, MONITOR_ANSWER_MS = 10 * 1000 };

struct compare {
	struct engine_get *get; ///< What is asked just now.
	int64_t asked_ns;
	int64_t listed_ns; ///< When the list was asked for: all before is told once it is compared.
	struct engine_containers list;
	size_t next; ///< Of the list, to be asked about.
	bool missed; ///< One of them: there was no answer.
};

struct monitor {
	struct loop *loop;
	char *engine_socket, *project, *state_directory;
	struct monitor_events events;
	char boot[MACHINE_BOOT_SIZE];
	struct resume resume;
	struct resume
		early; ///< As an earlier lightermand left it; all 0 once containers are compared.
	struct loop_timer *save; ///< To write `resume`.
	uint64_t saved_ms;       ///< On lm_clock_mono_ms().
	unsigned put_off;        ///< So often was that.
	bool save_failed;        ///< It was told.
	struct ring *ring;
	bool ring_failed;
	struct known_table known;
	bool too_many; ///< It was told.
	struct stream *stream;
	unsigned minor;    ///< Of the API version of the last connection.
	uint64_t revision; ///< Events that came, and times that the stream was lost.
	bool is_lost;      ///< And nobody was told yet that it is there again.
	/// While comparing is due: what happened since then may not have been told by events.
	bool has_gap;
	int64_t gap_ns;
	/// On lm_clock_mono_ms(): when all that had happened was known last.
	uint64_t heard_ms;
	struct compare compare;
	char *root_directory; ///< Of the engine; NULL: not known.
	struct recording *recordings;
	bool busy;
	/// When the last job of an earlier lightermand was at work; 0: never. Open: nobody saw it
	/// end.
	int64_t left_from_ns, left_to_ns;
	bool left_open;
};

// clock.c
int64_t monitor_now_ns(void);
/// What was noted before the clock was set back gets times that mean the same now.
void monitor_mind_clock(struct monitor *m);

// monitor.c
/// Lets `resume` be written soon.
void monitor_save_later(struct monitor *m);
/// Tells those who look at the containers.
void monitor_tell_changed(const struct monitor *m);
/// Whether a job of ours was at work then.
bool monitor_was_busy(const struct monitor *m, int64_t time_ns);
/// Whether what such a job told to end may only then have ended of it.
bool monitor_is_busy_still(const struct monitor *m, int64_t time_ns);

// judge.c
/// False: it is none of ours, or was told before.
bool judge_event(struct monitor *m, const struct event *e);
/// A container has died; `r` is taken over. Nothing is told of an end that is `ours`.
void judge_death(struct monitor *m, struct known *k, struct report *r, bool ours);
/// Tells an event other than a death.
void judge_tell(struct monitor *m, struct known *k, enum report_event event, int64_t time_ns);
/// A report with what is known of the container.
struct report judge_report(const struct known *k, enum report_event event, int64_t time_ns);
/// Tells what a flood held back, and forgets the container.
void judge_forget(struct monitor *m, struct known *k);
/// For how long a container that was started is up, at a time of the engine's clock: by the times
/// of the events, which are exact; if the clock was set meanwhile, by ours. REPORT_UNKNOWN
int64_t judge_uptime_s(const struct monitor *m, const struct known *k, int64_t time_ns);
/// As known_add; that there are too many is told, once.
struct known *judge_known(struct monitor *m, const char *id, int64_t floor_ns);

// compare.c
void compare_begin(struct monitor *m);
void compare_stop(struct monitor *m);

// recorder.c
/// Takes over the report of a crash: tells it as soon as the log is known or it would be late, and
/// keeps it with what the engine still says. `doubtful`: it may have been killed for memory.
void recorder_add(struct monitor *m, struct report *r, bool doubtful);
/// The engine says that this container ran out of memory.
void recorder_note_oom(struct monitor *m, const char *container_id);
/// The earliest crash that is not told yet; INT64_MAX: none.
int64_t recorder_untold_ns(const struct monitor *m);
/// Tells and keeps all that is under way, as it is.
void recorder_finish(struct monitor *m);
