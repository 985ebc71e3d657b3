// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The help texts, made from the table of commands.

#include "cli/command.h"

/// `command` NULL: the whole program.
void usage_print(const struct command *command, FILE *to);
/// Only its first line.
void usage_print_line(const struct command *command, FILE *to);
