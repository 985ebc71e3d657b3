// SPDX-License-Identifier: Apache-2.0
#include "daemon/healer.h"

#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define VERSION                                                                                    \
	{                                                                                          \
		"GET /version ", OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}",          \
			FAKE_CLOSE, 0                                                              \
	}
#define LIST "GET /v1.41/containers/json?"
#define INSPECT(id) "GET /v1.41/containers/" id "/json "
#define RESTART(id) "POST /v1.41/containers/" id "/restart "
#define LISTED(id, service, status, more)                                                          \
	"{\"Id\":\"" id "\",\"Names\":[\"/app_" id "\"],\"State\":\"running\",\"Status\":"         \
	"\"" status "\",\"Labels\":{\"com.docker.compose.project\":\"app\","                       \
	"\"com.docker.compose.service\":\"" service "\"" more "}}"
#define SICK "Up 2 minutes (unhealthy)"
#define STATE(state, health)                                                                       \
	OK "{\"State\":{\"Status\":\"" state "\",\"Running\":true,\"Health\":{\"Status\":"         \
	   "\"" health "\"}},\"Config\":{\"StopTimeout\":3}}"
#define DONE "HTTP/1.0 204 No Content\r\n\r\n"
#define FAILED "HTTP/1.0 500 no\r\n\r\n{\"message\":\"port is taken\"}"
#define GONE "HTTP/1.0 404 no\r\n\r\n{\"message\":\"no such container\"}"

#define WEB_LISTED                                                                                 \
	{                                                                                          \
		LIST, OK "[" LISTED("web1", "web", SICK, "") "]", FAKE_CLOSE, 0                    \
	}
#define WEB_IS_SICK                                                                                \
	{                                                                                          \
		INSPECT("web1"), STATE("running", "unhealthy"), FAKE_CLOSE, 0                      \
	}

enum { S = 1000, MIN = 60 * S, CONTAINERS = 8, NOT_DUE = -1 };

struct fixture {
	struct loop *loop;
	struct loop_timer *limit, *poll;
	struct fake_engine *engine;
	struct healer *healer;
	struct loop_timer *timer; ///< The healer's.
	int64_t due_ms;           ///< So far from `now_ms` it is; NOT_DUE.
	uint64_t now_ms;
	unsigned generation, idle, changed;
	enum monitor_sight sight;
	struct monitor_container containers[CONTAINERS];
	size_t n;
	char begun[8 * CONTAINERS], ended[8 * CONTAINERS]; ///< IDs, each with a blank.
	uint64_t limit_ms, hold_ms;
	bool hurries; ///< The time for which a task waits is over at once.
	unsigned holds;
};

static struct fixture f;
static bool (*done)(void);

struct loop_timer *__real_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx);
struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx);
void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __real_loop_timer_stop(struct loop_timer *t);
void __wrap_loop_timer_stop(struct loop_timer *t);
void __real_loop_timer_destroy(struct loop_timer *t);
void __wrap_loop_timer_destroy(struct loop_timer *t);
uint64_t __wrap_lm_clock_mono_ms(void);
enum monitor_sight __wrap_monitor_sight(const struct monitor *m);
void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx);
void __wrap_monitor_begin_restart(struct monitor *m, const char *id, uint64_t limit_ms);
void __wrap_monitor_end_restart(struct monitor *m, const char *id);

struct loop_timer *__wrap_loop_timer_create(struct loop *loop, loop_cb *cb, void *ctx)
{
	struct loop_timer *t = __real_loop_timer_create(loop, cb, ctx);

	if (!f.healer)
		f.timer = t; // the last one before healer_create returns
	return t;
}

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	bool is_hold = f.hurries && delay_ms == 2 * MIN;

	f.holds += is_hold;
	if (is_hold)
		f.hold_ms = delay_ms;
	if (t == f.timer)
		f.due_ms = (int64_t)delay_ms;
	else
		__real_loop_timer_start(t, is_hold ? 1 : delay_ms, repeat_ms);
}

void __wrap_loop_timer_stop(struct loop_timer *t)
{
	if (t == f.timer)
		f.due_ms = NOT_DUE;
	__real_loop_timer_stop(t);
}

void __wrap_loop_timer_destroy(struct loop_timer *t)
{
	if (t == f.timer)
		f.timer = NULL;
	__real_loop_timer_destroy(t);
}

uint64_t __wrap_lm_clock_mono_ms(void)
{
	return f.now_ms;
}

enum monitor_sight __wrap_monitor_sight(const struct monitor *m)
{
	(void)m;
	return f.sight;
}

void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx)
{
	(void)m;
	for (size_t i = 0; i < f.n; i++)
		each(ctx, &f.containers[i]);
}

static void note(char *list, const char *id)
{
	(void)snprintf(list + strlen(list), 8 * CONTAINERS - strlen(list), "%s ", id);
}

void __wrap_monitor_begin_restart(struct monitor *m, const char *id, uint64_t limit_ms)
{
	(void)m;
	note(f.begun, id);
	f.limit_ms = limit_ms;
}

void __wrap_monitor_end_restart(struct monitor *m, const char *id)
{
	(void)m;
	note(f.ended, id);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 30 s");
}

static void on_poll(void *ctx)
{
	(void)ctx;
	if (done())
		loop_stop(f.loop);
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){
		.sight = MONITOR_SEES, .generation = 3, .now_ms = 1000, .due_ms = NOT_DUE};
	if (loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	f.limit = __real_loop_timer_create(f.loop, too_long, NULL);
	f.poll = __real_loop_timer_create(f.loop, on_poll, NULL);
	__real_loop_timer_start(f.limit, 30000, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	healer_destroy(f.healer);
	if (f.engine)
		fake_engine_destroy(f.engine);
	__real_loop_timer_destroy(f.limit);
	__real_loop_timer_destroy(f.poll);
	loop_destroy(f.loop);
	return 0;
}

static unsigned on_generation(void *ctx)
{
	(void)ctx;
	return f.generation;
}

static void on_idle(void *ctx)
{
	(void)ctx;
	assert_false(healer_is_busy(f.healer));
	f.idle++;
}

static void on_changed(void *ctx)
{
	(void)ctx;
	f.changed++;
}

static void start(const struct fake_answer *answers, size_t n)
{
	const struct healer_callbacks callbacks = {
		.generation = on_generation, .idle = on_idle, .changed = on_changed};

	f.engine = fake_engine_create(answers, n);
	f.healer = healer_create(f.loop, f.engine->path, "app", NULL, &callbacks);
}

static void wait_for(bool (*condition)(void))
{
	done = condition;
	__real_loop_timer_start(f.poll, 0, 1);
	loop_run(f.loop);
	__real_loop_timer_stop(f.poll);
}

/// One container more, which the monitor sees running.
static void add(const char *id, const char *service, enum engine_health health)
{
	assert_true(f.n < CONTAINERS);
	f.containers[f.n++] = (struct monitor_container){.id = id,
		.name = id,
		.service = service,
		.image = "",
		.state = "running",
		.health = health};
}

/// What the monitor sees of the first container from now on.
static void turn(const char *state, enum engine_health health)
{
	f.containers[0].state = state;
	f.containers[0].health = health;
	healer_look(f.healer);
}

static bool is_settled(void)
{
	return f.due_ms != NOT_DUE;
}

static bool is_changed(void)
{
	return f.changed > 0;
}

/// The timer fires when it is due, after that time.
static void fire_after(int64_t due_ms)
{
	assert_int_equal(f.due_ms, due_ms);
	f.now_ms += (uint64_t)due_ms;
	f.due_ms = NOT_DUE;
	f.changed = 0;
	__real_loop_timer_start(f.timer, 0, 0);
}

static unsigned count_requests(const char *request)
{
	unsigned n = 0;

	fake_engine_stop(f.engine);
	for (size_t i = 0; i < f.engine->requests_n; i++)
		n += strncmp(f.engine->requests[i], request, strlen(request)) == 0;
	return n;
}

/// The one service in healer_to_json has that many restarts, and this error.
static void assert_shown(int restarts, const char *error)
{
	lm_auto_json json_t *list = healer_to_json(f.healer);
	const json_t *shown = json_array_get(list, 0);

	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_get_text(shown, "service"), "web");
	assert_int_equal(json_get_int(shown, "restarts", -1), restarts);
	assert_int_equal(json_is_integer(json_object_get(shown, "last_ms")), restarts > 0);
	if (error)
		assert_string_equal(json_get_text(shown, "error"), error);
	else
		assert_true(json_is_null(json_object_get(shown, "error")));
}

static void restarts_a_container_that_stays_unhealthy(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_HEALTHY);
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
	turn("running", ENGINE_UNHEALTHY);
	fire_after(10 * S);
	wait_for(is_changed);
	assert_string_equal(f.begun, "web1 ");
	assert_int_equal(f.limit_ms, 3 * S + 60 * S); // its own grace, and a minute
	assert_string_equal(f.ended, "");             // the monitor sees it start
	assert_int_equal(f.idle, 1);
	assert_shown(1, NULL);
	assert_int_equal(healer_restarts(f.healer)->n, 1);
	assert_string_equal(healer_restarts(f.healer)->items[0].service, "web");
	assert_int_equal(healer_restarts(f.healer)->items[0].n, 1);
	turn("running", ENGINE_HEALTH_NONE);
	assert_int_equal(f.due_ms, NOT_DUE);
	assert_int_equal(count_requests(RESTART("web1")), 1);
}

/// Restarts it that often, with a pause of the first length, then of twice that, and so on.
static void restart_often(unsigned n, int64_t pause_ms)
{
	for (unsigned i = 0; i < n; i++) {
		turn("running", ENGINE_UNHEALTHY);
		fire_after(pause_ms);
		wait_for(is_changed);
		turn("running", ENGINE_HEALTH_STARTING);
		pause_ms = pause_ms * 2 < 10 * MIN ? pause_ms * 2 : 10 * MIN;
	}
}

static void pauses_double_up_to_ten_minutes(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	restart_often(9, 10 * S); // 10, 20, 40, 80, 160, 320, 600, 600, 600
	assert_shown(9, NULL);
}

static void pauses_begin_anew_after_ten_healthy_minutes(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	restart_often(2, 10 * S);
	turn("running", ENGINE_HEALTHY);
	f.now_ms += 10 * MIN - 1;
	turn("running", ENGINE_UNHEALTHY);
	assert_int_equal(f.due_ms, 40 * S);
	turn("running", ENGINE_HEALTHY);
	assert_int_equal(f.due_ms, NOT_DUE);
	f.now_ms += 10 * MIN;
	turn("running", ENGINE_UNHEALTHY);
	assert_int_equal(f.due_ms, 10 * S);
}

static void what_the_engine_finds_healthy_is_left_alone(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, {INSPECT("web1"), STATE("running", "healthy"), FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_changed);
	assert_string_equal(f.begun, "");
	assert_int_equal(count_requests(INSPECT("web1")), 1);
}

static void only_the_applications_own_containers_are_restarted(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION,
		{LIST,
			OK "[" LISTED("run1", "web", SICK,
				",\"com.docker.compose.oneoff\":\"True\"") "," LISTED("bare1", "",
				SICK, "") "," LISTED("web2", "web", "Up 2 minutes (healthy)",
				"") ","
				    "{\"Id\":\"other1\",\"Names\":[\"/"
				    "o\"],\"State\":\"running\",\"Status\":\"" SICK
				    "\",\"Labels\":{\"com.docker.compose.project\":\"other\","
				    "\"com.docker.compose.service\":\"web\"}}]",
			FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("run1", "web", ENGINE_UNHEALTHY);
	f.containers[0].oneoff = true;
	add("bare1", "", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
	add("web1", "web", ENGINE_UNHEALTHY); // and it is gone when the list comes
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_settled);
	assert_string_equal(f.begun, "");
	assert_int_equal(count_requests(LIST), 1);
	assert_int_equal(f.engine->requests_n, 2);
}

static void waits_while_a_task_works_on_the_application(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, WEB_LISTED,
		{INSPECT("web1"), STATE("running", "unhealthy"), FAKE_HANG, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	f.generation = 0;
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
	f.generation = 3;
	healer_look(f.healer);
	fire_after(10 * S);
	f.generation = 0; // before the list comes
	healer_look(f.healer);
	f.generation = 3;
	healer_look(f.healer);
	assert_int_equal(f.due_ms, 10 * S); // stays unhealthy from now on
	assert_string_equal(f.begun, "");
}

/// Requests that the engine has read and not answered.
static size_t count_hanging(void)
{
	(void)pthread_mutex_lock(&f.engine->lock);
	size_t n = f.engine->hanging_n;
	(void)pthread_mutex_unlock(&f.engine->lock);
	return n;
}

static bool is_inspecting(void)
{
	return count_hanging() > 0;
}

static void a_task_that_begins_stops_what_has_not_begun(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, {INSPECT("web1"), OK "{", FAKE_HANG, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_inspecting);
	assert_false(healer_is_busy(f.healer));
	f.generation = 0;
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
	assert_int_equal(count_requests(RESTART("web1")), 0);
	assert_string_equal(f.begun, "");
}

static bool are_four_begun(void)
{
	return count_hanging() == 4;
}

static bool are_six_begun(void)
{
	return strlen(f.begun) >= strlen("web1 ") * 6 && !healer_is_busy(f.healer);
}

static void restarts_four_at_a_time_and_a_task_waits_for_them(void **state)
{
	(void)state;
	static const char *const ids[] = {"web1", "web2", "web3", "web4", "web5", "web6"};
	const struct fake_answer answers[] = {VERSION,
		{LIST,
			OK "[" LISTED("web1", "web", SICK, "") "," LISTED(
				"web2", "web", SICK, "") "," LISTED("web3", "web", SICK,
				"") "," LISTED("web4", "web", SICK, "") "," LISTED("web5", "web",
				SICK, "") "," LISTED("web6", "web", SICK, "") "]",
			FAKE_CLOSE, 0},
		{"GET /v1.41/containers/web", STATE("running", "unhealthy"), FAKE_CLOSE, 0},
		{"POST /v1.41/containers/web", "", FAKE_HANG, 4},
		{"POST /v1.41/containers/web", DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	for (size_t i = 0; i < LM_ARRAY_SIZE(ids); i++)
		add(ids[i], "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(are_four_begun);
	assert_int_equal(strlen(f.begun), 4 * strlen("web1 "));
	assert_null(strstr(f.begun, "web5"));
	assert_null(strstr(f.begun, "web6"));
	assert_true(healer_is_busy(f.healer));
	assert_int_equal(f.due_ms, NOT_DUE);
	// All in one round: the pause that follows is that of one restart.
	for (int i = 0; i < 4; i++) {
		char request[64];

		(void)snprintf(request, sizeof(request), "POST /v1.41/containers/%s/", ids[i]);
		fake_engine_push(f.engine, request, DONE);
		fake_engine_push(f.engine, request, NULL);
	}
	wait_for(are_six_begun);
	assert_int_equal(strlen(f.begun), 6 * strlen("web1 "));
	assert_non_null(strstr(f.begun, "web5"));
	assert_non_null(strstr(f.begun, "web6"));
	assert_true(f.idle >= 1);
	wait_for(is_settled);
	assert_int_equal(f.due_ms, 20 * S);
	assert_shown(6, NULL);
}

static void a_restart_that_fails_is_tried_again_though_the_container_is_stopped(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, WEB_LISTED,
		{INSPECT("web1"), STATE("running", "unhealthy"), FAKE_CLOSE, 1},
		{RESTART("web1"), FAILED, FAKE_CLOSE, 1},
		{INSPECT("web1"), STATE("exited", "unhealthy"), FAKE_CLOSE, 1},
		{RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_settled);
	assert_shown(0, "restart a container: the Docker daemon answers: port is taken");
	assert_string_equal(f.ended, "web1 ");
	assert_int_equal(healer_restarts(f.healer)->n, 0);
	turn("exited", ENGINE_HEALTH_NONE);
	fire_after(20 * S);
	wait_for(is_changed);
	assert_string_equal(f.begun, "web1 web1 ");
	assert_shown(1, NULL);
	assert_int_equal(f.due_ms, NOT_DUE);
}

static void what_failed_is_not_forgotten_while_the_engine_is_away_or_a_plan_is_made(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, WEB_LISTED,
		{INSPECT("web1"), STATE("running", "unhealthy"), FAKE_CLOSE, 0},
		{RESTART("web1"), FAILED, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_settled);
	f.sight = MONITOR_LOST;
	turn("exited", ENGINE_HEALTH_NONE);
	assert_int_equal(f.due_ms, NOT_DUE);
	f.sight = MONITOR_SEES;
	f.generation = 0;
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
	f.generation = 3;
	healer_look(f.healer);
	assert_int_equal(f.due_ms, 20 * S);
	f.generation = 4; // another one has started its own containers
	healer_look(f.healer);
	assert_int_equal(f.due_ms, NOT_DUE);
}

static void a_container_that_is_gone_is_no_failure(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), GONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	f.n = 0;
	fire_after(10 * S);
	wait_for(is_changed);
	assert_int_equal(f.due_ms, NOT_DUE);
	lm_auto_json json_t *list = healer_to_json(f.healer);
	assert_int_equal(json_array_size(list), 0);
	assert_string_equal(f.ended, "web1 ");
}

static void an_engine_that_does_not_answer_is_asked_again(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, FAILED, FAKE_CLOSE, 1}, WEB_LISTED,
		WEB_IS_SICK, {RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_settled);
	fire_after(10 * S);
	wait_for(is_changed);
	assert_shown(1, NULL);
}

static void another_generation_begins_anew(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), DONE, FAKE_CLOSE, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	restart_often(3, 10 * S);
	f.generation = 4;
	turn("running", ENGINE_UNHEALTHY);
	assert_int_equal(f.due_ms, 10 * S);
	assert_shown(0, NULL);
	assert_int_equal(healer_restarts(f.healer)->items[0].n, 3); // of the program
}

static bool is_idle(void)
{
	return f.idle > 0;
}

static void a_task_does_not_wait_for_ever(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), "HTTP", FAKE_HANG, 0}};

	f.hurries = true;
	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_inspecting); // the restart hangs
	assert_true(healer_is_busy(f.healer));
	f.generation = 0;
	healer_look(f.healer);
	healer_look(f.healer); // the two minutes go on
	assert_int_equal(f.hold_ms, 2 * MIN);
	assert_int_equal(f.holds, 1);
	wait_for(is_idle);
	assert_false(healer_is_busy(f.healer));
	assert_string_equal(f.ended, ""); // it may still come
}

static void destroyed_while_everything_is_under_way(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, WEB_LISTED, WEB_IS_SICK, {RESTART("web1"), "HTTP", FAKE_HANG, 0}};

	start(answers, LM_ARRAY_SIZE(answers));
	add("web1", "web", ENGINE_UNHEALTHY);
	healer_look(f.healer);
	fire_after(10 * S);
	wait_for(is_inspecting); // the restart hangs
	healer_destroy(f.healer);
	f.healer = NULL;
	assert_string_equal(f.begun, "web1 ");
	assert_string_equal(f.ended, ""); // the engine goes on with it
	assert_int_equal(f.idle, 0);
	healer_look(NULL);
	assert_false(healer_is_busy(NULL));
}

#define HEALER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEALER_TEST(restarts_a_container_that_stays_unhealthy),
		HEALER_TEST(pauses_double_up_to_ten_minutes),
		HEALER_TEST(pauses_begin_anew_after_ten_healthy_minutes),
		HEALER_TEST(what_the_engine_finds_healthy_is_left_alone),
		HEALER_TEST(only_the_applications_own_containers_are_restarted),
		HEALER_TEST(waits_while_a_task_works_on_the_application),
		HEALER_TEST(a_task_that_begins_stops_what_has_not_begun),
		HEALER_TEST(restarts_four_at_a_time_and_a_task_waits_for_them),
		HEALER_TEST(a_restart_that_fails_is_tried_again_though_the_container_is_stopped),
		HEALER_TEST(
			what_failed_is_not_forgotten_while_the_engine_is_away_or_a_plan_is_made),
		HEALER_TEST(a_container_that_is_gone_is_no_failure),
		HEALER_TEST(an_engine_that_does_not_answer_is_asked_again),
		HEALER_TEST(another_generation_begins_anew),
		HEALER_TEST(a_task_does_not_wait_for_ever),
		HEALER_TEST(destroyed_while_everything_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
