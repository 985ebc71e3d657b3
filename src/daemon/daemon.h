// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The program lightermand.

struct daemon_options {
	const char *config; ///< The host file; NULL: the default one, which may be missing.
	const char *group;  ///< A group file to deploy; NULL: what was deployed last.
	/// SIGTERM and SIGINT leave the application running while this file exists; without it, the
	/// application is stopped, also at a start, which ends with that. NULL: they stop it.
	const char *leave_while;
};

/// Runs until SIGTERM or SIGINT. SIGHUP reads the group file again. Returns the exit status: 0, or
/// 1 (it could not start), or 2 (the host file). What could not be stopped is logged.
int daemon_run(const struct daemon_options *options);
