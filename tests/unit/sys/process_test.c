// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct lm_err err;

static struct process_run shell(const char *const argv[4])
{
	return (struct process_run){.spec = {.argv = argv}, .term_grace_ms = 10000};
}

#define SHELL(script) ((const char *const[]){"/bin/sh", "-c", script, NULL})

static void gives_input_and_collects_output(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);
	int status = -1;
	struct process_run run = shell(SHELL("tr a-z A-Z; exit 3"));

	run.input = LM_STR("hello");
	run.output = &out;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "HELLO");
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void a_child_may_have_as_many_descriptors_as_it_needs(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);
	int status = -1;
	struct rlimit before, low;
	struct process_run run = shell(SHELL("ulimit -S -n"));

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	run.output = &out;
	for (unsigned wanted = 0; wanted <= 150; wanted += 50) {
		run.spec.descriptors_max = wanted;
		assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_string_equal(lm_buf_cstr(&out), "100\n100\n100\n150\n");
}

static void add_line(void *ctx, enum process_stream stream, struct lm_str line)
{
	(void)lm_buf_printf(ctx, "%d<%.*s>", stream, LM_STR_ARG(line));
}

static void gives_lines_without_their_ends(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf seen = LM_BUF(200);
	int status = -1;
	struct process_run run = shell(SHELL("printf 'a\\r\\nb\\n\\nlast'"));

	run.on_line = add_line;
	run.ctx = &seen;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&seen), "0<a>0<b>0<>0<last>");
}

static void keeps_stdin_open_and_gives_more_descriptors_on_demand(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);
	const int more[] = {-1, -1};
	int status = -1;
	// The reader in the background is killed while it waits: an end of file would end it
	// before.
	struct process_run run = shell(
		SHELL("read a; exec 5<&0; cat <&5 >/dev/null & echo $a; echo x >&4 && kill -9 $!; "
		      "wait $!; echo $?"));

	run.input = LM_STR("hello\n");
	run.keeps_stdin = true;
	run.more_fds = more;
	run.more_fds_n = 2;
	run.output = &out;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "hello\n137\n");
}

static void ends_the_whole_group_at_the_time_limit(void **state)
{
	(void)state;
	int status = -1;
	int alive[2];
	struct process_run run = shell(SHELL(
		"trap '' TERM; (trap '' TERM; while :; do read x < /dev/zero; done) & wait; wait"));

	run.term_grace_ms = 50;
	struct wait_limit limit = wait_limit_within(&WAIT_FOREVER, 50);
	assert_int_equal(pipe(alive), 0);
	assert_int_equal(process_run(&run, &limit, &status, &err), LM_E_TIMEOUT);
	assert_string_equal(err.msg, "'/bin/sh' was killed: time limit reached");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // reaped: no child is left
	close(alive[0]);
	close(alive[1]);
}

static void ends_the_child_when_told_to_stop(void **state)
{
	(void)state;
	int stop[2];
	int status = -1;
	struct process_run run = shell(SHELL("exec cat /dev/zero > /dev/null"));

	assert_int_equal(pipe(stop), 0);
	close(stop[1]);
	struct wait_limit limit = {.cancel_fd = stop[0]};
	assert_int_equal(process_run(&run, &limit, &status, &err), LM_E_CANCELLED);
	close(stop[0]);
}

static void output_over_the_ceiling_ends_the_child(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(100);
	int status = -1;
	struct process_run run = shell(SHELL("exec cat /dev/zero"));

	run.output = &out;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_E_TOO_LARGE);
}

static void says_how_a_child_ended(void **state)
{
	(void)state;
	char words[64];
	int status = -1;
	struct process_run run = shell(SHELL("kill -9 $$"));

	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_string_equal(process_describe_status(status, words, sizeof(words)),
		"killed by signal 9 (Killed)");
}

static void a_program_that_is_missing_is_told(void **state)
{
	(void)state;
	int status = -1;
	struct process_run run = shell((const char *const[]){"/absent/program", NULL, NULL, NULL});

	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "run '/absent/program': No such file or directory");
}

static void the_child_is_that_user_with_all_its_groups(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct process_user user;
	lm_auto_buf struct lm_buf out = LM_BUF(200);
	int status = -1;
	struct process_run run = shell(SHELL("id -u; id -ru; id -G"));

	assert_int_equal(process_user_by_name("nobody", &user, &err), LM_OK);
	run.spec.user = &user;
	run.output = &out;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "65534\n65534\n65534\n");
	process_user_finish(&user);
}

static void an_unknown_user_is_told(void **state)
{
	(void)state;
	struct process_user user;

	assert_int_equal(process_user_by_uid(4294967294u, &user, &err), LM_E_NOT_FOUND);
	assert_int_equal(process_user_by_name("no-such-user", &user, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "there is no user 'no-such-user' on this device: create it "
				     "(useradd no-such-user)");
}

static void kills_a_session_with_what_it_started(void **state)
{
	(void)state;
	int ends[2];
	pid_t pid = -1;
	char byte;
	// The grandchild leads a process group of its own, and tells when it is there.
	struct process_spec spec = {
		.argv = SHELL(
			"set -m; (trap '' TERM; echo; exec cat /dev/zero > /dev/null 2>&1) & wait"),
		.new_session = true};

	assert_int_equal(pipe(ends), 0);
	spec.fds = (const int[]){-1, ends[1], -1};
	spec.fds_n = 3;
	assert_int_equal(process_start(&spec, &pid, &err), LM_OK);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	process_kill_session(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(read(ends[0], &byte, 1), 0); // nobody holds the other end
	close(ends[0]);
}

/// What /proc shows of a program that nobody started by this has hardened: who may look into it,
/// and which file runs.
struct look {
	uid_t owner;
	char exe[256];
};

static struct look look_at(const char *program, bool shielded)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	struct look look = {0};
	struct stat st;
	char path[64];
	int ends[2];
	pid_t pid = -1;

	assert_int_equal(process_user_by_name("nobody", &user, &err), LM_OK);
	assert_int_equal(pipe(ends), 0);
	struct process_spec spec = {.argv = (const char *const[]){program, NULL},
		.user = &user,
		.shielded = shielded,
		.fds = (const int[]){ends[0], -1, -1},
		.fds_n = 3};
	assert_int_equal(process_start(&spec, &pid, &err), LM_OK);
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	assert_int_equal(stat(path, &st), 0);
	look.owner = st.st_uid;
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	assert_true(readlink(path, look.exe, sizeof(look.exe) - 1) > 0);
	(void)close(ends[0]);
	(void)close(ends[1]); // it reads to its end
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return look;
}

static void into_a_shielded_child_only_root_looks(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct look look = look_at("/bin/cat", false);
	assert_int_not_equal(look.owner, 0);

	look = look_at("/bin/cat", true);
	assert_int_equal(look.owner, 0);
	assert_non_null(strstr(look.exe, "/memfd:program"));
}

static void a_program_that_its_user_may_not_read_is_run_as_it_is(void **state)
{
	char folder[] = "/tmp/process_test.XXXXXX";
	char path[64];
	int status = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chmod(folder, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/cat", folder);
	struct process_run copy = {
		.spec = {.argv = (const char *const[]){"/bin/cp", "/bin/cat", path, NULL}}};
	assert_int_equal(process_run(&copy, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_int_equal(chmod(path, 0711), 0);

	struct look look = look_at(path, true);
	assert_int_equal(look.owner, 0);
	assert_string_equal(look.exe, path);
	look = look_at(path, false); // it is the kernel that sees to it
	assert_int_equal(look.owner, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void what_a_user_may_not_run_is_not_run_for_being_shielded(void **state)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	char folder[] = "/tmp/process_test.XXXXXX";
	char path[64];
	int status = -1;
	pid_t pid = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(process_user_by_name("nobody", &user, &err), LM_OK);
	assert_non_null(mkdtemp(folder)); // 0700
	(void)snprintf(path, sizeof(path), "%s/cat", folder);
	struct process_run copy = {
		.spec = {.argv = (const char *const[]){"/bin/cp", "/bin/cat", path, NULL}}};
	assert_int_equal(process_run(&copy, &WAIT_FOREVER, &status, &err), LM_OK);
	const struct process_spec spec = {
		.argv = (const char *const[]){path, NULL}, .user = &user, .shielded = true};
	assert_int_equal(process_start(&spec, &pid, &err), LM_E_DENIED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static bool is_there(void *ctx, int socket)
{
	bool *asked = ctx;

	assert_int_equal(send(socket, "first ", 6, 0), 6);
	*asked = true;
	return true;
}

static void input_can_wait_for_a_line(void **state)
{
	(void)state;
	bool asked = false;
	int status = -1;
	struct process_run run = shell(SHELL("echo ready; test \"$(cat)\" = 'first second'"));

	run.input = LM_STR("second");
	run.on_stdin = is_there;
	run.ctx = &asked;
	assert_int_equal(process_run(&run, &WAIT_FOREVER, &status, &err), LM_OK);
	assert_true(asked);
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_input_and_collects_output),
		cmocka_unit_test(gives_lines_without_their_ends),
		cmocka_unit_test(keeps_stdin_open_and_gives_more_descriptors_on_demand),
		cmocka_unit_test(ends_the_whole_group_at_the_time_limit),
		cmocka_unit_test(ends_the_child_when_told_to_stop),
		cmocka_unit_test(output_over_the_ceiling_ends_the_child),
		cmocka_unit_test(says_how_a_child_ended),
		cmocka_unit_test(a_program_that_is_missing_is_told),
		cmocka_unit_test(the_child_is_that_user_with_all_its_groups),
		cmocka_unit_test(an_unknown_user_is_told),
		cmocka_unit_test(kills_a_session_with_what_it_started),
		cmocka_unit_test(into_a_shielded_child_only_root_looks),
		cmocka_unit_test(a_program_that_its_user_may_not_read_is_run_as_it_is),
		cmocka_unit_test(what_a_user_may_not_run_is_not_run_for_being_shielded),
		cmocka_unit_test(a_child_may_have_as_many_descriptors_as_it_needs),
		cmocka_unit_test(input_can_wait_for_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
