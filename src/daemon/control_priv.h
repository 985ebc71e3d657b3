// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by control.c (the socket) and control_client.c (those who came).

#include "daemon/control.h"

#include <sys/types.h>

struct control {
	struct loop *loop;
	char *path;
	int fd;
	dev_t dev; ///< Of the socket file, which may not be ours any more when we end.
	ino_t ino;
	struct loop_fd *watch;
	struct loop_timer *retry; ///< Accepting is paused until it fires.
	bool warned;
	struct control_handler handler;
	struct control_client *clients;
	size_t n;
};

/// Takes over a connection; `*fd` is -1 afterwards.
lm_rc control_client_create(struct control *c, int *fd, struct lm_err *err);
/// Writes what can be written at once, and closes without a word to the handler.
void control_client_destroy(struct control_client *client);
