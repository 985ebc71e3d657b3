// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by control.c (the socket) and control_client.c (those who came).

#include "daemon/control.h"

#include <sys/types.h>

enum control_access { CONTROL_NOTHING, CONTROL_READ, CONTROL_ALL };

struct control {
	struct loop *loop;
	char *path;
	int fd;
	dev_t dev; ///< Of the socket file, which may not be ours any more when we end.
	ino_t ino;
	struct loop_fd *watch;
	struct loop_timer *retry; ///< Accepting is paused until it fires.
	bool warned;
	gid_t all_gid, read_gid; ///< (gid_t)-1: no group.
	struct control_handler handler;
	struct control_client *clients; ///< The newest first.
	size_t n;
};

/// Takes over a connection; `*fd` is -1 afterwards. `trusted`: root's, or our own user's.
lm_rc control_client_create(
	struct control *c, int *fd, bool trusted, enum control_access access, struct lm_err *err);
/// Gives up the oldest client, if there is one, that has not sent its request yet; a trusted one
/// only for another.
void control_client_give_up(struct control *c, bool for_trusted);
/// Writes what can be written at once, and closes; as if the client had gone.
void control_client_destroy(struct control_client *client);
