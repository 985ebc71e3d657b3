// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lightermand, from its start to its end.

struct daemon_options {
	const char *config; ///< The host file; NULL: the default one, which may be missing.
	const char *group;  ///< A group file to deploy; NULL: what was deployed last.
};

/// Runs until SIGTERM or SIGINT. SIGHUP reads the group file again. Returns the exit status: 0, or
/// 1 (it could not start), or 2 (the host file). What could not be taken down is told in the log.
int daemon_run(const struct daemon_options *options);
