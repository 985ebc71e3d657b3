// SPDX-License-Identifier: Apache-2.0
#include "scene.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <time.h>

enum { TEXTS = 128, NS_PER_MS = 1000000 };

struct scene scene;
static char *texts[TEXTS];
static size_t texts_n;
static bool (*done)(size_t n);
static size_t done_n;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __real_loop_timer_destroy(struct loop_timer *t);
void __wrap_loop_timer_destroy(struct loop_timer *t);
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

static void note_timer(struct loop_timer *t, uint64_t delay_ms)
{
	size_t i = 0;

	while (i < scene.timers_n && scene.timers[i].timer != t)
		i++;
	assert_true(i < SCENE_TIMERS);
	scene.timers[i].timer = t;
	scene.timers[i].delay_ms = delay_ms;
	scene.timers_n += i == scene.timers_n;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	if (delay_ms >= 100 && delay_ms <= 10000 && scene.delays_n < LM_ARRAY_SIZE(scene.delays))
		scene.delays[scene.delays_n++] = delay_ms;
	bool is_answer = delay_ms == SCENE_ANSWER_MS;

	note_timer(t, delay_ms);
	scene.answers_n += is_answer;
	if (is_answer && (scene.hurry_answer || scene.answers_n == scene.hurry_answer_at))
		delay_ms = 1;
	__real_loop_timer_start(t, delay_ms, repeat_ms);
}

void __wrap_loop_timer_destroy(struct loop_timer *t)
{
	for (size_t i = 0; i < scene.timers_n; i++) {
		if (scene.timers[i].timer != t)
			continue;
		scene.timers_n--;
		memmove(&scene.timers[i], &scene.timers[i + 1],
			(scene.timers_n - i) * sizeof(scene.timers[0]));
	}
	__real_loop_timer_destroy(t);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = __real_clock_gettime(clock, t);

	t->tv_sec += (time_t)(clock == CLOCK_REALTIME ? scene.set_s : scene.later_s);
	return rc;
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("it has not come within 30 s: %zu reports, the last trouble: %s", scene.n,
		scene.why);
}

static void on_poll(void *ctx)
{
	(void)ctx;
	if (done && done(done_n))
		loop_stop(scene.loop);
}

int scene_setup(void **state)
{
	(void)state;
	scene = (struct scene){.now_ns = event_cursor_now_ns()};
	(void)snprintf(scene.folder, sizeof(scene.folder), "/tmp/monitor.XXXXXX");
	if (!mkdtemp(scene.folder) || loop_create(&scene.loop, NULL) != LM_OK)
		return -1;
	scene.limit = loop_timer_create(scene.loop, too_long, NULL);
	__real_loop_timer_start(scene.limit, 30000, 0);
	scene.poll = loop_timer_create(scene.loop, on_poll, NULL);
	return 0;
}

int scene_teardown(void **state)
{
	(void)state;
	monitor_destroy(scene.monitor);
	if (scene.engine)
		fake_engine_destroy(scene.engine);
	loop_timer_destroy(scene.limit);
	loop_timer_destroy(scene.poll);
	loop_destroy(scene.loop);
	while (scene.n > 0)
		container_event_finish(&scene.reports[--scene.n]);
	while (texts_n > 0)
		free(texts[--texts_n]);
	damage_finish(&scene.damage);
	return lm_tree_remove(AT_FDCWD, scene.folder, NULL) ? -1 : 0;
}

static void on_event(void *ctx, const struct container_event *r)
{
	(void)ctx;
	assert_true(scene.n < SCENE_REPORTS);
	struct container_event *copy = &scene.reports[scene.n++];
	*copy = *r;
	copy->container_id = lm_xstrdup(r->container_id);
	copy->service = lm_xstrdup(r->service);
	copy->name = lm_xstrdup(r->name);
	copy->image = lm_xstrdup(r->image);
	copy->log = r->log ? json_copy(r->log) : NULL;
}

static void note(size_t *count, const char *why)
{
	(*count)++;
	(void)snprintf(scene.why, sizeof(scene.why), "%s", why);
}

static void on_lost(void *ctx, const char *why)
{
	(void)ctx;
	note(&scene.lost, why);
}

static void on_found(void *ctx)
{
	(void)ctx;
	scene.found++;
}

static void on_trouble(void *ctx, const char *what)
{
	(void)ctx;
	note(&scene.troubles, what);
}

static void on_changed(void *ctx)
{
	(void)ctx;
	scene.changes++;
}

void scene_restart(void)
{
	const struct monitor_settings settings = {
		.engine_socket = scene.engine->path,
		.project = "app",
		.state_directory = scene.folder,
		.damage = &scene.damage,
	};
	const struct monitor_callbacks callbacks = {
		.event = on_event,
		.lost = on_lost,
		.found = on_found,
		.trouble = on_trouble,
		.changed = on_changed,
	};
	struct lm_err err = {LM_OK};

	monitor_destroy(lm_take(scene.monitor));
	assert_int_equal(
		monitor_create(scene.loop, &settings, &callbacks, &scene.monitor, &err), LM_OK);
}

void scene_start(const struct fake_answer *answers, size_t n)
{
	// A test that fails returns while the engine still answers.
	assert_true(n <= FAKE_ANSWERS_MAX);
	memcpy(scene.answers, answers, n * sizeof(*answers));
	scene.engine = fake_engine_create(scene.answers, n);
	scene_restart();
}

static void wait_for(bool (*true_once)(size_t n), size_t n)
{
	done = true_once;
	done_n = n;
	__real_loop_timer_start(scene.poll, 0, 1);
	loop_run(scene.loop);
	loop_timer_stop(scene.poll);
}

static bool is_told(size_t n)
{
	return scene.n >= n;
}

static bool is_changed(size_t n)
{
	return scene.changes >= n;
}

static bool is_kept(size_t n)
{
	lm_auto_json json_t *list = monitor_crashes_to_json(scene.monitor);

	return json_array_size(list) >= n;
}

static bool is_lost(size_t n)
{
	return scene.lost >= n;
}

/// No request and no report of a crash is under way: these have such time limits.
static bool is_settled(size_t n)
{
	enum { REPORT_MS = 6, KEEP_MS = 20, REPORT_LATE_MS = 2000 };

	(void)n;
	for (size_t i = 0; i < scene.timers_n; i++) {
		uint64_t ms = scene.timers[i].delay_ms;

		if ((ms == REPORT_MS || ms == KEEP_MS || ms == REPORT_LATE_MS ||
			    ms == SCENE_ANSWER_MS) &&
			loop_timer_active(scene.timers[i].timer))
			return false;
	}
	return monitor_sight(scene.monitor) == MONITOR_SEES;
}

void scene_wait(size_t n)
{
	wait_for(is_told, n);
}

void scene_wait_changed(size_t n)
{
	wait_for(is_changed, n);
}

void scene_wait_kept(size_t n)
{
	wait_for(is_kept, n);
}

void scene_settle(void)
{
	wait_for(is_settled, 0);
}

void scene_break(void)
{
	size_t lost = scene.lost;

	scene_push(NULL);
	wait_for(is_lost, lost + 1);
}

int64_t scene_stop(void)
{
	struct event_cursor cursor;
	char boot[EVENT_CURSOR_BOOT_SIZE];

	monitor_destroy(lm_take(scene.monitor));
	event_cursor_load(scene.folder, event_cursor_boot_id(boot), event_cursor_now_ns(),
		&scene.damage, &cursor);
	return cursor.since_ns;
}

void scene_end_minute(void)
{
	enum { MINUTE_MS = 60 * 1000 };

	for (size_t i = 0; i < scene.timers_n; i++) {
		if (scene.timers[i].delay_ms != MINUTE_MS)
			continue;
		__real_loop_timer_start(scene.timers[i].timer, 1, 0);
		return;
	}
	fail_msg("no rate limit is on");
}

bool scene_is_idle(void)
{
	for (size_t i = 0; i < scene.timers_n; i++)
		if (loop_timer_active(scene.timers[i].timer))
			return false;
	return true;
}

struct monitor_container scene_look_up(void)
{
	struct monitor_container c;

	assert_true(monitor_look_up(scene.monitor, "a1", &c));
	return c;
}

static void count_container(void *ctx, const struct monitor_container *c)
{
	size_t *n = ctx;
	(void)c;

	(*n)++;
}

size_t scene_containers(void)
{
	size_t n = 0;

	monitor_each(scene.monitor, count_container, &n);
	return n;
}

void scene_start_running(int restarts)
{
	const struct fake_answer answers[] = {RUNNING,
		{INSPECT, scene_inspect("running", 0, -60, 0, restarts), FAKE_CLOSE, 0},
		{LOGS, NOT_FOUND, FAKE_CLOSE, 0}};

	scene_start(answers, LM_ARRAY_SIZE(answers));
	scene_settle();
}

void scene_push(const char *event)
{
	fake_engine_push(scene.engine, EVENTS, event);
}

size_t scene_count(enum container_event_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < scene.n; i++)
		n += scene.reports[i].kind == kind;
	return n;
}

void scene_assert(size_t i, enum container_event_kind kind, int exit_code)
{
	assert_true(i < scene.n);
	assert_int_equal(scene.reports[i].kind, kind);
	assert_int_equal(scene.reports[i].exit_code, exit_code);
	assert_string_equal(scene.reports[i].name, "app_web_1");
	assert_string_equal(scene.reports[i].service, "web");
}

const char *scene_text(const char *format, ...)
{
	va_list ap;

	assert_true(texts_n < TEXTS);
	va_start(ap, format);
	texts[texts_n] = lm_xvasprintf(format, ap);
	va_end(ap);
	return texts[texts_n++];
}

static int64_t time_of(double at_s)
{
	return scene.now_ns + (int64_t)(at_s * 1e9);
}

static const char *make_event(double at_s, const char *action, const char *more)
{
	return scene_text("{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"a1\","
			  "\"Attributes\":{\"com.docker.compose.service\":\"web\",\"name\":"
			  "\"app_web_1\",\"image\":\"web:1\"%s}},\"timeNano\":%lld}\n",
		action, more, (long long)time_of(at_s));
}

const char *scene_event(double at_s, const char *action)
{
	return make_event(at_s, action, "");
}

const char *scene_kill(double at_s, int signal)
{
	return make_event(at_s, "kill", scene_text(",\"signal\":\"%d\"", signal));
}

const char *scene_die(double at_s, int exit_code)
{
	return make_event(at_s, "die", scene_text(",\"exitCode\":\"%d\"", exit_code));
}

const char *scene_list(const char *state)
{
	return scene_text(OK "[{\"Id\":\"a1\",\"Names\":[\"/app_web_1\"],\"Image\":\"web:1\","
			     "\"State\":\"%s\",\"Labels\":{\"com.docker.compose.project\":\"app\","
			     "\"com.docker.compose.service\":\"web\"}}]",
		state);
}

const char *scene_inspect(
	const char *state, int exit_code, double started_s, double ended_s, int restarts)
{
	char started[LM_TIME_SIZE], ended[LM_TIME_SIZE];

	(void)lm_time_format_iso(time_of(started_s) / NS_PER_MS, started);
	(void)lm_time_format_iso(time_of(ended_s) / NS_PER_MS, ended);
	return scene_text(OK "{\"Id\":\"a1\",\"RestartCount\":%d,\"State\":{\"Status\":\"%s\","
			     "\"Running\":%s,\"ExitCode\":%d,\"OOMKilled\":false,"
			     "\"StartedAt\":\"%s\",\"FinishedAt\":\"%s\"}}",
		restarts, state, strcmp(state, "running") == 0 ? "true" : "false", exit_code,
		started, ended_s == 0 ? "0001-01-01T00:00:00Z" : ended);
}
