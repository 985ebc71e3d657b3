// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What docker-compose gets as DOCKER_CONFIG when it builds and starts: the config.json of the
/// task's user (proxies, plugins), with all logins of the task in place of those in it. A user
/// without a home directory has one then, in which builders may write. It is in the task's
/// directory in memory, and goes with all that was put into it when it is finished; what a killed
/// task left goes with that directory.

#include "worker/work_priv.h"

struct client_directory {
	int parent_fd; ///< -1: there is none.
	char **env;    ///< The task's, with DOCKER_CONFIG.
};

#define CLIENT_DIRECTORY_NONE ((struct client_directory){.parent_fd = -1})
#define lm_auto_client_directory lm_auto(client_directory_finish)

/// `with_logins` false: nothing will be pulled. LM_E_SYS, LM_E_CANCELLED.
lm_rc client_directory_create(
	struct work *w, bool with_logins, struct client_directory *ret, struct lm_err *err);
void client_directory_finish(struct client_directory *c);
