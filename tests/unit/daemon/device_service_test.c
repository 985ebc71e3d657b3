// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_service.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

struct fixture {
	char folder[64];
	char program[96], lock[96], trace[96];
	struct loop *loop;
	struct loop_timer *limit, *look;
	struct device_service *service;
	bool (*awaited)(struct fixture *f);
	struct lm_buf log;
};

static void too_long(void *ctx)
{
	struct fixture *f = ctx;

	fail_msg("it does not come to that; the log: %s", lm_buf_cstr(&f->log));
}

static void look_again(void *ctx)
{
	struct fixture *f = ctx;

	if (f->awaited && f->awaited(f))
		loop_stop(f->loop);
}

static void take_log(void *ctx, enum lm_level level, struct lm_str line)
{
	struct fixture *f = ctx;

	(void)level;
	(void)lm_buf_add_str(&f->log, line);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/service_test.XXXXXX", .log = LM_BUF(1 << 20)};
	assert_non_null(mkdtemp(f.folder));
	(void)snprintf(f.program, sizeof(f.program), "%s/program", f.folder);
	(void)snprintf(f.lock, sizeof(f.lock), "%s/lock", f.folder);
	(void)snprintf(f.trace, sizeof(f.trace), "%s/trace", f.folder);
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, &f);
	f.look = loop_timer_create(f.loop, look_again, &f);
	lm_log_set_sink(take_log, &f);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	device_service_destroy(f->service);
	loop_timer_destroy(f->limit);
	loop_timer_destroy(f->look);
	loop_destroy(f->loop);
	lm_log_set_sink(NULL, NULL);
	lm_buf_finish(&f->log);
	return lm_tree_remove(AT_FDCWD, f->folder, &err) ? -1 : 0;
}

/// Until then the loop turns.
static void await(struct fixture *f, bool (*awaited)(struct fixture *f))
{
	f->awaited = awaited;
	loop_timer_start(f->limit, PATIENCE_MS, 0);
	loop_timer_start(f->look, 1, 5);
	loop_run(f->loop);
	loop_timer_stop(f->look);
	loop_timer_stop(f->limit);
}

static void write_program(struct fixture *f, const char *script)
{
	lm_auto_fclose FILE *file = fopen(f->program, "w");

	assert_non_null(file);
	assert_true(fprintf(file, "#!/bin/sh\ncd %s\n%s\n", f->folder, script) > 0);
	assert_int_equal(fchmod(fileno(file), 0700), 0);
}

static void make_with(
	struct fixture *f, const char *script, const char *unit, const char *rival, bool journal)
{
	const char *const argv[] = {f->program, NULL};
	const struct device_service_settings settings = {.name = "the broker",
		.argv = argv,
		.lock = f->lock,
		.unit = unit,
		.rival = rival,
		.systemctl = f->program,
		.journalctl = journal ? f->program : NULL};

	write_program(f, script);
	f->service = device_service_create(f->loop, &settings);
}

static void make(struct fixture *f, const char *script, bool as_unit)
{
	make_with(f, script, as_unit ? "test.service" : NULL, NULL, false);
}

static size_t count(struct fixture *f, const char *word)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	struct lm_err err;
	size_t n = 0;

	if (lm_file_read(f->trace, &text, &err))
		return 0;
	for (const char *p = lm_buf_cstr(&text); (p = strstr(p, word)) != NULL; p++)
		n++;
	return n;
}

static bool is_running(struct fixture *f)
{
	return device_service_state(f->service) == DEVICE_SERVICE_RUNNING;
}

static bool is_stopped(struct fixture *f)
{
	return device_service_state(f->service) == DEVICE_SERVICE_STOPPED;
}

static bool has_begun(struct fixture *f)
{
	return count(f, "begun") > 0;
}

static bool has_begun_twice(struct fixture *f)
{
	return count(f, "begun") > 1;
}

#define SERVES                                                                                     \
	"trap 'echo ended >> trace; exit 0' TERM\n"                                                \
	"trap 'echo reloaded >> trace' HUP\n"                                                      \
	"echo begun >> trace\n"                                                                    \
	"while :; do sleep 0.05; done"

static void a_service_runs_until_it_is_stopped(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STOPPED);
	device_service_start(f->service);
	await(f, has_begun);
	assert_true(is_running(f));
	pid_t pid = device_service_pid(f->service);
	assert_int_equal(kill(pid, 0), 0);
	device_service_start(f->service); // it does already
	assert_int_equal(device_service_pid(f->service), pid);
	device_service_stop(f->service);
	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STOPPING);
	await(f, is_stopped);
	assert_int_equal(count(f, "ended"), 1);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(device_service_failures(f->service), 0);
}

static void one_that_is_killed_is_started_again(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	device_service_start(f->service);
	await(f, has_begun);
	assert_int_equal(kill(device_service_pid(f->service), SIGKILL), 0);
	await(f, has_begun_twice);
	assert_true(is_running(f));
	assert_int_equal(device_service_failures(f->service), 1);
	assert_non_null(strstr(lm_buf_cstr(&f->log),
		"the broker has ended: killed by signal 9 (Killed), starting it again in "));
}

static bool has_failed(struct fixture *f)
{
	return device_service_state(f->service) == DEVICE_SERVICE_FAILED;
}

/// Whether it is there and not a zombie, which nobody may have reaped.
static bool is_alive(pid_t pid)
{
	lm_auto_free char *path = lm_xasprintf("/proc/%ld/stat", (long)pid);
	lm_auto_buf struct lm_buf text = LM_BUF(4096);
	struct lm_err err;

	return lm_file_read(path, &text, &err) == LM_OK && !strstr(lm_buf_cstr(&text), ") Z ");
}

static void why_it_ends_is_what_it_said_last(void **state)
{
	struct fixture *f = *state;

	make(f, "echo 'Error: Address already in use' >&2; echo bye; exit 1", false);
	device_service_start(f->service);
	await(f, has_failed);
	assert_string_equal(
		device_service_fault(f->service), "exit status 1 (Error: Address already in use)");
}

static void what_it_started_ends_with_it(void **state)
{
	struct fixture *f = *state;
	lm_auto_buf struct lm_buf text = LM_BUF(4096);
	struct lm_err err;
	uint64_t child = 0;

	make(f, "sleep 600 & echo $! > trace; kill -9 $$", false);
	device_service_start(f->service);
	await(f, has_failed);
	assert_int_equal(lm_file_read(f->trace, &text, &err), LM_OK);
	assert_true(lm_str_to_u64(lm_str_trim(lm_buf_str(&text)), INT32_MAX, &child));
	assert_false(is_alive((pid_t)child));
	device_service_stop(f->service);
	assert_true(is_stopped(f)); // and is not started again
}

static void a_program_that_is_not_there_is_a_failure(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	assert_int_equal(unlink(f->program), 0);
	device_service_start(f->service);
	assert_true(has_failed(f));
	assert_non_null(strstr(device_service_fault(f->service), "No such file or directory"));
	write_program(f, SERVES);
	await(f, has_begun);
	assert_string_equal(device_service_fault(f->service), "");
}

static bool has_reloaded(struct fixture *f)
{
	return count(f, "reloaded") > 0;
}

static void a_service_reloads_or_is_restarted(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	device_service_reload(f->service); // starts it
	await(f, has_begun);
	pid_t first = device_service_pid(f->service);
	device_service_reload(f->service);
	await(f, has_reloaded);
	assert_int_equal(device_service_pid(f->service), first);
	device_service_restart(f->service);
	await(f, has_begun_twice);
	assert_int_not_equal(device_service_pid(f->service), first);
	assert_int_equal(count(f, "ended"), 1);
	assert_int_equal(device_service_failures(f->service), 0);
}

/// One that has just been started would end at the signal: it gets it later.
static void a_reload_waits_for_one_that_starts(void **state)
{
	struct fixture *f = *state;

	make(f, "echo born >> trace; sleep 0.3\n" SERVES, false);
	device_service_start(f->service);
	pid_t first = device_service_pid(f->service);
	device_service_reload(f->service);
	await(f, has_reloaded);
	assert_int_equal(device_service_pid(f->service), first);
	assert_int_equal(count(f, "born"), 1);
	assert_int_equal(device_service_failures(f->service), 0);
	// One that is stopped gets none.
	device_service_restart(f->service);
	device_service_reload(f->service);
	device_service_stop(f->service);
	await(f, is_stopped);
}

static void a_restart_of_one_that_is_stopped_again_does_not_start_it(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	device_service_start(f->service);
	await(f, has_begun);
	device_service_restart(f->service);
	device_service_stop(f->service);
	await(f, is_stopped);
	assert_int_equal(count(f, "begun"), 1);
}

static void a_start_while_it_stops_starts_it_again(void **state)
{
	struct fixture *f = *state;

	make(f, SERVES, false);
	device_service_start(f->service);
	await(f, has_begun);
	device_service_stop(f->service);
	device_service_start(f->service);
	await(f, has_begun_twice);
	assert_true(is_running(f));
}

static void one_of_an_earlier_lightermand_is_ended_first(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;
	pid_t left = fork();

	if (left == 0) {
		int fd = open(f->lock, O_RDWR | O_CREAT, 0600);

		(void)setsid();
		(void)signal(SIGTERM, SIG_DFL);
		(void)flock(fd, LOCK_EX);
		(void)dprintf(fd, "%ld\n", (long)getpid());
		for (;;)
			(void)pause();
	}
	lm_auto_buf struct lm_buf text = LM_BUF(64);
	while (lm_file_read(f->lock, &text, &err) != LM_OK || text.len == 0)
		lm_buf_clear(&text);
	make(f, SERVES, false);
	device_service_start(f->service);
	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STARTING);
	int status = 0;
	assert_int_equal(waitpid(left, &status, 0), left);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	await(f, has_begun);
}

static bool starts(struct fixture *f)
{
	static unsigned looks;

	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STARTING);
	return looks++ > 100;
}

/// The lock is held, by whom nobody knows: its number is that of a program which is none of ours.
static void another_program_of_that_number_is_left_alone(void **state)
{
	struct fixture *f = *state;
	lm_auto_close int held = open(f->lock, O_RDWR | O_CREAT, 0600);
	pid_t other = fork();

	if (other == 0) {
		(void)signal(SIGTERM, SIG_DFL);
		for (;;)
			(void)pause(); // it leads no session
	}
	assert_int_equal(flock(held, LOCK_EX), 0);
	assert_true(dprintf(held, "%ld\n", (long)other) > 0);
	make(f, SERVES, false);
	device_service_start(f->service);
	await(f, starts);
	assert_true(is_alive(other));
	assert_int_equal(kill(other, SIGKILL), 0);
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_int_equal(close(lm_take_fd(held)), 0);
	await(f, has_begun);
}

static void it_cannot_write_its_lock(void **state)
{
	struct fixture *f = *state;

	make(f, "echo 1 >&3 || echo begun >> trace; sleep 600", false);
	device_service_start(f->service);
	await(f, has_begun);
}

static void its_lines_are_in_our_log_but_not_all_of_a_flood(void **state)
{
	struct fixture *f = *state;

	make(f,
		"echo '1700000000: hello'; echo oops >&2; for i in $(seq 1000); do echo flood; "
		"done; echo begun >> trace; sleep 600",
		false);
	device_service_start(f->service);
	await(f, has_begun);
	device_service_stop(f->service);
	await(f, is_stopped);
	const char *log = lm_buf_cstr(&f->log);
	assert_non_null(strstr(log, "the broker: 1700000000: hello\n"));
	assert_non_null(strstr(log, "the broker: oops\n"));
	size_t n = 0;
	for (const char *p = log; (p = strstr(p, "flood")) != NULL; p++)
		n++;
	assert_in_range(n, 1, 20);
}

#define SYSTEMCTL                                                                                  \
	"echo \"$*\" >> trace\n"                                                                   \
	"case \"$1\" in show) cat pid 2>/dev/null || echo 0; exit;; esac\n"                        \
	"case \"$2\" in stop) kill $(cat pid); rm pid;; start) if [ ! -e pid ]; then "             \
	"setsid sleep 600 >/dev/null 2>&1 & echo $! > pid; fi;; esac"

static void a_unit_is_left_to_systemd(void **state)
{
	struct fixture *f = *state;

	make(f, SYSTEMCTL, true);
	assert_true(device_service_is_unit(f->service));
	device_service_start(f->service);
	await(f, is_running);
	pid_t pid = device_service_pid(f->service);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(count(f, "--no-ask-password start test.service\n"), 1);
	assert_int_equal(count(f, "show --property=MainPID --value test.service\n"), 1);
	device_service_reload(f->service);
	await(f, is_running);
	device_service_stop(f->service);
	await(f, is_stopped);
	assert_int_equal(count(f, "reload-or-restart test.service\n"), 1);
	assert_int_equal(count(f, "stop test.service\n"), 1);
	assert_int_equal(device_service_failures(f->service), 0);
}

static bool runs_another(struct fixture *f)
{
	return is_running(f) && count(f, "--no-ask-password start") > 1;
}

static void a_unit_that_ended_is_seen(void **state)
{
	struct fixture *f = *state;
	char path[96];

	make(f, SYSTEMCTL, true);
	device_service_start(f->service);
	await(f, is_running);
	(void)snprintf(path, sizeof(path), "%s/pid", f->folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kill(device_service_pid(f->service), SIGKILL), 0);
	await(f, has_failed);
	assert_string_equal(device_service_fault(f->service), "see 'journalctl -u test.service'");
	await(f, runs_another);
	device_service_stop(f->service);
	await(f, is_stopped);
}

static void why_a_unit_does_not_start_is_in_its_journal(void **state)
{
	struct fixture *f = *state;

	make_with(f,
		"echo \"$*\" >> trace\n"
		"case \"$1\" in --quiet) echo 'Error: Invalid'; echo \"Error: Couldn't open \"; "
		"echo bye; exit 0;; esac; exit 1",
		"test.service", NULL, true);
	device_service_start(f->service);
	await(f, has_failed);
	assert_string_equal(device_service_fault(f->service),
		"systemctl: exit status 1; see 'journalctl -u test.service' "
		"(Error: Couldn't open)");
	assert_int_equal(count(f, "--since=-30s _SYSTEMD_UNIT=test.service\n"), 1);
	assert_int_equal(count(f, "--no-ask-password start test.service\n"), 1);
}

static void a_journal_that_cannot_be_read_is_not_needed(void **state)
{
	struct fixture *f = *state;

	make_with(f, "[ \"$1\" = --quiet ] || rm program; exit 1", "test.service", NULL, true);
	device_service_start(f->service);
	await(f, has_failed);
	assert_string_equal(device_service_fault(f->service),
		"systemctl: exit status 1; see 'journalctl -u test.service'");
}

static bool owes_nothing(struct fixture *f)
{
	return !device_service_owes(f->service);
}

static void a_reload_of_a_unit_that_fails_is_repeated(void **state)
{
	struct fixture *f = *state;

	make(f, "case \"$2\" in reload*) [ -e tried ] || { >tried; exit 1; };; esac\n" SYSTEMCTL,
		true);
	device_service_start(f->service);
	assert_true(device_service_owes(f->service));
	await(f, is_running);
	assert_true(owes_nothing(f));
	device_service_reload(f->service);
	await(f, has_failed);
	assert_true(device_service_owes(f->service));
	await(f, owes_nothing);
	assert_int_equal(count(f, "reload-or-restart test.service\n"), 1);
	assert_int_equal(count(f, "start test.service\n"), 2); // as a part of the above, too
	await(f, is_running);
	device_service_stop(f->service);
	await(f, is_stopped);
}

static void a_unit_that_was_left_is_stopped_once(void **state)
{
	struct fixture *f = *state;

	make(f, "echo \"$*\" >> trace", true);
	device_service_stop_left(f->service);
	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STOPPING);
	await(f, is_stopped);
	device_service_stop_left(f->service);
	assert_true(is_stopped(f));
	assert_int_equal(count(f, "--no-ask-password stop test.service\n"), 1);
}

static void a_unit_that_was_left_ends_before_the_child_starts(void **state)
{
	struct fixture *f = *state;

	make_with(f,
		"case \"$1\" in --*) sleep 0.2; echo \"$2 $3\" >> trace; exit 1;; esac\n"
		"grep -q 'stop test.service' trace || echo too early >> trace\n" SERVES,
		NULL, "test.service", false);
	assert_false(device_service_is_unit(f->service));
	device_service_start(f->service);
	device_service_reload(f->service);
	assert_int_equal(device_service_state(f->service), DEVICE_SERVICE_STOPPING);
	await(f, has_begun);
	assert_int_equal(count(f, "too early"), 0);
	device_service_stop(f->service);
	await(f, is_stopped);
	device_service_start(f->service);
	await(f, has_begun_twice);
	assert_int_equal(count(f, "stop test.service"), 1);
	assert_int_equal(device_service_failures(f->service), 0);
}

static void a_unit_that_was_left_ends_without_a_child_too(void **state)
{
	struct fixture *f = *state;

	make_with(f, "echo \"$*\" >> trace", NULL, "test.service", false);
	device_service_stop_left(f->service);
	await(f, is_stopped);
	assert_int_equal(count(f, "--no-ask-password stop test.service\n"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_service_runs_until_it_is_stopped),
		TEST(one_that_is_killed_is_started_again),
		TEST(why_it_ends_is_what_it_said_last),
		TEST(what_it_started_ends_with_it),
		TEST(a_program_that_is_not_there_is_a_failure),
		TEST(a_service_reloads_or_is_restarted),
		TEST(a_reload_waits_for_one_that_starts),
		TEST(a_restart_of_one_that_is_stopped_again_does_not_start_it),
		TEST(a_start_while_it_stops_starts_it_again),
		TEST(one_of_an_earlier_lightermand_is_ended_first),
		TEST(another_program_of_that_number_is_left_alone),
		TEST(it_cannot_write_its_lock),
		TEST(its_lines_are_in_our_log_but_not_all_of_a_flood),
		TEST(a_unit_is_left_to_systemd),
		TEST(a_unit_that_ended_is_seen),
		TEST(why_a_unit_does_not_start_is_in_its_journal),
		TEST(a_journal_that_cannot_be_read_is_not_needed),
		TEST(a_reload_of_a_unit_that_fails_is_repeated),
		TEST(a_unit_that_was_left_is_stopped_once),
		TEST(a_unit_that_was_left_ends_before_the_child_starts),
		TEST(a_unit_that_was_left_ends_without_a_child_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
