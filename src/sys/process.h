// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Child processes: argument vectors only, a given environment, a given user, and one owner for
/// each pid who kills, waits and reaps. Never a shell. Descriptors other than those named are not
/// inherited; signal mask and dispositions are reset in the child.

#include "base/error.h"
#include "base/str.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <sys/types.h>

/// A user to become: real, effective and saved ids and all supplementary groups, set in the child
/// before exec, in that order: groups, gid, uid.
struct process_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; ///< Owned; free with process_user_finish.
	int groups_n;
	char *name; ///< Owned; never NULL after a lookup.
	char *home; ///< Owned; "/" if the user has none.
};

/// Looks up a user and all its groups. A number without an entry in the user database is
/// LM_E_NOT_FOUND: without one, its groups are unknown.
lm_rc process_user_by_uid(uid_t uid, struct process_user *ret, struct lm_err *err);
lm_rc process_user_by_name(const char *name, struct process_user *ret, struct lm_err *err);
/// The number of a group. LM_E_NOT_FOUND.
lm_rc process_group_by_name(const char *name, gid_t *ret, struct lm_err *err);
void process_user_finish(struct process_user *user);

struct process_spec {
	const char *const *argv;         ///< NULL-ended; argv[0] is an absolute path.
	const char *const *envp;         ///< NULL-ended; NULL: the caller's own.
	const char *directory;           ///< NULL: the caller's own.
	const struct process_user *user; ///< NULL: stay who we are.
	/// Descriptors for the child's 0, 1, 2 and onwards; -1: /dev/null. Borrowed.
	const int *fds;
	unsigned fds_n;
	bool new_session;     ///< setsid(); else the child leads a new process group.
	bool die_with_parent; ///< PR_SET_PDEATHSIG SIGKILL.
	/// How many descriptors it may have, if the system allows it; 0: as many as the caller.
	unsigned descriptors_max;
	/// No other program of its user can look into the child from its exec on: the kernel sees
	/// to that for a program that the user may run and not read (mode 0711); of one that it may
	/// read, a copy in memory is run that it may not. A script cannot be shielded.
	bool shielded;
};

/// Starts a child. A failure inside the child before or at exec is reported here, and the child is
/// reaped. LM_E_NOT_FOUND, LM_E_DENIED, LM_E_SYS.
lm_rc process_start(const struct process_spec *spec, pid_t *ret_pid, struct lm_err *err);

/// Kills every process of the session `sid` (found in /proc), until none is left that is not a
/// zombie. For the owner of a child started with new_session, before or after it has been reaped.
void process_kill_session(pid_t sid, int signal);

/// How a child ended, in words: "exit status 3", "killed by signal 9 (Killed)". Returns `out`.
char *process_describe_status(int wait_status, char *out, size_t size);

enum process_stream { PROCESS_STDOUT, PROCESS_STDERR };

struct process_run {
	struct process_spec spec; ///< `fds` is ignored: the three are made here.
	/// Written to the child's stdin, then closed. A child may end before it has read all: the
	/// program has to ignore SIGPIPE.
	struct lm_str input;
	bool keeps_stdin; ///< It stays open, for a child that ends with it.
	/// If not NULL, stdin is a unix socket, and `input` waits until this, which is called after
	/// on_line with that socket, has returned true.
	bool (*on_stdin)(void *ctx, int socket);
	/// Descriptors for the child's 3 and onwards, at most 5; -1: /dev/null. Borrowed.
	const int *more_fds;
	unsigned more_fds_n;
	/// Called for each line, without its line end ('\n', and a '\r' before it). A line over
	/// LIMIT_LOG_LINE comes in pieces. May be NULL.
	void (*on_line)(void *ctx, enum process_stream stream, struct lm_str line);
	void *ctx;
	/// If not NULL, stdout is collected here, not given to on_line; over its ceiling the child
	/// is ended and the result is LM_E_TOO_LARGE.
	struct lm_buf *output;
	unsigned term_grace_ms; ///< From SIGTERM to SIGKILL when it has to be ended.
};

/// Runs a child in a process group of its own to its end. At the deadline or on cancel the group
/// gets SIGTERM, after the grace SIGKILL, and is reaped before return. Output that a grandchild
/// holds open after the child's end is not waited for longer than a second.
/// LM_OK: it ran; `*ret_status` is its wait status. LM_E_TIMEOUT, LM_E_CANCELLED, or as
/// process_start.
lm_rc process_run(const struct process_run *run, const struct wait_limit *limit, int *ret_status,
	struct lm_err *err);
