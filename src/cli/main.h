// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The program `lighterman`: a table of commands, each of them a function in cmd_<name>.c.

#include "cli/options.h"

extern const struct command_table MAIN_COMMANDS;

/// Parses the command line, runs the command, returns the exit status. `socket_path` is the value
/// of LIGHTERMAN_SOCKET, or NULL.
int main_run(int argc, char *const *argv, const char *socket_path, FILE *out, FILE *err);
