// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A monitor, an engine that answers as a test wants, and what the monitor reported. One at a
/// time. Its timers and clocks are the test's: linked with --wrap of loop_timer_start,
/// loop_timer_destroy and clock_gettime.

#include "events/event_cursor.h"
#include "events/monitor.h"
#include "fake_engine.h"

#include <stdint.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define VERSION                                                                                    \
	{                                                                                          \
		"GET /version ", OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}",          \
			FAKE_CLOSE, 0                                                              \
	}
#define EVENTS "GET /v1.41/events?"
#define LIST "GET /v1.41/containers/json?"
#define INFO "GET /v1.41/info "
#define INSPECT "GET /v1.41/containers/a1/json "
#define LOGS "GET /v1.41/containers/a1/logs?"
#define NO_INFO                                                                                    \
	{                                                                                          \
		INFO, OK "{}", FAKE_CLOSE, 0                                                       \
	}
/// An engine with a1, which runs since a minute before the test.
#define RUNNING                                                                                    \
	VERSION, {EVENTS, OK, FAKE_HANG, 0}, {LIST, scene_list("running"), FAKE_CLOSE, 0}, NO_INFO
#define NOT_FOUND "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such container\"}"

enum { SCENE_REPORTS = 40, SCENE_TIMERS = 64, SCENE_ANSWER_MS = 10 * 1000 };

struct scene {
	struct loop *loop;
	struct loop_timer *limit, *poll;
	struct fake_engine *engine;
	struct fake_answer answers[FAKE_ANSWERS_MAX];
	struct monitor *monitor;
	char folder[64];
	struct damage damage;
	int64_t now_ns; ///< When the test began.
	struct container_event reports[SCENE_REPORTS];
	size_t n, lost, found, troubles, changes;
	double set_s, later_s;     ///< So far the wall clock was set, and this later it is.
	char why[LM_ERR_MSG_SIZE]; ///< Of the last loss or trouble.
	bool hurry_answer;
	unsigned hurry_answer_at, answers_n; ///< Only that one, from 1; so many were asked for.
	uint64_t delays[64];                 ///< That timers of 100 ms to 10 s were started with.
	size_t delays_n;
	struct {
		struct loop_timer *timer;
		uint64_t delay_ms;
	} timers[SCENE_TIMERS]; ///< That were started, and not destroyed; in order of their first
				///< start.
	size_t timers_n;
};

extern struct scene scene;

#define MONITOR_TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int scene_setup(void **state);
int scene_teardown(void **state);

void scene_start(const struct fake_answer *answers, size_t n);
/// Ends the monitor and starts it anew, in the same folder.
void scene_restart(void);
/// Ends the monitor, and returns how far its events were read, as the next one would know it.
int64_t scene_stop(void);
/// Breaks the stream of events, and waits until that is noticed.
void scene_break(void);
/// The minute of the rate limit that began first is over.
void scene_end_minute(void);
/// Waits until there were so many reports in all.
void scene_wait(size_t n);
/// Waits until `changed` was called so often in all.
void scene_wait_changed(size_t n);
/// Waits until there are that many crashes in the crash log.
void scene_wait_kept(size_t n);
/// Waits until the containers are compared, and nothing is under way.
void scene_settle(void);
/// a1 runs, was restarted so many times, and has no log; returns as scene_settle.
void scene_start_running(int restarts);
void scene_push(const char *event);
/// The container a1 as it is known.
struct monitor_container scene_look_up(void);
/// How many containers are known.
size_t scene_containers(void);
/// Nothing will wake the monitor.
bool scene_is_idle(void);
/// How many reports of that kind there were.
size_t scene_count(enum container_event_kind kind);
/// The report is of that kind, of the container app_web_1, with that exit code.
void scene_assert(size_t i, enum container_event_kind kind, int exit_code);

/// Texts live until the end of the test. Times are seconds from the beginning of the test.
const char *scene_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/// An event of container a1.
const char *scene_event(double at_s, const char *action);
/// `docker kill -s` with that number.
const char *scene_kill(double at_s, int signal);
const char *scene_die(double at_s, int exit_code);
/// The engine's list with a1 in it.
const char *scene_list(const char *state);
/// The engine's word on a1; `ended_s` 0: never.
const char *scene_inspect(
	const char *state, int exit_code, double started_s, double ended_s, int restarts);
