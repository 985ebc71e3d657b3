// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static lm_rc from_entry(const struct passwd *entry, struct process_user *ret, struct lm_err *err)
{
	enum { GROUPS_MAX = 65536 }; // the kernel's own (NGROUPS_MAX)
	int n = 32;
	lm_auto_free gid_t *groups = lm_xcalloc((size_t)n, sizeof(*groups));

	while (getgrouplist(entry->pw_name, entry->pw_gid, groups, &n) < 0) {
		if (n > GROUPS_MAX)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"user '%s' is in more groups than the system allows",
				entry->pw_name);
		groups = lm_xrealloc(groups, (size_t)n * sizeof(*groups));
	}
	*ret = (struct process_user){
		.uid = entry->pw_uid,
		.gid = entry->pw_gid,
		.groups = lm_take(groups),
		.groups_n = n,
		.name = lm_xstrdup(entry->pw_name),
		.home = lm_xstrdup(entry->pw_dir && *entry->pw_dir ? entry->pw_dir : "/"),
	};
	return LM_OK;
}

lm_rc process_user_by_uid(uid_t uid, struct process_user *ret, struct lm_err *err)
{
	errno = 0;
	const struct passwd *entry = getpwuid(uid);
	if (entry)
		return from_entry(entry, ret, err);
	if (errno && errno != ENOENT && errno != ESRCH)
		return lm_fail(err, LM_E_SYS, errno, "look up the user with the id %u: %m", uid);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no user with the id %u on this device: create it (useradd -u %u NAME)",
		uid, uid);
}

lm_rc process_user_by_name(const char *name, struct process_user *ret, struct lm_err *err)
{
	errno = 0;
	const struct passwd *entry = getpwnam(name);
	if (entry)
		return from_entry(entry, ret, err);
	if (errno && errno != ENOENT && errno != ESRCH)
		return lm_fail(err, LM_E_SYS, errno, "look up the user '%s': %m", name);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no user '%s' on this device: create it (useradd %s)", name, name);
}

lm_rc process_group_by_name(const char *name, gid_t *ret, struct lm_err *err)
{
	errno = 0;
	const struct group *entry = getgrnam(name);
	if (entry) {
		*ret = entry->gr_gid;
		return LM_OK;
	}
	if (errno && errno != ENOENT && errno != ESRCH)
		return lm_fail(err, LM_E_SYS, errno, "look up the group '%s': %m", name);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no group '%s' on this device: create it (groupadd %s)", name, name);
}

void process_user_finish(struct process_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	*user = (struct process_user){0};
}

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

/// Of the soft limit; what it cannot be raised to, the child does without.
static void raise_descriptors(unsigned wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
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
	raise_descriptors(spec->descriptors_max);
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
static bool is_elf_program(int fd)
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
		!is_elf_program(file))
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

/// Returns the wait status.
static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
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
		(void)reap(pid);
		return fail_step(spec, failure, err);
	}
	*ret_pid = pid;
	return LM_OK;
}

/// Whether the process is of the session and not a zombie.
/// proc(5): "pid (comm) state ppid pgrp session …"; comm may hold spaces and parentheses.
static bool is_in_session(const char *pid, pid_t sid)
{
	char path[64];
	char text[512];
	char state = 'Z';
	int session = -1;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *behind_comm = strrchr(text, ')');
	if (!behind_comm || sscanf(behind_comm + 1, " %c %*d %*d %d", &state, &session) != 2)
		return false;
	return session == sid && state != 'Z' && state != 'X';
}

/// Signals each process of the session that is there now; how many those were.
static unsigned signal_session(pid_t sid, int signal)
{
	lm_auto_closedir DIR *proc = opendir("/proc");
	unsigned found = 0;

	if (!proc)
		return 0;
	for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
		uint64_t pid;

		if (!lm_str_to_u64(lm_str(entry->d_name), INT32_MAX, &pid) ||
			!is_in_session(entry->d_name, sid))
			continue;
		found++;
		(void)kill((pid_t)pid, signal);
	}
	return found;
}

void process_kill_session(pid_t sid, int signal)
{
	enum { ROUNDS = 200, ROUND_MS = 10 }; // a process in an uninterruptible call may stay

	for (unsigned i = 0; i < ROUNDS && signal_session(sid, signal) > 0; i++) {
		if (signal != SIGKILL)
			return; // it is theirs to decide when they end
		struct lm_err ignored;
		(void)wait_ms(ROUND_MS, &WAIT_FOREVER, &ignored);
	}
}

char *process_describe_status(int wait_status, char *out, size_t size)
{
	if (WIFSIGNALED(wait_status))
		(void)snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(wait_status),
			strsignal(WTERMSIG(wait_status)));
	else
		(void)snprintf(out, size, "exit status %d", WEXITSTATUS(wait_status));
	return out;
}

// process_run

enum { MORE_FDS_MAX = 5 };

/// A child at work: our ends of its three pipes, and what was read of an unfinished line.
struct running_child {
	const struct process_run *spec;
	pid_t pid;
	int in;
	int out[2]; ///< By enum process_stream; -1 once at its end.
	struct lm_str input;
	struct lm_buf line[2];
	bool writes; ///< `input` may go into stdin.
	bool reaped;
	int status;
};

static void running_child_finish(struct running_child *r)
{
	lm_cleanup_close(&r->in);
	for (unsigned i = 0; i < 2; i++) {
		lm_cleanup_close(&r->out[i]);
		lm_buf_finish(&r->line[i]);
	}
}

static lm_rc make_nonblocking_pipe(
	int *ret_read, int *ret_write, int ours_flag_end, struct lm_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a pipe: %m");
	(void)fcntl(ends[ours_flag_end], F_SETFL, O_NONBLOCK);
	*ret_read = ends[0];
	*ret_write = ends[1];
	return LM_OK;
}

static lm_rc make_stdin(struct running_child *r, int *ret_child, struct lm_err *err)
{
	int ends[2];

	r->writes = !r->spec->on_stdin;
	if (r->writes)
		return make_nonblocking_pipe(ret_child, &r->in, 1, err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return lm_fail(err, LM_E_SYS, errno, "make a socket: %m");
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	r->in = ends[0];
	*ret_child = ends[1];
	return LM_OK;
}

static lm_rc start_running(struct running_child *r, struct lm_err *err)
{
	lm_auto_close int child_in = -1;
	lm_auto_close int child_out = -1;
	lm_auto_close int child_err = -1;
	lm_rc rc = make_stdin(r, &child_in, err);

	if (!rc)
		rc = make_nonblocking_pipe(&r->out[PROCESS_STDOUT], &child_out, 0, err);
	if (!rc)
		rc = make_nonblocking_pipe(&r->out[PROCESS_STDERR], &child_err, 0, err);
	if (rc)
		return rc;
	struct process_spec spec = r->spec->spec;
	int fds[3 + MORE_FDS_MAX] = {child_in, child_out, child_err};
	for (unsigned i = 0; i < r->spec->more_fds_n && i < MORE_FDS_MAX; i++)
		fds[3 + i] = r->spec->more_fds[i];
	spec.fds = fds;
	spec.fds_n = 3 + r->spec->more_fds_n;
	return process_start(&spec, &r->pid, err);
}

static void emit(struct running_child *r, enum process_stream stream, struct lm_str line)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (r->spec->on_line)
		r->spec->on_line(r->spec->ctx, stream, line);
	if (!r->writes && r->in >= 0)
		r->writes = r->spec->on_stdin(r->spec->ctx, r->in);
}

static void emit_lines(struct running_child *r, enum process_stream stream, struct lm_str piece)
{
	struct lm_buf *line = &r->line[stream];

	while (piece.n) {
		size_t n = lm_str_find(piece, '\n');
		bool ends = n < piece.n;
		size_t room = line->max - line->len;

		if (n > room) {
			n = room;
			ends = false;
		}
		(void)lm_buf_add(line, piece.p, n);
		piece.p += n + ends;
		piece.n -= n + ends;
		if (ends || line->len == line->max) {
			emit(r, stream, lm_buf_str(line));
			lm_buf_clear(line);
		}
	}
}

static lm_rc read_output(struct running_child *r, enum process_stream stream, struct lm_err *err)
{
	char piece[8192];
	ssize_t n = read(r->out[stream], piece, sizeof(piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LM_OK;
	if (n <= 0) {
		(void)close(lm_take_fd(r->out[stream]));
		if (r->line[stream].len) {
			emit(r, stream, lm_buf_str(&r->line[stream]));
			lm_buf_clear(&r->line[stream]);
		}
		return LM_OK;
	}
	if (stream == PROCESS_STDOUT && r->spec->output) {
		bool fits = lm_buf_add(r->spec->output, piece, (size_t)n);
		if (r->spec->output->wipe)
			lm_wipe(piece, (size_t)n);
		if (!fits)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"'%s' printed more than %zu bytes, the most that is read",
				r->spec->spec.argv[0], r->spec->output->max);
		return LM_OK;
	}
	emit_lines(r, stream, (struct lm_str){piece, (size_t)n});
	return LM_OK;
}

static void write_some(struct running_child *r)
{
	ssize_t n = r->input.n ? write(r->in, r->input.p, r->input.n) : 0;

	if (n > 0) {
		r->input.p += n;
		r->input.n -= (size_t)n;
	}
	// A child that closes its stdin early has read enough.
	bool gone = n < 0 && errno != EAGAIN && errno != EINTR;
	if (gone || (r->input.n == 0 && !r->spec->keeps_stdin))
		(void)close(lm_take_fd(r->in));
}

static void try_reap(struct running_child *r)
{
	if (!r->reaped && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		r->reaped = true;
}

/// Waits at most `slice_ms` and moves what can be moved. `*ret_idle`: nothing came.
static lm_rc pump(struct running_child *r, const struct wait_limit *limit, unsigned slice_ms,
	struct lm_err *err)
{
	bool idle_in = !r->writes || (r->input.n == 0 && r->spec->keeps_stdin);
	struct pollfd fds[3] = {{.fd = idle_in ? -1 : r->in, .events = POLLOUT},
		{.fd = r->out[PROCESS_STDOUT], .events = POLLIN},
		{.fd = r->out[PROCESS_STDERR], .events = POLLIN}};
	struct wait_limit slice = wait_limit_within(limit, slice_ms);
	lm_rc rc = wait_for(fds, 3, &slice, err);

	if (rc == LM_E_TIMEOUT && slice.deadline_ms != limit->deadline_ms)
		return LM_OK;
	if (rc)
		return rc;
	if (fds[0].revents)
		write_some(r);
	for (unsigned i = 0; i < 2; i++) {
		if (!fds[i + 1].revents)
			continue;
		rc = read_output(r, (enum process_stream)i, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}

/// To the end of the child and of its output; for what a grandchild holds open, a second more.
static lm_rc pump_to_end(
	struct running_child *r, const struct wait_limit *limit, struct lm_err *err)
{
	enum { SLICE_MS = 20, AFTER_END_MS = 1000 };
	uint64_t ended_ms = 0;

	for (;;) {
		bool open = r->out[0] >= 0 || r->out[1] >= 0;

		try_reap(r);
		if (r->reaped && ended_ms == 0)
			ended_ms = lm_clock_mono_ms();
		if (r->reaped && (!open || lm_clock_mono_ms() - ended_ms > AFTER_END_MS))
			return LM_OK;
		// While output is open its end wakes us; the slices are for a child that closed it.
		lm_rc rc = pump(r, limit, open && !r->reaped ? 1000 : SLICE_MS, err);
		if (rc)
			return rc;
	}
}

/// Ends the group: SIGTERM, after the grace SIGKILL, and reaps. Output in between is still read.
static void end_group(struct running_child *r)
{
	struct lm_err ignored;

	(void)kill(-r->pid, SIGTERM);
	struct wait_limit grace = wait_limit_within(&WAIT_FOREVER, r->spec->term_grace_ms);
	if (pump_to_end(r, &grace, &ignored) && !r->reaped) {
		(void)kill(-r->pid, SIGKILL);
		r->status = reap(r->pid);
		r->reaped = true;
	}
	(void)kill(-r->pid, SIGKILL); // grandchildren that ignored SIGTERM
}

lm_rc process_run(const struct process_run *run, const struct wait_limit *limit, int *ret_status,
	struct lm_err *err)
{
	lm_auto(running_child_finish) struct running_child r = {.spec = run,
		.in = -1,
		.out = {-1, -1},
		.input = run->input,
		.line = {LM_BUF(LIMIT_LOG_LINE), LM_BUF(LIMIT_LOG_LINE)}};
	lm_rc rc = start_running(&r, err);

	if (rc)
		return rc;
	rc = pump_to_end(&r, limit, err);
	if (rc) {
		end_group(&r);
		return lm_wrap(err, "'%s' was killed", run->spec.argv[0]);
	}
	*ret_status = r.status;
	return LM_OK;
}
