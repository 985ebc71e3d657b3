// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where lightermand's control socket is.

#include "cli/command.h"

/// What the call names, else as the default host file says. The caller frees.
char *socket_path_of(const struct call *call) __attribute__((returns_nonnull));
/// control.sock in the runtimeDirectory of that host file; in the default one if the file says
/// nothing of it, is missing, is not valid, or may not be read. The caller frees.
char *socket_path_by_host_file(const char *host_file) __attribute__((returns_nonnull));
