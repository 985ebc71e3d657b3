// SPDX-License-Identifier: Apache-2.0
#pragma once

/// lighterman-discovery: serves the discovery endpoint until SIGTERM or SIGINT; SIGHUP makes it
/// read its files again.

struct discovery_options {
	const char *folder;
	const char *user; ///< To become before a file is read or a port bound; NULL: stay.
};

/// Returns the program's exit status.
int discovery_run(const struct discovery_options *options);
