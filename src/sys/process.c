// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/// What the child could not do, sent to the parent through a pipe that exec closes.
struct child_failure {
	enum step { STEP_SESSION, STEP_USER, STEP_DIRECTORY, STEP_DESCRIPTORS, STEP_EXEC } step;
	int sys;
};

// From here to exec_child the code runs between fork and exec: only async-signal-safe calls.

__attribute__((noreturn)) static void child_fail(int report_fd, enum step step)
{
	struct child_failure failure = {step, errno};

	(void)!write(report_fd, &failure, sizeof(failure));
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool become(const struct process_user *user)
{
	if (geteuid() == user->uid && geteuid() != 0)
		return true; // an ordinary user cannot set groups, and has its own already
	return setgroups((size_t)user->groups_n, user->groups) == 0 &&
	       setresgid(user->gid, user->gid, user->gid) == 0 &&
	       setresuid(user->uid, user->uid, user->uid) == 0;
}

static void close_from(int lowest)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned)lowest, ~0u, 0u) == 0)
		return;
#endif
	long most = sysconf(_SC_OPEN_MAX); // Linux before 5.9
	for (int fd = lowest; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
		(void)close(fd);
}

/// What the child needs beside the descriptors that it is given, until exec closes it.
struct child_fds {
	int report;
	int program; ///< -1: the file itself is run.
};

/// Moves a descriptor out of the way of those below `above`; -1 stays -1.
static bool move_above(int *fd, int above)
{
	int moved = *fd < 0 ? -1 : fcntl(*fd, F_DUPFD_CLOEXEC, above);

	if (*fd >= 0 && moved < 0)
		return false;
	*fd = moved;
	return true;
}

/// Puts the descriptors to 0, 1, 2, …: first all out of the way, then each to its place.
static bool place_descriptors(const struct process_spec *spec, struct child_fds *own)
{
	int above = (int)spec->fds_n < 3 ? 3 : (int)spec->fds_n;
	int moved[8];

	if (!move_above(&own->report, above + 2) || !move_above(&own->program, above + 2))
		return false;
	for (unsigned i = 0; i < (unsigned)above; i++) {
		int from = i < spec->fds_n ? spec->fds[i] : -1;

		moved[i] = from < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : from;
		moved[i] = moved[i] < 0 ? -1 : fcntl(moved[i], F_DUPFD_CLOEXEC, above);
		if (moved[i] < 0)
			return false;
	}
	for (int i = 0; i < above; i++) {
		if (dup2(moved[i], i) < 0)
			return false;
	}
	// Our own stay, right above; what lies higher is closed.
	if (dup3(own->report, above, O_CLOEXEC) < 0 ||
		(own->program >= 0 && dup3(own->program, above + 1, O_CLOEXEC) < 0))
		return false;
	own->report = above;
	own->program = own->program < 0 ? -1 : above + 1;
	close_from(above + (own->program < 0 ? 1 : 2));
	return true;
}

__attribute__((noreturn)) static void exec_child(
	const struct process_spec *spec, struct child_fds own, pid_t parent)
{
	char *const *argv = (char *const *)spec->argv;
	char *const *envp = (char *const *)(spec->envp ? spec->envp : (const char *const *)environ);

	reset_signals();
	if (spec->shielded) // the kernel does so too where the user changes
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if ((spec->new_session ? setsid() : setpgid(0, 0)) < 0)
		child_fail(own.report, STEP_SESSION);
	if (spec->user && !become(spec->user))
		child_fail(own.report, STEP_USER);
	if (spec->die_with_parent) { // after the change of user, which clears it
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127); // it died before we asked
	}
	if (spec->directory && chdir(spec->directory) < 0)
		child_fail(own.report, STEP_DIRECTORY);
	if (!place_descriptors(spec, &own))
		child_fail(own.report, STEP_DESCRIPTORS);
	if (own.program < 0)
		(void)execve(spec->argv[0], argv, envp);
	else if (access(spec->argv[0], X_OK) == 0) // as if it were the file
		(void)syscall(SYS_execveat, own.program, "", argv, envp, AT_EMPTY_PATH);
	child_fail(own.report, STEP_EXEC);
}

/// Whether the file keeps itself from being looked into when it runs. Access control lists show in
/// the bits of the group.
static bool is_unreadable(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IRGRP | S_IROTH)) == 0;
}

/// A program, which the kernel reads; a script would have to be read by its interpreter.
static bool is_program(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

static bool copy_file(int from, int to, off_t size)
{
	while (size > 0) {
		ssize_t n = sendfile(to, from, NULL, (size_t)size);

		if (n <= 0)
			return false;
		size -= n;
	}
	return true;
}

/// For a shielded child: a copy of the program that its user may run and not read. -1: there is no
/// need of it, or it cannot be made; then the file itself is run.
static int copy_program(const struct process_spec *spec)
{
	enum { ONLY_RUN = 0111 };
	struct stat st;

	if (!spec->shielded || (spec->user ? spec->user->uid : geteuid()) == 0)
		return -1; // root may read everything
	lm_auto_close int file = open(spec->argv[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode) || is_unreadable(&st) ||
		!is_program(file))
		return -1;
	lm_auto_close int copy = memfd_create("program", MFD_CLOEXEC);
	if (copy < 0 || !copy_file(file, copy, st.st_size) || fchmod(copy, ONLY_RUN) < 0)
		return -1;
	return lm_take_fd(copy);
}

static lm_rc fail_step(
	const struct process_spec *spec, struct child_failure failure, struct lm_err *err)
{
	lm_rc rc = failure.sys == ENOENT || failure.sys == ENOTDIR ? LM_E_NOT_FOUND
		   : failure.sys == EACCES || failure.sys == EPERM ? LM_E_DENIED
								   : LM_E_SYS;

	switch (failure.step) {
	case STEP_USER:
		return lm_fail(err, rc, failure.sys, "become the user '%s' to run '%s': %m",
			spec->user->name, spec->argv[0]);
	case STEP_DIRECTORY:
		return lm_fail(err, rc, failure.sys, "run '%s' in the directory '%s': %m",
			spec->argv[0], spec->directory);
	case STEP_EXEC:
		return lm_fail(err, rc, failure.sys, "run '%s': %m", spec->argv[0]);
	case STEP_SESSION:
	case STEP_DESCRIPTORS:
		break;
	}
	return lm_fail(
		err, LM_E_SYS, failure.sys, "prepare the process of '%s': %m", spec->argv[0]);
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

lm_rc process_start(const struct process_spec *spec, pid_t *ret_pid, struct lm_err *err)
{
	int report[2];
	enum { FDS_MAX = 8 };

	if (spec->fds_n > FDS_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "run '%s': more than %d descriptors",
			spec->argv[0], FDS_MAX);
	if (pipe2(report, O_CLOEXEC) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	lm_auto_close int report_in = report[0];
	lm_auto_close int report_out = report[1];
	lm_auto_close int program = copy_program(spec);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return lm_fail(err, LM_E_SYS, errno, "start '%s': %m", spec->argv[0]);
	if (pid == 0)
		exec_child(spec, (struct child_fds){report_out, program}, parent);

	(void)close(lm_take_fd(report_out));
	struct child_failure failure;
	ssize_t n;
	do
		n = read(report_in, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(failure)) {
		reap(pid);
		return fail_step(spec, failure, err);
	}
	*ret_pid = pid;
	return LM_OK;
}
