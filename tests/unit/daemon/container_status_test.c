// SPDX-License-Identifier: Apache-2.0
#include "daemon/container_status.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define VERSION                                                                                    \
	{                                                                                          \
		"GET /version ", OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}",          \
			FAKE_CLOSE                                                                 \
	}
#define LIST "GET /v1.41/containers/json?"
#define LABELS(service)                                                                            \
	"\"Labels\":{\"com.docker.compose.project\":\"app\",\"com.docker.compose.service\":"       \
	"\"" service "\"}"
#define ITEM(id, service, state, status)                                                           \
	"{\"Id\":\"" id "\",\"Names\":[\"/" service "-1\"],\"Image\":\"img\",\"State\":\"" state   \
	"\",\"Status\":\"" status "\"," LABELS(service) "}"
#define INSPECT(id, state)                                                                         \
	{                                                                                          \
		"GET /v1.41/containers/" id "/json ",                                              \
			OK "{\"RestartCount\":4,\"State\":" state "}", FAKE_CLOSE                  \
	}

struct fixture {
	struct loop *loop;
	struct loop_timer *limit;
	struct fake_engine *engine;
	struct container_status *lines;
	const struct monitor *monitor; ///< Only its revision is asked for.
	uint64_t revision;
	uint64_t mono_ms, wait_ms; ///< The clock, and what passes with each line.
	bool happens;              ///< Something, at each line.
	int stop_after;            ///< Lines.
	int n;
	char text[16][512];
	enum lm_level levels[16];
};

static struct fixture f;
static uint64_t frequency_ms;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

/// The frequency is seen, and hurried.
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	if (repeat_ms)
		frequency_ms = repeat_ms;
	__real_loop_timer_start(t, repeat_ms ? 1 : delay_ms, repeat_ms ? 1 : 0);
}

uint64_t __wrap_monitor_revision(const struct monitor *m);
uint64_t __wrap_lm_clock_mono_ms(void);
int64_t __wrap_lm_clock_wall_ms(void);

uint64_t __wrap_lm_clock_mono_ms(void)
{
	return f.mono_ms;
}

int64_t __wrap_lm_clock_wall_ms(void)
{
	return 1597153144909; // 2020-08-11T13:39:04.909Z
}

uint64_t __wrap_monitor_revision(const struct monitor *m)
{
	assert_ptr_equal(m, f.monitor);
	return f.revision;
}

static void take_line(void *ctx, enum lm_level level, struct lm_str line)
{
	const char *message = memchr(line.p, ',', line.n);

	(void)ctx;
	assert_true(f.n < 16);
	f.levels[f.n] = level;
	(void)snprintf(f.text[f.n], sizeof(f.text[0]), "%.*s",
		(int)(line.p + line.n - 1 - (message + 1)), message + 1);
	f.revision += f.happens;
	f.mono_ms += f.wait_ms;
	if (++f.n == f.stop_after)
		loop_stop(f.loop);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 30 s");
}

static int setup(void **state)
{
	f = (struct fixture){.stop_after = 1, .mono_ms = 1000};
	frequency_ms = 0;
	if (loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, 30000, 0);
	lm_log_set_sink(take_line, NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lm_log_set_sink(NULL, NULL);
	container_status_destroy(f.lines);
	if (f.engine)
		fake_engine_destroy(f.engine);
	loop_timer_destroy(f.limit);
	loop_destroy(f.loop);
	return 0;
}

/// Until that many lines were written.
static void run(const struct fake_answer *answers, size_t n, int lines)
{
	f.engine = fake_engine_create(answers, n);
	f.lines = container_status_create(f.loop, f.engine->path, "app", f.monitor);
	f.stop_after = lines;
	container_status_set_frequency(f.lines, 300);
	loop_run(f.loop);
	container_status_set_frequency(f.lines, 0);
	fake_engine_stop(f.engine);
}

static size_t requests(const char *prefix)
{
	size_t found = 0;

	for (size_t i = 0; i < f.engine->requests_n; i++)
		found += strncmp(f.engine->requests[i], prefix, strlen(prefix)) == 0;
	return found;
}

static void one_line_a_container_by_service(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION,
		{LIST,
			OK "[" ITEM("c2", "web", "running", "Up 5 minutes (healthy)") "," ITEM(
				"c1", "db", "exited", "Exited (3) 1 second ago") "]",
			FAKE_CLOSE},
		INSPECT("c1", "{\"ExitCode\":3,\"StartedAt\":\"2020-08-11T13:39:04Z\"}"),
		INSPECT("c2", "{\"Running\":true,\"StartedAt\":\"2999-08-11T13:39:04Z\"}")};

	run(answers, 4, 2);
	assert_int_equal(frequency_ms, 300000);
	assert_int_equal(f.levels[0], LM_INFO);
	assert_string_equal(f.text[0],
		"container status: service=db name=db-1 image=img state=exited health=none "
		"restarts=4 exit_code=3 uptime_s=-");
	assert_string_equal(f.text[1],
		"container status: service=web name=web-1 image=img state=running health=healthy "
		"restarts=4 exit_code=- uptime_s=0");
}

/// One container that runs.
static const struct fake_answer quiet[] = {VERSION,
	{LIST, OK "[" ITEM("c1", "web", "running", "Up 5 minutes") "]", FAKE_CLOSE},
	INSPECT("c1", "{\"Running\":true,\"StartedAt\":\"2020-08-11T13:39:04Z\"}")};

/// It is removed before it can be inspected.
static const struct fake_answer gone[] = {VERSION,
	{LIST, OK "[" ITEM("c1", "web", "running", "Up 5 minutes") "]", FAKE_CLOSE},
	{"GET /v1.41/containers/c1/json ",
		"HTTP/1.0 404 no\r\n\r\n{\"message\":\"No such container: c1\"}", FAKE_CLOSE}};

static void an_application_that_runs_costs_one_request(void **state)
{
	(void)state;
	run(quiet, 3, 5);
	assert_int_equal(requests("GET /version"), 1);
	assert_int_equal(requests("GET /v1.41/containers/c1/json"), 1);
	for (int i = 0; i < 5; i++)
		assert_non_null(strstr(f.text[i], " restarts=4 "));
}

static void nothing_is_asked_while_nothing_happens(void **state)
{
	(void)state;
	f.monitor = (const struct monitor *)&f;
	f.revision = 7;
	run(quiet, 3, 5);
	assert_int_equal(requests(LIST), 1);
	assert_int_equal(requests("GET /v1.41/containers/c1/json"), 1);
	assert_non_null(strstr(f.text[4], " state=running health=none restarts=4 "));
}

static void once_something_happened_the_list_is_asked_for(void **state)
{
	(void)state;
	f.monitor = (const struct monitor *)&f;
	f.revision = 7;
	f.happens = true;
	run(quiet, 3, 5);
	assert_true(requests(LIST) >= 5);
}

static void while_the_monitor_sees_nothing_the_list_is_asked_for(void **state)
{
	(void)state;
	f.monitor = (const struct monitor *)&f;
	run(quiet, 3, 5);
	assert_true(requests(LIST) >= 5);
}

static void a_row_with_unknown_values_is_requested(void **state)
{
	(void)state;
	f.monitor = (const struct monitor *)&f;
	f.revision = 7;
	run(gone, 3, 3);
	assert_true(requests(LIST) >= 3);
}

static void what_keeps_restarting_is_asked_for_each_time(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION,
		{LIST, OK "[" ITEM("c1", "web", "restarting", "Restarting (1) 2 minutes ago") "]",
			FAKE_CLOSE},
		INSPECT("c1", "{\"ExitCode\":1,\"StartedAt\":\"2020-08-11T13:39:04Z\"}")};

	run(answers, 3, 3);
	assert_true(requests("GET /v1.41/containers/c1/json") >= 3);
	assert_non_null(strstr(f.text[2], " state=restarting health=none restarts=4 exit_code=1 "));
}

static void a_container_removed_meanwhile_keeps_the_state_of_the_list(void **state)
{
	(void)state;
	run(gone, 3, 1);
	assert_non_null(strstr(f.text[0], " restarts=- exit_code=- uptime_s=300"));
}

static void without_containers_one_line_is_logged(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, OK "[]", FAKE_CLOSE}};

	run(answers, 2, 1);
	assert_string_equal(f.text[0], "container status: the application has no containers");
}

static char link_path[80];

static void bring_back(void *ctx)
{
	(void)ctx;
	assert_int_equal(symlink(f.engine->path, link_path), 0);
}

static void an_engine_that_is_away_and_its_return_are_logged_once(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION, {LIST, OK "[]", FAKE_CLOSE}};

	f.engine = fake_engine_create(answers, 2);
	(void)snprintf(link_path, sizeof(link_path), "%s/away", f.engine->dir);
	f.lines = container_status_create(f.loop, link_path, "app", NULL);
	container_status_set_frequency(f.lines, 1);
	loop_run(f.loop);
	// It is asked many times in vain before it comes back.
	struct loop_timer *later = loop_timer_create(f.loop, bring_back, NULL);
	loop_timer_start(later, 30, 0);
	f.stop_after = 3;
	loop_run(f.loop);
	loop_timer_destroy(later);
	assert_int_equal(unlink(link_path), 0);
	assert_int_equal(f.levels[0], LM_WARN);
	assert_non_null(strstr(f.text[0], "container status: no Docker socket at "));
	assert_non_null(strstr(f.text[0], "; no status is logged until it answers"));
	assert_int_equal(f.levels[1], LM_INFO);
	assert_string_equal(f.text[1], "container status: the Docker daemon answers again");
	assert_string_equal(f.text[2], "container status: the application has no containers");
}

static void stop_loop(void *ctx)
{
	(void)ctx;
	loop_stop(f.loop);
}

static void nothing_is_asked_without_a_frequency(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {VERSION};

	f.engine = fake_engine_create(answers, 1);
	f.lines = container_status_create(f.loop, f.engine->path, "app", NULL);
	container_status_set_frequency(f.lines, 0);
	container_status_set_frequency(f.lines, 9999);
	assert_int_equal(frequency_ms, 9999000);
	container_status_set_frequency(f.lines, 0);
	// A timer that still ran would be due first.
	struct loop_timer *later = loop_timer_create(f.loop, stop_loop, NULL);
	loop_timer_start(later, 20, 0);
	loop_run(f.loop);
	loop_timer_destroy(later);
	fake_engine_stop(f.engine);
	assert_int_equal(f.engine->requests_n, 0);
	assert_int_equal(f.n, 0);
}

#define STATUS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/// A line of one container: an item of a list, and its inspection, NULL if it is gone by then.
static void assert_line(const char *item, const char *inspection, const char *expected)
{
	char list[512], state[256];
	const struct fake_answer answers[] = {VERSION, {LIST, list, FAKE_CLOSE},
		{"GET /v1.41/containers/c1/json ", state, FAKE_CLOSE}};

	(void)snprintf(list, sizeof(list), OK "[{\"Id\":\"c1\",%s}]", item);
	(void)snprintf(state, sizeof(state), "%s%s", inspection ? OK : "HTTP/1.0 404 no\r\n\r\n",
		inspection ? inspection : "{}");
	run(answers, 3, 1);
	assert_string_equal(f.text[0], expected);
}

#define WEB "\"Names\":[\"/app_web_1\"],\"Image\":\"localhost:5000/web:1\"," LABELS("web") ","
#define LINE "container status: service=web name=app_web_1 image=localhost:5000/web:1 state="

static void a_container_that_runs(void **state)
{
	(void)state;
	assert_line(WEB "\"State\":\"running\",\"Status\":\"Up About an hour (healthy)\"",
		"{\"RestartCount\":2,\"State\":{\"Running\":true,\"StartedAt\":"
		"\"2020-08-11T12:32:23.910Z\"}}",
		LINE "running health=healthy restarts=2 exit_code=- uptime_s=4000");
}

static void a_container_that_has_exited(void **state)
{
	(void)state;
	assert_line(WEB "\"State\":\"exited\",\"Status\":\"Exited (137) 5 minutes ago\"",
		"{\"RestartCount\":0,\"State\":{\"ExitCode\":137,\"StartedAt\":"
		"\"2020-08-11T13:39:04.908Z\"}}",
		LINE "exited health=none restarts=0 exit_code=137 uptime_s=-");
}

static void unknown_values_are_a_dash_and_the_uptime_is_the_least_possible(void **state)
{
	(void)state;
	assert_line(WEB "\"State\":\"running\",\"Status\":\"Up 5 minutes (health: starting)\"",
		NULL, LINE "running health=starting restarts=- exit_code=- uptime_s=300");
}

static void a_dead_container_has_no_uptime(void **state)
{
	(void)state;
	assert_line(WEB "\"State\":\"dead\",\"Status\":\"Dead\"", NULL,
		LINE "dead health=none restarts=- exit_code=- uptime_s=-");
}

static void a_clock_that_was_set_back_makes_no_negative_uptime(void **state)
{
	(void)state;
	assert_line(WEB "\"State\":\"running\",\"Status\":\"Up 5 minutes\"",
		"{\"RestartCount\":0,\"State\":{\"Running\":true,\"StartedAt\":"
		"\"2020-08-11T13:39:04.910Z\"}}",
		LINE "running health=none restarts=0 exit_code=- uptime_s=0");
}

static void values_of_others_cannot_look_like_fields(void **state)
{
	(void)state;
	assert_line("\"Names\":[],\"Image\":\"a\\nb\"," LABELS(
			    "x state=running \\\"y") ","
						     "\"State\":\"created\",\"Status\":\"Created\"",
		NULL,
		"container status: service=\"x state=running 'y\" name=- image=a\\x0ab "
		"state=created "
		"health=none restarts=- exit_code=- uptime_s=-");
}

/// What was inspected five minutes ago.
static void fresh_is_what_has_not_changed_since(void **state)
{
	static const struct {
		const char *before, *now, *status;
		bool is_fresh;
	} cases[] = {
		{"running", "running", "Up 5 minutes", true},
		{"running", "running", "Up 4 minutes (healthy)", false},
		{"running", "exited", "Exited (0) 10 minutes ago", false},
		{"exited", "exited", "Exited (1) 5 minutes ago", true},
		{"exited", "exited", "Exited (1) 4 minutes ago", false},
		{"restarting", "restarting", "Restarting (1) 5 minutes ago", false},
		{"created", "created", "Created", true},
		{"running", "running", "", false},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		char first[512], second[512];
		const struct fake_answer answers[] = {VERSION, {LIST, first, FAKE_CLOSE, 1},
			{LIST, second, FAKE_CLOSE}, INSPECT("c1", "{}")};

		if (i > 0)
			assert_int_equal(teardown(state) | setup(state), 0);
		(void)snprintf(first, sizeof(first),
			OK "[{\"Id\":\"c1\"," WEB "\"State\":\"%s\",\"Status\":\"\"}]",
			cases[i].before);
		(void)snprintf(second, sizeof(second),
			OK "[{\"Id\":\"c1\"," WEB "\"State\":\"%s\",\"Status\":\"%s\"}]",
			cases[i].now, cases[i].status);
		f.wait_ms = 300000;
		run(answers, 4, 2);
		assert_int_equal(
			requests("GET /v1.41/containers/c1/json"), cases[i].is_fresh ? 1 : 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATUS_TEST(one_line_a_container_by_service),
		STATUS_TEST(an_application_that_runs_costs_one_request),
		STATUS_TEST(nothing_is_asked_while_nothing_happens),
		STATUS_TEST(once_something_happened_the_list_is_asked_for),
		STATUS_TEST(while_the_monitor_sees_nothing_the_list_is_asked_for),
		STATUS_TEST(a_row_with_unknown_values_is_requested),
		STATUS_TEST(what_keeps_restarting_is_asked_for_each_time),
		STATUS_TEST(a_container_removed_meanwhile_keeps_the_state_of_the_list),
		STATUS_TEST(without_containers_one_line_is_logged),
		STATUS_TEST(an_engine_that_is_away_and_its_return_are_logged_once),
		STATUS_TEST(nothing_is_asked_without_a_frequency),
		STATUS_TEST(a_container_that_runs),
		STATUS_TEST(a_container_that_has_exited),
		STATUS_TEST(unknown_values_are_a_dash_and_the_uptime_is_the_least_possible),
		STATUS_TEST(a_dead_container_has_no_uptime),
		STATUS_TEST(a_clock_that_was_set_back_makes_no_negative_uptime),
		STATUS_TEST(values_of_others_cannot_look_like_fields),
		STATUS_TEST(fresh_is_what_has_not_changed_since),
	};

	return cmocka_run_group_tests_name("daemon/container_status", tests, NULL, NULL);
}
