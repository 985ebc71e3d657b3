// SPDX-License-Identifier: Apache-2.0
//
// Runs a command and all that it starts, and does one thing to one system call of one of its
// programs:
//
//     fault_tracer [-o FILE] [-p PROGRAM] count CALL[,CALL…] -- COMMAND…
//     fault_tracer [-o FILE] -p PROGRAM kill CALL N -- COMMAND…
//     fault_tracer [-o FILE] -p PROGRAM fail CALL N ERRNO -- COMMAND…
//     fault_tracer [-o FILE] record DIRECTORY[,DIRECTORY…] -- COMMAND…
//
// `count` writes a line "PROGRAM CALL" to FILE for each such call, in order; reads and writes are
// told apart by what they are of, as in "write:pipe". `kill` ends the process at its N-th CALL
// before that is made, counted over all processes of that program; `fail` makes that call fail with
// the number ERRNO and not happen. Both write "hit" to FILE. `record` writes what was done to the
// directories and all below them, and what was sent over sockets: the lines that
// tests/e2e/sweep_disk.py reads.
//
// It ends when all processes have ended that the command has started, also those that outlived it,
// with the command's exit status. Killed itself, it takes them all with it. Where strace counts by
// process and stops at each system call, this counts by program and stops, by seccomp, only at
// those that matter: a run takes as long as without.

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS_MAX = 64, TASKS_MAX = 512, DIRECTORIES_MAX = 8, PATH_SIZE = 4096 };

struct call_name {
	const char *name;
	long number;
};

#define CALL(name)                                                                                 \
	{                                                                                          \
#name, SYS_##name                                                                  \
	}
static const struct call_name CALLS[] = {
	CALL(read),
	CALL(write),
	CALL(pwrite64),
	CALL(writev),
	CALL(pwritev),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync_file_range),
	CALL(syncfs),
	CALL(renameat),
	CALL(renameat2),
	CALL(linkat),
	CALL(symlinkat),
	CALL(unlinkat),
	CALL(mkdirat),
	CALL(ftruncate),
	CALL(fallocate),
	CALL(copy_file_range),
	CALL(sendfile),
	CALL(openat),
	CALL(connect),
	CALL(sendto),
	CALL(sendmsg),
	CALL(socket),
	CALL(socketpair),
	CALL(bind),
	CALL(listen),
	CALL(accept4),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_pwait),
	CALL(ppoll),
	CALL(clone),
	CALL(clone3),
	CALL(execve),
	CALL(execveat),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(getdents64),
	CALL(pipe2),
	CALL(eventfd2),
	CALL(memfd_create),
	CALL(fchmod),
	CALL(fchown),
	CALL(fchownat),
	CALL(flock),
	CALL(mmap),
	CALL(newfstatat),
#ifdef SYS_rename
	CALL(rename),
	CALL(link),
	CALL(symlink),
	CALL(unlink),
	CALL(mkdir),
	CALL(rmdir),
	CALL(open),
	CALL(creat),
	CALL(accept),
	CALL(epoll_wait),
	CALL(poll),
	CALL(fork),
	CALL(vfork),
	CALL(chmod),
	CALL(chown),
	CALL(lchown),
#endif
};
enum { CALLS_N = sizeof(CALLS) / sizeof(*CALLS) };

enum mode { COUNT, KILL, FAIL, RECORD };

struct task {
	pid_t tid;
	bool fresh;   ///< Its first stop has not been seen.
	bool exiting; ///< In a call whose end is waited for.
	char program[32];
	struct __ptrace_syscall_info entry;
	char path[PATH_SIZE]; ///< Of a call under way: what it named, before.
	ino_t directory, inode, directory2;
	bool existed;
	unsigned long seen;
};

struct tracer {
	enum mode mode;
	const char *program;
	long calls[CALLS_N];
	size_t calls_n;
	const char *kind; ///< Of the one call; see kind_of.
	unsigned long n, count;
	int error;
	FILE *out;
	char *directories[DIRECTORIES_MAX];
	size_t directories_n;
	unsigned long lines; ///< Recorded so far.
	struct task *tasks[TASKS_MAX];
	size_t tasks_n;
	pid_t command;
	int status;
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list ap;

	(void)fputs("fault_tracer: ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(125);
}

static const char *name_of(long number)
{
	for (size_t i = 0; i < CALLS_N; i++)
		if (CALLS[i].number == number)
			return CALLS[i].name;
	return "?";
}

static long number_of(const char *name)
{
	for (size_t i = 0; i < CALLS_N; i++)
		if (strcmp(CALLS[i].name, name) == 0)
			return CALLS[i].number;
	die("there is no call '%s'", name);
}

static void add_calls(struct tracer *t, char *names)
{
	char *rest = NULL;

	for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		t->calls[t->calls_n++] = number_of(name);
}

/// Stops the process at the calls, and at no others.
static void install_filter(const struct tracer *t)
{
	struct sock_filter code[CALLS_N + 4];
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < t->calls_n; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(uint32_t)t->calls[i], (uint8_t)(t->calls_n - i), 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog program = {.len = n, .filter = code};
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("install a filter, as root: %s", strerror(errno));
}

static pid_t start(const struct tracer *t, char **words)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 || raise(SIGSTOP) != 0)
		die("be traced: %s", strerror(errno));
	install_filter(t);
	(void)execvp(words[0], words);
	die("run '%s': %s", words[0], strerror(errno));
}

// Tasks

/// The base name of the program that a task runs.
static void read_program(struct task *task)
{
	char link[64], path[PATH_SIZE];

	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)task->tid);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	char *end = strstr(path, " (deleted)");
	if (end)
		*end = '\0';
	char *base = strrchr(path, '/');
	base = base ? base + 1 : path;
	if (strncmp(base, "memfd:", 6) == 0)
		base += 6;
	(void)snprintf(task->program, sizeof(task->program), "%.31s", base);
}

static struct task *find(struct tracer *t, pid_t tid)
{
	for (size_t i = 0; i < t->tasks_n; i++)
		if (t->tasks[i]->tid == tid)
			return t->tasks[i];
	if (t->tasks_n == TASKS_MAX)
		die("more than %d tasks", TASKS_MAX);
	struct task *task = calloc(1, sizeof(*task));
	if (!task)
		die("out of memory");
	task->tid = tid;
	task->fresh = true;
	read_program(task);
	t->tasks[t->tasks_n++] = task;
	return task;
}

static void forget(struct tracer *t, pid_t tid)
{
	for (size_t i = 0; i < t->tasks_n; i++) {
		if (t->tasks[i]->tid != tid)
			continue;
		free(t->tasks[i]);
		t->tasks[i] = t->tasks[--t->tasks_n];
		return;
	}
}

// Recording

static void record(struct tracer *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// A line begins with when it was, by the clock of time.monotonic().
static void begin_line(const struct tracer *t)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)fprintf(t->out, "%lld.%09ld\t", (long long)now.tv_sec, now.tv_nsec);
}

static void end_line(struct tracer *t)
{
	(void)fputc('\n', t->out);
	t->lines++;
}

static void record(struct tracer *t, const char *format, ...)
{
	va_list ap;

	begin_line(t);
	va_start(ap, format);
	(void)vfprintf(t->out, format, ap);
	va_end(ap);
	end_line(t);
}

static bool is_watched(const struct tracer *t, const char *path)
{
	for (size_t i = 0; i < t->directories_n; i++) {
		size_t n = strlen(t->directories[i]);

		if (strncmp(path, t->directories[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

/// What a descriptor is of; "" if it is none.
static void path_of_fd(const struct task *task, int fd, char *ret, ino_t *ret_inode)
{
	char link[64];
	struct stat st;

	(void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)task->tid, fd);
	ssize_t n = readlink(link, ret, PATH_SIZE - 1);
	ret[n > 0 ? n : 0] = '\0';
	char *end = strstr(ret, " (deleted)");
	if (end)
		*end = '\0';
	*ret_inode = stat(link, &st) == 0 ? st.st_ino : 0;
}

static void read_memory(const struct task *task, uint64_t address, void *to, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)(uintptr_t)address, n};

	if (process_vm_readv(task->tid, &local, 1, &remote, 1, 0) != (ssize_t)n)
		memset(to, 0, n);
}

static void read_text(const struct task *task, uint64_t address, char *to)
{
	for (size_t i = 0; i < PATH_SIZE; i += 16) {
		read_memory(task, address + i, to + i, 16);
		if (memchr(to + i, '\0', 16))
			return;
	}
	to[PATH_SIZE - 1] = '\0';
}

/// The absolute path that a call names, and the inode of its directory.
static void resolve(
	const struct task *task, int directory, uint64_t address, char *ret, ino_t *ret_directory)
{
	char name[PATH_SIZE + 16] = "", base[PATH_SIZE] = "", link[64];
	struct stat st;
	ino_t ignored;

	read_text(task, address, name);
	if (name[0] != '/' && directory == AT_FDCWD) {
		(void)snprintf(link, sizeof(link), "/proc/%d/cwd", (int)task->tid);
		ssize_t n = readlink(link, base, sizeof(base) - 1);
		base[n > 0 ? n : 0] = '\0';
	} else if (name[0] != '/') {
		path_of_fd(task, directory, base, &ignored);
	}
	if (snprintf(ret, PATH_SIZE, "%s%s%s", base, name[0] == '/' ? "" : "/", name) >= PATH_SIZE)
		die("a path is too long");
	size_t n = strlen(ret);
	while (n > 1 && ret[n - 1] == '/')
		ret[--n] = '\0';
	char *slash = strrchr(ret, '/');
	*ret_directory = 0;
	if (!slash)
		return;
	*slash = '\0';
	if (stat(*ret ? ret : "/", &st) == 0)
		*ret_directory = st.st_ino;
	*slash = '/';
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void put_hex(struct tracer *t, const struct task *task, uint64_t address, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char piece[4096];

	for (size_t at = 0; at < n; at += sizeof(piece)) {
		size_t part = n - at < sizeof(piece) ? n - at : sizeof(piece);

		read_memory(task, address + at, piece, part);
		for (size_t i = 0; i < part; i++) {
			(void)fputc(digits[piece[i] >> 4], t->out);
			(void)fputc(digits[piece[i] & 15], t->out);
		}
	}
}

static long long position(const struct task *task, int fd)
{
	char name[64], line[256];
	long long at = 0;

	(void)snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", (int)task->tid, fd);
	FILE *info = fopen(name, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "pos: %lld", &at) == 1)
			break;
	if (info)
		(void)fclose(info);
	return at;
}

static void record_write(struct tracer *t, const struct task *task, long call, long long done)
{
	const uint64_t *a = task->entry.seccomp.args;
	struct iovec parts[64] = {{(void *)(uintptr_t)a[1], (size_t)done}};
	size_t n = 1;
	char path[PATH_SIZE];
	ino_t inode;

	path_of_fd(task, (int)a[0], path, &inode);
	bool is_socket = strncmp(path, "socket:", 7) == 0;
	if (!is_socket && !is_watched(t, path))
		return;
	if (call == SYS_writev) {
		n = a[2] < 64 ? a[2] : 64;
		read_memory(task, a[1], parts, n * sizeof(*parts));
	}
	begin_line(t);
	(void)fprintf(t->out, "%s\t%s\t%llu\t", is_socket ? "say" : "write", task->program,
		(unsigned long long)inode);
	if (!is_socket)
		(void)fprintf(t->out, "%lld\t",
			call == SYS_pwrite64 ? (long long)a[3] : position(task, (int)a[0]) - done);
	for (size_t i = 0; i < n && done > 0; i++) {
		size_t part = (long long)parts[i].iov_len < done ? parts[i].iov_len : (size_t)done;

		put_hex(t, task, (uintptr_t)parts[i].iov_base, part);
		done -= (long long)part;
	}
	end_line(t);
}

static void record_sync(struct tracer *t, const struct task *task, long call)
{
	char path[PATH_SIZE];
	ino_t inode;

	path_of_fd(task, (int)task->entry.seccomp.args[0], path, &inode);
	if (is_watched(t, path))
		record(t, "%s\t%s\t%llu\t%lu\t%s", call == SYS_syncfs ? "syncfs" : "sync",
			task->program, (unsigned long long)inode, task->seen, path);
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void record_open(struct tracer *t, const struct task *task, uint64_t flags, int fd)
{
	char path[PATH_SIZE];
	ino_t inode;

	if (!is_watched(t, task->path))
		return;
	path_of_fd(task, fd, path, &inode);
	if ((flags & O_CREAT) && !task->existed)
		record(t, "create\t%s\t%llu\t%llu\t%s", task->program, (unsigned long long)inode,
			(unsigned long long)task->directory, base_of(task->path));
	else if (flags & O_TRUNC)
		record(t, "trunc\t%s\t%llu\t0", task->program, (unsigned long long)inode);
}

static void record_symlink(struct tracer *t, const struct task *task)
{
	char target[PATH_SIZE];
	ssize_t n = readlink(task->path, target, sizeof(target) - 1);

	target[n > 0 ? n : 0] = '\0';
	record(t, "symlink\t%s\t%llu\t%llu\t%s\t%s", task->program,
		(unsigned long long)inode_of(task->path), (unsigned long long)task->directory,
		base_of(task->path), target);
}

/// How a call names what it changes: descriptors and addresses of its arguments.
struct naming {
	int directory, directory2;
	uint64_t name, name2, flags;
};

static struct naming naming_of(long call, const uint64_t *a)
{
	switch (call) {
	case SYS_openat:
		return (struct naming){(int)a[0], AT_FDCWD, a[1], 0, a[2]};
	case SYS_mkdirat:
	case SYS_unlinkat:
		return (struct naming){(int)a[0], AT_FDCWD, a[1], 0, 0};
	case SYS_symlinkat:
		return (struct naming){(int)a[1], AT_FDCWD, a[2], 0, 0};
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_linkat:
		return (struct naming){(int)a[0], (int)a[2], a[1], a[3], 0};
#ifdef SYS_rename
	case SYS_open:
		return (struct naming){AT_FDCWD, AT_FDCWD, a[0], 0, a[1]};
	case SYS_creat:
		return (struct naming){AT_FDCWD, AT_FDCWD, a[0], 0, O_CREAT | O_TRUNC};
	case SYS_mkdir:
	case SYS_rmdir:
	case SYS_unlink:
		return (struct naming){AT_FDCWD, AT_FDCWD, a[0], 0, 0};
	case SYS_symlink:
		return (struct naming){AT_FDCWD, AT_FDCWD, a[1], 0, 0};
	case SYS_rename:
	case SYS_link:
		return (struct naming){AT_FDCWD, AT_FDCWD, a[0], a[1], 0};
#endif
	default:
		return (struct naming){AT_FDCWD, AT_FDCWD, 0, 0, 0};
	}
}

/// At its beginning: what it names is there now, or is not.
static void note_names(struct task *task, long call)
{
	const struct naming n = naming_of(call, task->entry.seccomp.args);

	task->path[0] = '\0';
	if (!n.name)
		return;
	resolve(task, n.directory, n.name, task->path, &task->directory);
	task->inode = inode_of(task->path);
	task->existed = task->inode != 0;
}

static void record_rename(struct tracer *t, const struct task *task, bool is_link)
{
	const struct naming n = naming_of((long)task->entry.seccomp.nr, task->entry.seccomp.args);
	char to[PATH_SIZE];
	ino_t directory;

	resolve(task, n.directory2, n.name2, to, &directory);
	if (!is_watched(t, task->path) && !is_watched(t, to))
		return;
	record(t, "%s\t%s\t%llu\t%llu\t%s\t%llu\t%s", is_link ? "link" : "rename", task->program,
		(unsigned long long)task->inode, (unsigned long long)task->directory,
		base_of(task->path), (unsigned long long)directory, base_of(to));
}

static void record_name(struct tracer *t, const struct task *task, long call, long long result)
{
	const struct naming n = naming_of(call, task->entry.seccomp.args);
	const char *name = name_of(call);

	if (strncmp(name, "open", 4) == 0 || strcmp(name, "creat") == 0) {
		record_open(t, task, n.flags, (int)result);
		return;
	}
	if (strncmp(name, "rename", 6) == 0 || strncmp(name, "link", 4) == 0) {
		record_rename(t, task, name[0] == 'l');
		return;
	}
	if (!is_watched(t, task->path))
		return;
	if (strncmp(name, "symlink", 7) == 0)
		record_symlink(t, task);
	else if (strncmp(name, "mkdir", 5) == 0)
		record(t, "mkdir\t%s\t%llu\t%llu\t%s", task->program,
			(unsigned long long)inode_of(task->path),
			(unsigned long long)task->directory, base_of(task->path));
	else
		record(t, "unlink\t%s\t%llu\t%llu\t%s", task->program,
			(unsigned long long)task->inode, (unsigned long long)task->directory,
			base_of(task->path));
}

static void record_truncate(struct tracer *t, const struct task *task)
{
	const uint64_t *a = task->entry.seccomp.args;
	char path[PATH_SIZE];
	ino_t inode;

	path_of_fd(task, (int)a[0], path, &inode);
	if (is_watched(t, path))
		record(t, "trunc\t%s\t%llu\t%lld", task->program, (unsigned long long)inode,
			(long long)a[1]);
}

/// A call that the record cannot show must not change what is watched without a word.
static void refuse_unknown(const struct tracer *t, const struct task *task, long call)
{
	char path[PATH_SIZE];
	ino_t inode;
	const uint64_t *a = task->entry.seccomp.args;
	bool is_second = call == SYS_copy_file_range;

	path_of_fd(task, (int)a[is_second ? 2 : 0], path, &inode);
	if (is_watched(t, path))
		die("%s calls %s on '%s', which is not recorded", task->program, name_of(call),
			path);
}

static void record_call(struct tracer *t, const struct task *task, long long result)
{
	long call = (long)task->entry.seccomp.nr;

	if (result < 0)
		return;
	switch (call) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_sendto:
		if (result > 0)
			record_write(t, task, call, result);
		return;
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_syncfs:
		record_sync(t, task, call);
		return;
	case SYS_ftruncate:
		record_truncate(t, task);
		return;
	case SYS_pwritev:
	case SYS_copy_file_range:
	case SYS_sendfile:
	case SYS_fallocate:
		refuse_unknown(t, task, call);
		return;
	default:
		record_name(t, task, call, result);
	}
}

// Stops

static void set_result(pid_t tid, int error)
{
#if defined(__x86_64__)
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs) < 0)
		return;
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)-error;
	(void)ptrace(PTRACE_SETREGS, tid, 0, &regs);
#elif defined(__aarch64__)
	int none = -1;
	struct user_regs_struct regs;
	struct iovec call = {&none, sizeof(none)}, all = {&regs, sizeof(regs)};

	(void)ptrace(PTRACE_SETREGSET, tid, (void *)NT_ARM_SYSTEM_CALL, &call);
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &all) < 0)
		return;
	regs.regs[0] = (unsigned long long)-error;
	(void)ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &all);
#else
#error "this machine's registers are not known"
#endif
}

/// What a descriptor is of, where that decides how a call may fail: ":pipe", ":socket", ":event"
/// (of the kernel's own), ":memory"; "" for all else.
static const char *kind_of(const struct task *task, long call)
{
	static const struct {
		const char *begins, *kind;
	} kinds[] = {{"pipe:", ":pipe"}, {"socket:", ":socket"}, {"anon_inode:", ":event"},
		{"/memfd:", ":memory"}};
	char path[PATH_SIZE];
	ino_t inode;

	if (call != SYS_read && call != SYS_write && call != SYS_writev)
		return "";
	path_of_fd(task, (int)task->entry.seccomp.args[0], path, &inode);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strncmp(path, kinds[i].begins, strlen(kinds[i].begins)) == 0)
			return kinds[i].kind;
	return "";
}

/// A task is about to make one of the calls. Returns how it goes on.
static long on_call(struct tracer *t, struct task *task)
{
	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(task->entry), &task->entry) < 0)
		return PTRACE_CONT;
	long call = (long)task->entry.seccomp.nr;
	if (t->mode == RECORD) {
		task->seen = t->lines;
		task->exiting = true;
		note_names(task, call);
		return PTRACE_SYSCALL;
	}
	if (t->program && strcmp(t->program, task->program) != 0)
		return PTRACE_CONT;
	const char *kind = kind_of(task, call);
	if (t->mode == COUNT) {
		(void)fprintf(t->out, "%s %s%s\n", task->program, name_of(call), kind);
		return PTRACE_CONT;
	}
	if (strcmp(kind, t->kind) != 0 || ++t->count != t->n)
		return PTRACE_CONT;
	(void)fputs("hit\n", t->out);
	(void)fflush(t->out);
	if (t->mode == KILL)
		(void)kill(task->tid, SIGKILL);
	else
		set_result(task->tid, t->error);
	return PTRACE_CONT;
}

static long on_exit_of_call(struct tracer *t, struct task *task)
{
	struct __ptrace_syscall_info info;

	task->exiting = false;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) > 0 &&
		info.op == PTRACE_SYSCALL_INFO_EXIT)
		record_call(t, task, info.exit.rval);
	return PTRACE_CONT;
}

static void on_stop(struct tracer *t, pid_t tid, int status)
{
	struct task *task = find(t, tid);
	int signal = WSTOPSIG(status), event = status >> 16, deliver = 0;
	long how = PTRACE_CONT;

	if (signal == (SIGTRAP | 0x80)) {
		how = on_exit_of_call(t, task);
	} else if (event == PTRACE_EVENT_SECCOMP) {
		how = on_call(t, task);
	} else if (event == PTRACE_EVENT_EXEC) {
		read_program(task);
	} else if (event == 0 && !(signal == SIGSTOP && task->fresh)) {
		deliver = signal;
	}
	// A signal while a call's end is awaited: the end still comes.
	if (task->exiting)
		how = PTRACE_SYSCALL;
	task->fresh = false;
	(void)ptrace(
		(enum __ptrace_request)how, tid, 0, (void *)(intptr_t)deliver); // it may be gone
}

static void follow(struct tracer *t)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid <= 0)
			continue;
		if (WIFSTOPPED(status)) {
			on_stop(t, tid, status);
			continue;
		}
		forget(t, tid);
		if (tid == t->command)
			t->status =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

static void usage(void)
{
	die("see the top of tests/fakes/fault_tracer.c");
}

/// Reads the mode and its words; returns how many there are.
static int read_mode(struct tracer *t, int n, char **words)
{
	static char all[] = "write,pwrite64,writev,pwritev,sendto,fsync,fdatasync,syncfs,ftruncate,"
			    "fallocate,copy_file_range,sendfile,"
			    "openat,mkdirat,unlinkat,symlinkat,renameat,renameat2,linkat"
#ifdef SYS_rename
			    ",open,creat,mkdir,rmdir,unlink,symlink,rename,link"
#endif
		;
	char *rest = NULL;

	if (n >= 2 && strcmp(words[0], "count") == 0) {
		add_calls(t, words[1]);
		return 2;
	}
	if (n >= 2 && strcmp(words[0], "record") == 0) {
		t->mode = RECORD;
		for (char *name = strtok_r(words[1], ",", &rest); name;
			name = strtok_r(NULL, ",", &rest))
			t->directories[t->directories_n++] = name;
		add_calls(t, all);
		return 2;
	}
	if (n >= 3 && (strcmp(words[0], "kill") == 0 || strcmp(words[0], "fail") == 0)) {
		t->mode = words[0][0] == 'k' ? KILL : FAIL;
		char *colon = strchr(words[1], ':');

		t->n = strtoul(words[2], NULL, 10);
		if (colon) {
			t->kind = strdup(colon);
			*colon = '\0';
		}
		add_calls(t, words[1]);
		if (t->mode == KILL)
			return 3;
		if (n >= 4 && (t->error = atoi(words[3])) > 0)
			return 4;
	}
	usage();
	return 0;
}

int main(int argc, char **argv)
{
	struct tracer t = {.out = stdout, .kind = ""};
	int option, status;

	while ((option = getopt(argc, argv, "+o:p:")) != -1) {
		if (option == 'o')
			t.out = fopen(optarg, "we");
		else if (option == 'p')
			t.program = optarg;
		else
			usage();
	}
	if (!t.out)
		die("write the output: %s", strerror(errno));
	optind += read_mode(&t, argc - optind, argv + optind);
	if (optind + 1 >= argc || strcmp(argv[optind], "--") != 0)
		usage();
	t.command = start(&t, argv + optind + 1);
	if (waitpid(t.command, &status, 0) != t.command || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, t.command, 0,
			PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP |
				PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK) < 0 ||
		ptrace(PTRACE_CONT, t.command, 0, 0) < 0)
		die("follow the command: %s", strerror(errno));
	follow(&t);
	if (fclose(t.out) != 0)
		die("write the output: %s", strerror(errno));
	return t.status;
}
