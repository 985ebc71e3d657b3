// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A command is data: a row of the table in commands.c, and one function in a file of its own.

#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/// What `lighterman` ends with.
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_INVALID = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_USAGE = 64,
};

/// One use of a command. Everything is borrowed.
struct call {
	const char *socket_path; ///< NULL: none was named (cli/socket_path.h).
	const char *argument;    ///< NULL: none was given.
	const char *config;      ///< A host file; NULL: the default one.
	bool json, no_wait, follow;
	int lines; ///< -1: not said.
	FILE *out, *err;
	int *out_sys; ///< errno of the first write to `out` that failed; 0: none has.
};

/// Options that not every command takes.
enum {
	OPTION_JSON = 1,
	OPTION_NO_WAIT = 2,
	OPTION_CONFIG = 4,
	OPTION_FOLLOW = 8,
	OPTION_LINES = 16,
};

struct command {
	const char *name;     ///< First: faults_nearest looks here.
	const char *argument; ///< "FILE"; in brackets if it may be left out; NULL: takes none.
	unsigned options;
	const char *summary;                 ///< One line, without a full stop.
	const char *details;                 ///< Whole sentences in lines of at most 80 columns.
	int (*run)(const struct call *call); ///< Returns the exit status.
};

extern const struct command COMMANDS[];
extern const size_t COMMANDS_N;

/// Finds a command by its name. LM_E_INVALID: there is none; the sentence names the nearest.
lm_rc command_find(const char *name, const struct command **ret, struct lm_err *err);

/// `lighterman` as a whole: understands the words, runs the command, returns the exit status.
/// `socket_path` is what the environment names (NULL, or empty: nothing).
int command_main(int argc, char *const *argv, const char *socket_path, FILE *out, FILE *err);

/// "lighterman: <sentence>", fit for a terminal.
void command_complain(FILE *err, const char *sentence);
/// Writes to `out`: a text, or a document as with --json.
void command_print(const struct call *call, struct lm_str text);
void command_print_json(const struct call *call, const json_t *document);
/// To be called right behind a write to `out`: why it failed is kept, and told when the program
/// ends. Returns `done`.
bool command_note_write(const struct call *call, bool done);
/// The end of a command that failed: complains or, with --json, prints {"exit","message"} as its
/// one document. Returns `status`.
int command_fail(const struct call *call, int status, const char *sentence);

int command_crashes(const struct call *call);
int command_deploy(const struct call *call);
int command_doctor(const struct call *call);
int command_help(const struct call *call);
int command_logs(const struct call *call);
int command_plan(const struct call *call);
int command_metrics(const struct call *call);
int command_start(const struct call *call);
int command_status(const struct call *call);
int command_stop(const struct call *call);
int command_validate(const struct call *call);
