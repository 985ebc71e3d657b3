// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The text of a new host file, with comments. Pure.

#include "base/buf.h"

/// What the file says. Texts that are NULL are left to the default: the file has an example of them
/// in a comment.
struct host_draft {
	const char *default_user, *region, *control_group;
	const char *broker_host;
	unsigned broker_port;      ///< With `broker_host`.
	const char *docker_socket; ///< Never NULL.
	// For comments alone.
	const char *host_name;       ///< An example of a thing's name.
	const char *compose;         ///< Which docker-compose was found; NULL: none.
	const char *greengrass_root; ///< A core of Greengrass V1; NULL: none.
};

/// Appends it. What is in the draft must be UTF-8; `out->overflow` if it does not fit.
void host_draft_write(const struct host_draft *draft, struct lm_buf *out);
