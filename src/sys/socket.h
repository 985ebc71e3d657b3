// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Unix stream sockets. All descriptors are close-on-exec and non-blocking.

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/// Connects. LM_E_NOT_FOUND (no such socket), LM_E_DENIED, LM_E_NETWORK (nobody listens there),
/// LM_E_INVALID (the path is too long for a socket), LM_E_SYS.
lm_rc socket_unix_connect(const char *path, int *ret_fd, struct lm_err *err);
/// Binds and listens, with `mode` and, if not (gid_t)-1, `group` on the socket file. A socket file
/// on which nobody answers is replaced; one on which somebody answers is LM_E_CONFLICT.
lm_rc socket_unix_listen(
	const char *path, mode_t mode, gid_t group, int *ret_fd, struct lm_err *err);
/// Accepts one client; `*ret_fd` is -1 if none waits.
lm_rc socket_unix_accept(int listen_fd, int *ret_fd, struct lm_err *err);
/// The user that connected, of an accepted client; (uid_t)-1 if the kernel does not know.
uid_t socket_unix_peer_uid(int fd);
/// Whether that user connected as a member of the group, its primary one or a supplementary one.
bool socket_unix_peer_is_in(int fd, gid_t group);
