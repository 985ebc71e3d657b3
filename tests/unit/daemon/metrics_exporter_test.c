// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics_exporter.h"

#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct loop_timer *turn;
	struct metrics_exporter *exporter;
	char folder[64], path[96], text[256];
	unsigned asked, warnings;
	unsigned same; ///< The number of every text; 0: each has its own.
	bool too_much;
};

static struct fixture f;
static uint64_t last_delay_ms;

void __real_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms);

/// A pause is seen, and over at once.
void __wrap_loop_timer_start(struct loop_timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
	if (t != f.turn)
		last_delay_ms = delay_ms;
	__real_loop_timer_start(t, t == f.turn ? delay_ms : 0, repeat_ms);
}

static void end_turn(void *ctx)
{
	(void)ctx;
	loop_stop(f.loop);
}

/// Lets what is due happen.
static void turn(void)
{
	loop_timer_start(f.turn, 5, 0);
	loop_run(f.loop);
}

bool __wrap_metrics_write(const struct metrics *m, struct lm_buf *out);
struct metrics_deployments __wrap_supervisor_measure(const struct supervisor *s);
size_t __wrap_mqtt_brokers_measure(const struct mqtt_brokers *o, struct metrics_broker **ret);
struct metrics_devices __wrap_client_devices_measure(const struct client_devices *c);
const struct metrics_restart_list *__wrap_healer_restarts(const struct healer *h);
void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx);
enum monitor_sight __wrap_monitor_sight(const struct monitor *m);

/// What is in the file.
bool __wrap_metrics_write(const struct metrics *m, struct lm_buf *out)
{
	(void)m;
	f.asked++;
	(void)lm_buf_printf(out, "text %u\n", f.same ? f.same : f.asked);
	return !f.too_much;
}

struct metrics_deployments __wrap_supervisor_measure(const struct supervisor *s)
{
	(void)s;
	return (struct metrics_deployments){0};
}

size_t __wrap_mqtt_brokers_measure(const struct mqtt_brokers *o, struct metrics_broker **ret)
{
	(void)o;
	*ret = NULL;
	return 0;
}

struct metrics_devices __wrap_client_devices_measure(const struct client_devices *c)
{
	(void)c;
	return (struct metrics_devices){.known = false};
}

const struct metrics_restart_list *__wrap_healer_restarts(const struct healer *h)
{
	static const struct metrics_restart_list none;

	(void)h;
	return &none;
}

void __wrap_monitor_each(const struct monitor *m,
	void (*each)(void *ctx, const struct monitor_container *container), void *ctx)
{
	(void)m;
	(void)each;
	(void)ctx;
}

enum monitor_sight __wrap_monitor_sight(const struct monitor *m)
{
	(void)m;
	return MONITOR_BEGINS;
}

static void on_log(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	(void)level;
	f.warnings++;
	(void)snprintf(f.text, sizeof(f.text), "%.*s", LM_STR_ARG(line));
}

static const char *content(void)
{
	lm_auto_buf struct lm_buf text = LM_BUF(sizeof(f.text) - 1);

	if (lm_file_read(f.path, &text, NULL))
		return "";
	(void)snprintf(f.text, sizeof(f.text), "%s", lm_buf_cstr(&text));
	return f.text;
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	(void)snprintf(f.folder, sizeof(f.folder), "/tmp/metrics_exporter_test.XXXXXX");
	if (!mkdtemp(f.folder) || loop_create(&f.loop, NULL) != LM_OK)
		return -1;
	(void)snprintf(f.path, sizeof(f.path), "%s/lighterman.prom", f.folder);
	f.turn = loop_timer_create(f.loop, end_turn, NULL);
	const struct host_settings host = {.metrics_textfile = f.path};
	const struct metrics_exporter_sources nobody = {0};
	f.exporter = metrics_exporter_create(f.loop, &host, &nobody);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	metrics_exporter_destroy(f.exporter);
	loop_timer_destroy(f.turn);
	loop_destroy(f.loop);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) ? -1 : 0;
}

static void writes_the_first_change_at_once_and_for_all_to_read(void **state)
{
	struct stat st;
	mode_t before = umask(077);

	(void)state;
	metrics_exporter_changed(f.exporter);
	assert_int_equal(last_delay_ms, 0);
	turn();
	(void)umask(before);
	assert_string_equal(content(), "text 1\n");
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void writes_many_changes_once_in_15_s(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		metrics_exporter_changed(f.exporter);
	turn();
	assert_string_equal(content(), "text 1\n");
	for (int i = 0; i < 100; i++)
		metrics_exporter_changed(f.exporter);
	assert_in_range(last_delay_ms, 14000, 15000);
	turn();
	assert_string_equal(content(), "text 2\n");
}

static void without_a_change_it_neither_writes_nor_wakes_up(void **state)
{
	(void)state;
	last_delay_ms = UINT64_MAX;
	turn();
	assert_int_equal(f.asked, 0);
	assert_int_equal(last_delay_ms, UINT64_MAX);
}

static struct stat change(void)
{
	struct stat st;

	metrics_exporter_changed(f.exporter);
	turn();
	assert_int_equal(stat(f.path, &st), 0);
	return st;
}

static void the_same_text_is_not_written_again(void **state)
{
	(void)state;
	f.same = 7;
	struct stat first = change();
	struct stat second = change();
	assert_int_equal(f.asked, 2);
	assert_int_equal(second.st_ino, first.st_ino);
	assert_memory_equal(&second.st_mtim, &first.st_mtim, sizeof(first.st_mtim));
	f.same = 8;
	(void)change();
	assert_string_equal(content(), "text 8\n");
	f.same = 7;
	(void)change();
	assert_string_equal(content(), "text 7\n");
}

static void the_same_text_is_written_again_if_the_file_is_gone_or_cut(void **state)
{
	(void)state;
	f.same = 7;
	(void)change();
	assert_int_equal(unlink(f.path), 0);
	(void)change();
	assert_string_equal(content(), "text 7\n");
	assert_int_equal(truncate(f.path, 0), 0);
	(void)change();
	assert_string_equal(content(), "text 7\n");
}

static void writes_at_exit(void **state)
{
	(void)state;
	metrics_exporter_destroy(f.exporter);
	f.exporter = NULL;
	assert_string_equal(content(), "text 1\n");
}

static void a_failure_is_logged_once(void **state)
{
	(void)state;
	lm_log_set_sink(on_log, NULL);
	assert_int_equal(rmdir(f.folder), 0);
	for (int i = 0; i < 3; i++) {
		metrics_exporter_changed(f.exporter);
		turn();
	}
	assert_int_equal(f.warnings, 1);
	assert_non_null(strstr(f.text, "lighterman.prom': open the directory of"));
	assert_int_equal(mkdir(f.folder, 0700), 0);
	metrics_exporter_changed(f.exporter);
	turn();
	assert_string_equal(content(), "text 4\n");
	f.too_much = true;
	metrics_exporter_changed(f.exporter);
	turn();
	assert_int_equal(f.warnings, 2);
	assert_non_null(strstr(f.text, "they exceed the limit of "));
	lm_log_set_sink(NULL, NULL);
}

static void no_file_is_nothing_to_do(void **state)
{
	(void)state;
	metrics_exporter_changed(NULL);
	metrics_exporter_destroy(NULL);
}

#define EXPORTER_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXPORTER_TEST(writes_the_first_change_at_once_and_for_all_to_read),
		EXPORTER_TEST(writes_many_changes_once_in_15_s),
		EXPORTER_TEST(without_a_change_it_neither_writes_nor_wakes_up),
		EXPORTER_TEST(the_same_text_is_not_written_again),
		EXPORTER_TEST(the_same_text_is_written_again_if_the_file_is_gone_or_cut),
		EXPORTER_TEST(writes_at_exit),
		EXPORTER_TEST(a_failure_is_logged_once),
		EXPORTER_TEST(no_file_is_nothing_to_do),
	};

	return cmocka_run_group_tests_name("daemon/metrics_exporter", tests, NULL, NULL);
}
