// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a worker gets only once no other program of its user can look into it: the environment, in
/// which AWS keys may be, and the descriptors of its task (docs/formats.md, "Between lightermand
/// and lighterman-worker").
///
/// A worker starts with a unix socket as its stdin and with a few variables. It hardens itself,
/// reports that on stdout, and takes the rest from the socket.

#include "base/error.h"
#include "base/str.h"

/// Open files; -1 where there is none.
struct handover {
	int compose_fd, key_fd, certificate_fd;
	int previous_fd; ///< The compose file of the generation that runs.
	int devices_fd;  ///< Keys and certificates of client devices, as JSON.
};
#define HANDOVER_NONE ((struct handover){-1, -1, -1, -1, -1})

/// What a program has to be started with: variables that the loader and the C library read before
/// main(). The caller frees the array; the entries stay the caller's.
char **handover_first_environment(const char *const *environment);
/// The two ends of what becomes the worker's stdin. Ours does not block.
lm_rc handover_make_socket(int *ret_ours, int *ret_theirs, struct lm_err *err);
/// Sends all of it into a socket that nothing was written to yet. Nothing is closed. LM_E_NETWORK:
/// the worker does not read any more.
lm_rc handover_send(
	int socket, const struct handover *h, const char *const *environment, struct lm_err *err);

/// Takes what handover_send has sent, once the socket is readable, and replaces `environ`: the
/// variables are never where the kernel shows them to others (/proc/PID/environ). Descriptors are
/// close-on-exec. LM_E_CANCELLED: the socket has ended. LM_E_PROTOCOL, LM_E_TOO_LARGE.
lm_rc handover_receive(int socket, struct handover *ret, struct lm_err *err);
void handover_finish(struct handover *h);
/// Wipes the environment that was taken. There is none afterwards.
void handover_forget_environment(void);

/// The entries of a block in which each one ends with a NUL byte, as in /proc/PID/environ; what is
/// not NAME=VALUE is left out. NULL-ended; the caller frees the array; the entries are in `block`,
/// which a NUL follows.
char **handover_parse_environment(struct lm_str block);
