// SPDX-License-Identifier: Apache-2.0
/// Each case is a process of its own, as there is no way back.
#include "sys/confinement.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/// The exit status of a child that runs `work`.
static int run(int (*work)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(work());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool forbid(void)
{
	struct lm_err err = {LM_OK};

	return confinement_forbid_calls(&err) == LM_OK;
}

/// The number behind `name` in /proc/self/status.
static uint64_t read_status(const char *name, int base)
{
	lm_auto_buf struct lm_buf text = LM_BUF(64 << 10);
	struct lm_err err = {LM_OK};

	if (lm_file_read("/proc/self/status", &text, &err))
		return UINT64_MAX;
	struct lm_str rest = lm_buf_str(&text);
	while (rest.n > 0) {
		struct lm_str line = lm_str_cut(&rest, '\n');

		if (lm_str_eq(lm_str_cut(&line, ':'), lm_str(name)))
			return strtoull(line.p, NULL, base);
	}
	return UINT64_MAX;
}

static const struct {
	const char *name;
	long number;
	long arguments[4];
} attempts[] = {
	{"mount", SYS_mount, {0, 0, 0, 0}},
	{"umount2", SYS_umount2, {0, 0, 0, 0}},
	{"pivot_root", SYS_pivot_root, {0, 0, 0, 0}},
	{"move_mount", SYS_move_mount, {-1, 0, -1, 0}},
	{"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0, 0}},
	{"init_module", SYS_init_module, {0, 0, 0, 0}},
	{"finit_module", SYS_finit_module, {-1, 0, 0, 0}},
	{"kexec_load", SYS_kexec_load, {0, 0, 0, 0}},
	{"reboot", SYS_reboot, {0, 0, 0, 0}},
	{"bpf", SYS_bpf, {-1, 0, 0, 0}},
	{"perf_event_open", SYS_perf_event_open, {0, 0, 0, 0}},
	{"settimeofday", SYS_settimeofday, {0, 0, 0, 0}},
	{"clock_settime", SYS_clock_settime, {-1, 0, 0, 0}},
	{"sethostname", SYS_sethostname, {0, -1, 0, 0}},
	{"process_vm_readv", SYS_process_vm_readv, {0, 0, 0, 0}},
	{"process_vm_writev", SYS_process_vm_writev, {0, 0, 0, 0}},
	{"setns", SYS_setns, {-1, 0, 0, 0}},
	{"chroot", SYS_chroot, {0, 0, 0, 0}},
	{"swapon", SYS_swapon, {0, 0, 0, 0}},
	{"acct", SYS_acct, {-1, 0, 0, 0}},
	{"unshare of mounts", SYS_unshare, {CLONE_NEWNS, 0, 0, 0}},
	{"unshare of users", SYS_unshare, {CLONE_NEWUSER, 0, 0, 0}},
	{"clone with users and mounts", SYS_clone,
		{CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0}},
};

static int attempt_all(void)
{
	int allowed = 0;

	if (!forbid())
		return 100;
	for (size_t i = 0; i < LM_ARRAY_SIZE(attempts); i++) {
		const long *a = attempts[i].arguments;

		errno = 0;
		// The arguments make each of them fail in another way where it is not forbidden.
		if (syscall(attempts[i].number, a[0], a[1], a[2], a[3]) != -1 || errno != EPERM) {
			(void)fprintf(stderr, "%s: %s\n", attempts[i].name, strerror(errno));
			allowed++;
		}
	}
	return allowed;
}

/// As a user who may do nothing of it gets EPERM from some of them anyway, the list proves little
/// without the mirror of it: what root gets from them without a filter.
static int attempt_all_without(void)
{
	int forbidden = 0;

	for (size_t i = 0; i < LM_ARRAY_SIZE(attempts); i++) {
		const long *a = attempts[i].arguments;

		if (attempts[i].number == SYS_reboot || attempts[i].number == SYS_unshare ||
			attempts[i].number == SYS_clone || attempts[i].number == SYS_acct)
			continue;
		errno = 0;
		if (syscall(attempts[i].number, a[0], a[1], a[2], a[3]) == -1 && errno == EPERM)
			forbidden++;
	}
	return forbidden;
}

static void forbids_what_an_attacker_would_want(void **state)
{
	(void)state;
	assert_int_equal(run(attempt_all), 0);
	if (geteuid() == 0) // of 19; a container may forbid a few by itself
		assert_true(WEXITSTATUS(run(attempt_all_without)) < 10);
}

static int do_ordinary_things(void)
{
	int status = -1;

	if (!forbid())
		return 100;
	pid_t pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", "exec /bin/true | /bin/true", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return 1;
	FILE *pipe = popen("echo hello", "r"); // by clone3 or clone
	char text[16] = "";
	if (!pipe || !fgets(text, sizeof(text), pipe) || pclose(pipe) != 0 ||
		strcmp(text, "hello\n") != 0)
		return 2;
	return 0;
}

static void leaves_alone_what_programs_do(void **state)
{
	(void)state;
	assert_int_equal(run(do_ordinary_things), 0);
}

static int pass_on(void)
{
	if (!forbid())
		return 100;
	// Of a child, after exec.
	return execl("/bin/sh", "sh", "-c",
		"grep -q '^NoNewPrivs:.1$' /proc/self/status && "
		"grep -q '^Seccomp:.2$' /proc/self/status",
		NULL);
}

static void passes_on_to_what_it_starts(void **state)
{
	(void)state;
	assert_int_equal(run(pass_on), 0);
}

#define KEPT (CONFINEMENT_CAPABILITY(CAP_KILL) | CONFINEMENT_CAPABILITY(CAP_CHOWN))

static int keep_two(void)
{
	struct lm_err err = {LM_OK};

	if (confinement_keep_capabilities(KEPT, &err))
		return 1;
	if (read_status("CapEff", 16) != KEPT || read_status("CapPrm", 16) != KEPT ||
		read_status("CapBnd", 16) != KEPT || read_status("CapInh", 16) != 0 ||
		read_status("CapAmb", 16) != 0)
		return 2;
	// A program that root executes would have them all otherwise.
	return execl("/bin/sh", "sh", "-c",
		"grep -q '^CapEff:.0*21$' /proc/self/status && "
		"grep -q '^CapPrm:.0*21$' /proc/self/status",
		NULL);
}

static void keeps_only_the_capabilities_named(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); // there is nothing to drop
	assert_int_equal(run(keep_two), 0);
}

static int keep_as_a_user(void)
{
	struct lm_err err = {LM_OK};

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
		return 1;
	if (confinement_keep_capabilities(KEPT, &err) || confinement_forbid_calls(&err))
		return 2;
	return read_status("CapEff", 16) == 0 ? 0 : 3;
}

static void works_for_a_user_who_has_none(void **state)
{
	(void)state;
	assert_int_equal(run(keep_as_a_user), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbids_what_an_attacker_would_want),
		cmocka_unit_test(leaves_alone_what_programs_do),
		cmocka_unit_test(passes_on_to_what_it_starts),
		cmocka_unit_test(keeps_only_the_capabilities_named),
		cmocka_unit_test(works_for_a_user_who_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
