// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

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
