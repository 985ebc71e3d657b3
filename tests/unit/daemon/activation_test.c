// SPDX-License-Identifier: Apache-2.0
#include "daemon/activation.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "daemon/activation_order.h"
#include "docker/compose.h"
#include "fake_engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define VERSION                                                                                    \
	{                                                                                          \
		"GET /version ", OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}",          \
			FAKE_CLOSE                                                                 \
	}
#define LIST "GET /v1.41/containers/json?"
#define ONE                                                                                        \
	OK "[{\"Id\":\"c1\",\"Names\":[\"/app_web_1\"],\"State\":\"running\","                     \
	   "\"Status\":\"Up 2 minutes\",\"Labels\":{\"com.docker.compose.project\":"               \
	   "\"" COMPOSE_PROJECT "\",\"com.docker.compose.service\":\"web\"}}]"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };
enum { ENGINE_MS = 10 * 1000 }; ///< So long container_list.h waits.
/// 2026-11-30 12:00 UTC.
static const int64_t NOON_MS = 1796040000000;

static char NIGHT[] = "02:00-03:00", NOW[] = "11:00-13:00", SOON[] = "13:30-14:00";

static const struct fake_answer RUNS[] = {VERSION, {LIST, ONE, FAKE_CLOSE}};
static const struct fake_answer RUNS_NOTHING[] = {VERSION, {LIST, OK "[]", FAKE_CLOSE}};

/// What lightermand is around it.
static struct fixture {
	char folder[64];
	char *file; ///< The HoldFile.
	struct host_settings host;
	struct loop *loop;
	struct loop_timer *limit;
	struct fake_engine *engine;
	struct activation *activation;
	int64_t wall_ms;
	uint64_t mono_ms;
	bool is_busy; ///< May not act.
	unsigned waits, goes_on, done;
	char message[512];
	struct lm_err why;
	unsigned stop_after_changes;
} f;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
uint64_t __wrap_lm_clock_mono_ms(void);
int64_t __wrap_lm_clock_wall_ms(void);

void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	bool is_real = t == f.limit || delay_ms == ENGINE_MS || delay_ms < 5;

	__real_loop_timer_start(t, is_real ? delay_ms : 5, repeat_ms);
}

uint64_t __wrap_lm_clock_mono_ms(void)
{
	return f.mono_ms;
}

int64_t __wrap_lm_clock_wall_ms(void)
{
	return f.wall_ms;
}

static void pass(int64_t ms)
{
	f.wall_ms += ms;
	f.mono_ms += (uint64_t)ms;
}

static void on_waits(void *ctx, bool waits)
{
	(void)ctx;
	f.waits += waits;
	f.goes_on += !waits;
}

static void on_changed(void *ctx, const char *message)
{
	(void)ctx;
	(void)snprintf(f.message, sizeof(f.message), "%s", message);
	if (f.stop_after_changes > 0 && --f.stop_after_changes == 0)
		loop_stop(f.loop);
}

static bool may_act(void *ctx)
{
	(void)ctx;
	if (f.is_busy)
		loop_stop(f.loop);
	return !f.is_busy;
}

static void on_done(void *ctx, const struct lm_err *why)
{
	(void)ctx;
	f.done++;
	f.why = why ? *why : (struct lm_err){LM_OK};
	loop_stop(f.loop);
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happens");
}

static void create(void)
{
	f.activation = activation_create(f.loop, &f.host,
		&(struct activation_events){
			.waits = on_waits, .changed = on_changed, .may_act = may_act});
}

static int setup(void **state)
{
	lm_auto_json json_t *empty = json_object();

	f = (struct fixture){
		.folder = "/tmp/activation_test.XXXXXX", .wall_ms = NOON_MS, .mono_ms = 1000};
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	assert_non_null(mkdtemp(f.folder));
	f.file = lm_path_join(f.folder, "hold");
	assert_int_equal(host_from_json(empty, &f.host, NULL), LM_OK);
	free(f.host.state_directory);
	f.host.state_directory = lm_xstrdup(f.folder);
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, 20000, 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	activation_destroy(f.activation);
	if (f.engine)
		fake_engine_destroy(f.engine);
	loop_timer_destroy(f.limit);
	loop_destroy(f.loop);
	host_finish(&f.host);
	free(f.file);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

static void start(const struct fake_answer *answers, size_t n)
{
	f.engine = fake_engine_create(answers, n);
	free(f.host.docker_socket);
	f.host.docker_socket = lm_xstrdup(f.engine->path);
	create();
}

static void begin(struct connector_policy policy, bool may_wait, bool now)
{
	const struct activation_terms terms = {
		.generation = 3, .policy = &policy, .may_wait = may_wait, .now = now};

	activation_begin(f.activation, &terms);
}

static bool hold(void)
{
	return activation_hold(f.activation, on_done, NULL);
}

/// Until it waits for that.
static struct activation_view run_until_wait(enum activation_reason reason)
{
	struct activation_view view = {0};

	f.stop_after_changes = 1;
	loop_run(f.loop);
	assert_int_equal(f.done, 0);
	assert_true(activation_view(f.activation, &view));
	assert_int_equal(view.reason, reason);
	assert_int_equal(view.generation, 3);
	return view;
}

static void assert_goes_on(void)
{
	struct activation_view view;

	loop_run(f.loop);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.why.rc, LM_OK);
	assert_int_equal(f.goes_on, f.waits);
	assert_false(activation_view(f.activation, &view));
	assert_false(hold()); // it was held already
}

/// Opens the HoldFile as the application does, and locks it.
static int lock_file(void)
{
	int fd = open(f.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

static void waits_for_a_window(void **state)
{
	(void)state;
	start(RUNS, 2);
	begin((struct connector_policy){.activate_at = NIGHT}, true, false);
	assert_true(hold());
	struct activation_view view = run_until_wait(ACTIVATION_WINDOW);
	assert_int_equal(view.opens_ms, NOON_MS + 14 * HOUR_MS);
	assert_int_equal(view.latest_ms, 0);
	assert_non_null(strstr(f.message,
		"generation 3 is ready and waits until Tue 2026-12-01 02:00 (ActivateAt); "
		"'lighterman deploy --now'"));
	assert_int_equal(f.waits, 1);
	pass(14 * HOUR_MS);
	assert_goes_on();
}

static void an_open_window_is_not_waited_for(void **state)
{
	(void)state;
	create(); // nobody asks the engine
	begin((struct connector_policy){.activate_at = NOW}, true, false);
	assert_false(hold());
	begin((struct connector_policy){.wait_healthy = true}, true, false);
	assert_false(hold());
}

static void what_may_not_wait_does_not(void **state)
{
	(void)state;
	create();
	begin((struct connector_policy){.activate_at = NIGHT}, false, false);
	assert_false(hold());
	begin((struct connector_policy){.activate_at = NIGHT}, true, true);
	assert_false(hold());
}

static void waits_for_a_file_and_keeps_it(void **state)
{
	(void)state;
	int fd = lock_file();

	start(RUNS, 2);
	begin((struct connector_policy){.hold_file = f.file, .activate_at = NOW}, true, false);
	assert_true(hold());
	struct activation_view view = run_until_wait(ACTIVATION_FILE);
	assert_string_equal(view.hold_file, f.file);
	assert_null(view.trouble);
	assert_non_null(strstr(f.message, "is no longer locked (HoldFile); "));
	// Its window closes meanwhile.
	pass(2 * HOUR_MS);
	(void)run_until_wait(ACTIVATION_WINDOW);
	pass(22 * HOUR_MS);
	(void)run_until_wait(ACTIVATION_FILE);
	assert_int_equal(f.waits, 1);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_goes_on();
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	activation_unlock(f.activation);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	(void)close(fd);
}

static void a_missing_file_holds_nothing(void **state)
{
	(void)state;
	start(RUNS, 2);
	begin((struct connector_policy){.hold_file = f.file}, true, false);
	assert_true(hold());
	assert_goes_on();
	assert_int_equal(f.waits, 0);
}

static void something_else_than_a_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(symlink("/etc/passwd", f.file), 0);
	start(RUNS, 2);
	begin((struct connector_policy){.hold_file = f.file}, true, false);
	assert_true(hold());
	loop_run(f.loop);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.why.rc, LM_E_INVALID);
	assert_non_null(strstr(f.why.msg, "HoldFile: '"));
}

static void waits_no_longer_than_allowed(void **state)
{
	(void)state;
	int fd = lock_file();
	struct connector_policy policy = {
		.activate_at = NIGHT, .hold_file = f.file, .activate_within_s = 7200};

	start(RUNS, 2);
	begin(policy, true, false);
	pass(HOUR_MS); // fetched and pulled
	assert_true(hold());
	struct activation_view view = run_until_wait(ACTIVATION_WINDOW);
	assert_int_equal(view.latest_ms, NOON_MS + 2 * HOUR_MS);
	// Another lightermand: the time goes on.
	activation_destroy(f.activation);
	f.waits = 0;
	create();
	begin(policy, true, false);
	assert_true(hold());
	view = run_until_wait(ACTIVATION_WINDOW);
	assert_int_equal(view.latest_ms, NOON_MS + 2 * HOUR_MS);
	// The wall clock is set.
	f.wall_ms += 30 * (int64_t)DAY_MS;
	pass(HOUR_MS - 1);
	assert_true(activation_view(f.activation, &view));
	assert_int_equal(view.latest_ms, f.wall_ms + 1);
	pass(1);
	assert_goes_on();
	(void)close(fd);
	// A success ends the order.
	struct activation_order order;
	activation_end(f.activation, true);
	assert_int_equal(activation_order_read(f.folder, NULL, &order, NULL), LM_OK);
	assert_int_equal(order.generation, 0);
}

static void a_persons_order_outlives_the_program(void **state)
{
	(void)state;
	struct connector_policy policy = {.activate_at = NIGHT};

	start(RUNS, 2);
	assert_false(activation_now(f.activation));
	begin(policy, true, false);
	assert_true(hold());
	(void)run_until_wait(ACTIVATION_WINDOW);
	assert_true(activation_now(f.activation));
	assert_goes_on();
	assert_false(activation_now(f.activation));
	activation_destroy(f.activation);
	create();
	begin(policy, true, false);
	assert_false(hold());
}

static void nothing_waits_where_nothing_runs(void **state)
{
	(void)state;
	start(RUNS_NOTHING, 2);
	begin((struct connector_policy){.activate_at = NIGHT}, true, false);
	assert_true(hold());
	assert_goes_on();
	assert_int_equal(f.waits, 0);
}

static void goes_on_once_nothing_runs_any_more(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		VERSION, {LIST, ONE, FAKE_CLOSE, 1}, {LIST, OK "[]", FAKE_CLOSE}};

	start(answers, 3);
	begin((struct connector_policy){.activate_at = NIGHT}, true, false);
	assert_true(hold());
	(void)run_until_wait(ACTIVATION_WINDOW);
	activation_containers_changed(f.activation);
	assert_goes_on();
}

/// What is not known may run.
static void waits_while_the_engine_is_away(void **state)
{
	(void)state;
	free(f.host.docker_socket);
	f.host.docker_socket = lm_path_join(f.folder, "nobody.sock");
	create();
	begin((struct connector_policy){.activate_at = NIGHT}, true, false);
	assert_true(hold());
	(void)run_until_wait(ACTIVATION_WINDOW);
}

static void goes_on_only_when_it_may_act(void **state)
{
	(void)state;
	start(RUNS, 2);
	begin((struct connector_policy){.activate_at = NIGHT}, true, false);
	assert_true(hold());
	(void)run_until_wait(ACTIVATION_WINDOW);
	f.is_busy = true;
	pass(14 * HOUR_MS);
	loop_run(f.loop);
	activation_continue(f.activation);
	assert_int_equal(f.done, 0);
	f.is_busy = false;
	activation_continue(f.activation);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.goes_on, 1);
}

static void what_is_forgotten_is_not_reported(void **state)
{
	(void)state;
	int fd = lock_file();

	start(RUNS, 2);
	begin((struct connector_policy){.hold_file = f.file}, true, false);
	assert_true(hold());
	(void)run_until_wait(ACTIVATION_FILE);
	activation_forget(f.activation);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	struct activation_view view;
	assert_false(activation_view(f.activation, &view));
	activation_end(f.activation, false);
	assert_int_equal(f.done, 0);
	(void)close(fd);
}

static void a_plan_foretells_it(void **state)
{
	(void)state;
	struct connector_policy policy = {.activate_at = NOW};

	assert_null(activation_foretell(&policy));
	policy = (struct connector_policy){
		.activate_at = SOON, .hold_file = f.file, .activate_within_s = 9};
	lm_auto_free char *text = activation_foretell(&policy);
	lm_auto_free char *expected = lm_xasprintf(
		"before it stops what runs, the deployment waits until 13:30 (ActivateAt), and "
		"while '%s' is locked (HoldFile), for 9 s at most; 'lighterman deploy --now' does "
		"not wait",
		f.file);
	assert_string_equal(text, expected);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(waits_for_a_window),
		TEST(an_open_window_is_not_waited_for),
		TEST(what_may_not_wait_does_not),
		TEST(waits_for_a_file_and_keeps_it),
		TEST(a_missing_file_holds_nothing),
		TEST(something_else_than_a_file_is_refused),
		TEST(waits_no_longer_than_allowed),
		TEST(a_persons_order_outlives_the_program),
		TEST(nothing_waits_where_nothing_runs),
		TEST(goes_on_once_nothing_runs_any_more),
		TEST(waits_while_the_engine_is_away),
		TEST(goes_on_only_when_it_may_act),
		TEST(what_is_forgotten_is_not_reported),
		TEST(a_plan_foretells_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
