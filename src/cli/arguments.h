// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The words of a command line. Options may stand anywhere until "--"; "-" is an argument.

#include "base/error.h"
#include "cli/command.h"

struct arguments {
	const struct command *command; ///< NULL: none was named (help or version is asked for).
	bool help, version;
	struct call call; ///< All but `out` and `err`.
};

/// `ret` borrows from `argv` and `socket_path` (may be NULL). LM_E_INVALID: the
/// sentence says which word is wrong; `ret->command` is the command if it got so far.
lm_rc arguments_parse(int argc, char *const *argv, const char *socket_path, struct arguments *ret,
	struct lm_err *err);
