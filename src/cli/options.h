// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The command line: one table of options for all commands, from which the help texts are made,
/// too. Options may stand anywhere until "--"; "-" is an argument.

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SOCKET_PATH_DEFAULT "/run/lighterman/control.sock"

/// Exit status of `lighterman`.
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_INVALID = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_USAGE = 64,
};

/// Options that not every command takes.
enum {
	OPTION_JSON = 1,
	OPTION_NO_WAIT = 2,
	OPTION_CONFIG = 4,
	OPTION_FOLLOW = 8,
	OPTION_LINES = 16,
	OPTION_CERTIFICATE = 32, ///< --csr and --certificate.
	OPTION_OUTPUT = 64,
	OPTION_DRY_RUN = 128,
	OPTION_FORCE = 256,
	OPTION_COMPOSE = 512, ///< --destination and --user.
	OPTION_YES = 1024,
	OPTION_NOW = 2048,
};

enum { ARGUMENTS_MAX = 64 };

/// One use of a command. Everything is borrowed.
struct call {
	const char *socket_path; ///< NULL: neither --socket nor LIGHTERMAN_SOCKET.
	const char *argument;    ///< NULL: none.
	const char *second;      ///< The argument behind it; NULL: none.
	/// All of a command that takes any number of them, `argument` included.
	const char *arguments[ARGUMENTS_MAX];
	size_t arguments_n;
	const char *config;            ///< A host file; NULL: the default one.
	const char *output;            ///< A directory, or of `init` a file; NULL: the default one.
	const char *csr, *certificate; ///< Files; NULL: not given.
	const char *destination;       ///< Of a compose file; NULL: not given.
	const char *user;              ///< For its application; NULL: not given.
	bool json, no_wait, follow, dry_run, force, yes, now;
	int lines; ///< -1: not given.
	FILE *out, *err;
	int *out_sys; ///< errno of the first failed write to `out`; 0: none.
};

struct command {
	const char *name;                    ///< First: lm_str_nearest reads it.
	const char *argument;                ///< "FILE"; in brackets if optional; NULL: none.
	unsigned options;                    ///< OPTION_… that it takes.
	const char *summary;                 ///< One line, without a full stop.
	const char *details;                 ///< Whole sentences in lines of at most 80 columns.
	int (*run)(const struct call *call); ///< Returns the exit status.
	const char *second;                  ///< A second argument, optional; NULL: none.
	bool many; ///< `second` stands for up to ARGUMENTS_MAX - 1 arguments.
};

struct command_table {
	const struct command *commands;
	size_t n;
};

struct options {
	const struct command *command; ///< NULL: none (with help or version).
	bool help, version;
	struct call call; ///< All but `out`, `err` and `out_sys`.
};

/// `ret` borrows from `argv` and `socket_path` (NULL or empty: none). LM_E_INVALID: a usage error;
/// `ret->command` is the command if it got so far.
lm_rc options_parse(const struct command_table *table, int argc, char *const *argv,
	const char *socket_path, struct options *ret, struct lm_err *err);

/// LM_E_INVALID: there is no such command; the error suggests the nearest.
lm_rc options_find_command(const struct command_table *table, const char *name,
	const struct command **ret, struct lm_err *err);

/// Prints the help text of a command; `command` NULL: of the program.
void options_print_help(const struct command_table *table, const struct command *command, FILE *to);
/// Prints its "usage:" line only.
void options_print_usage(const struct command *command, FILE *to);
