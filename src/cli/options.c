// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "config/host_file.h"

#include <getopt.h>
#include <string.h>

enum {
	OPTION_ANY = 0, ///< Every command takes it.
	LINES_MAX = 100000,
	COLUMN = 16,      ///< Of the explanations in a help text.
	LONG_FIRST = 256, ///< getopt_long returns this plus the row of a long option.
};

static const struct {
	const char *name; ///< First: lm_str_nearest reads it.
	char letter;      ///< 0: none.
	unsigned flag;    ///< OPTION_…
	const char *value, *needs;
	const char *help; ///< NULL: in the program's help text only.
} OPTIONS[] = {
	{"--no-wait", 0, OPTION_NO_WAIT, NULL, NULL, "return once the deployment has started"},
	{"--now", 0, OPTION_NOW, NULL, NULL,
		"do not wait for ActivateAt and HoldFile; without FILE,\n"
		"                  activate the deployment that waits for them"},
	{"--follow", 'f', OPTION_FOLLOW, NULL, NULL, "keep printing new lines (-f)"},
	{"--lines", 'n', OPTION_LINES, "N", "a number",
		"show the last N lines (-n; default 100), at most 256 KiB"},
	{"--config", 0, OPTION_CONFIG, "FILE", "a path",
		"host file; default: that of the running lightermand,\n"
		"                  else " HOST_FILE_DEFAULT},
	{"--csr", 0, OPTION_CERTIFICATE, "FILE", "a path",
		"with add: sign this certificate signing request"},
	{"--certificate", 0, OPTION_CERTIFICATE, "FILE", "a path",
		"with add: accept this certificate"},
	{"--output", 0, OPTION_OUTPUT, "PATH", "a path",
		"directory to write to (init: file); default:\n"
		"                  /etc/lighterman (init: the host file in it)"},
	{"--dry-run", 0, OPTION_DRY_RUN, NULL, NULL, "print the files instead of writing them"},
	{"--force", 0, OPTION_FORCE, NULL, NULL, "replace files that exist"},
	{"--yes", 0, OPTION_YES, NULL, NULL, "ask nothing, and use the defaults"},
	{"--destination", 0, OPTION_COMPOSE, "DIR", "a path",
		"of a compose file: the directory that its relative\n"
		"                  paths start from; default: one of lightermand's"},
	{"--user", 0, OPTION_COMPOSE, "USER", "a name or a number",
		"of a compose file: the user that docker-compose runs\n"
		"                  as; default: you"},
	{"--json", 0, OPTION_JSON, NULL, NULL, "print one JSON document and nothing else"},
	{"--socket", 0, OPTION_ANY, "PATH", "a path", "control socket of lightermand"},
	{"--help", 'h', OPTION_ANY, NULL, NULL, "show this help (-h)"},
	{"--version", 0, OPTION_ANY, NULL, NULL, NULL},
};
enum { OPTIONS_N = LM_ARRAY_SIZE(OPTIONS) };

lm_rc options_find_command(const struct command_table *table, const char *name,
	const struct command **ret, struct lm_err *err)
{
	for (size_t i = 0; i < table->n; i++) {
		if (strcmp(table->commands[i].name, name) == 0) {
			*ret = &table->commands[i];
			return LM_OK;
		}
	}
	const char *nearest =
		lm_str_nearest(name, table->commands, table->n, sizeof(table->commands[0]));
	if (nearest)
		return lm_fail(err, LM_E_INVALID, 0, "unknown command '%s'; did you mean '%s'?",
			name, nearest);
	return lm_fail(err, LM_E_INVALID, 0, "unknown command '%s'", name);
}

static lm_rc fail_unknown(const char *word, struct lm_err *err)
{
	const char *nearest = lm_str_nearest(word, OPTIONS, OPTIONS_N, sizeof(OPTIONS[0]));

	if (nearest)
		return lm_fail(err, LM_E_INVALID, 0, "unknown option '%s'; did you mean '%s'?",
			word, nearest);
	return lm_fail(err, LM_E_INVALID, 0, "unknown option '%s'", word);
}

static lm_rc take_lines(const char *value, struct options *options, struct lm_err *err)
{
	uint64_t lines = 0;

	if (!lm_str_to_u64(lm_str(value), LINES_MAX, &lines))
		return lm_fail(err, LM_E_INVALID, 0,
			"--lines requires a number of at most %d, not '%s'", LINES_MAX, value);
	options->call.lines = (int)lines;
	return LM_OK;
}

static lm_rc take_option(
	size_t row, const char *value, struct options *options, unsigned *flags, struct lm_err *err)
{
	const char *name = OPTIONS[row].name;

	*flags |= OPTIONS[row].flag;
	if (OPTIONS[row].needs && !*value)
		return lm_fail(err, LM_E_INVALID, 0, "%s requires %s", name, OPTIONS[row].needs);
	if (OPTIONS[row].flag == OPTION_LINES)
		return take_lines(value, options, err);
	if (OPTIONS[row].flag == OPTION_CONFIG)
		options->call.config = value;
	else if (strcmp(name, "--output") == 0)
		options->call.output = value;
	else if (strcmp(name, "--socket") == 0)
		options->call.socket_path = value;
	else if (strcmp(name, "--csr") == 0)
		options->call.csr = value;
	else if (strcmp(name, "--certificate") == 0)
		options->call.certificate = value;
	else if (strcmp(name, "--destination") == 0)
		options->call.destination = value;
	else if (strcmp(name, "--user") == 0)
		options->call.user = value;
	options->help |= strcmp(name, "--help") == 0;
	options->version |= strcmp(name, "--version") == 0;
	return LM_OK;
}

/// One of any number; the first is `argument`, too.
static lm_rc take_one_of_many(const char *word, struct options *options, struct lm_err *err)
{
	struct call *call = &options->call;

	if (call->arguments_n == ARGUMENTS_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' takes at most %d arguments",
			options->command->name, ARGUMENTS_MAX);
	call->arguments[call->arguments_n++] = word;
	call->argument = call->arguments[0];
	return LM_OK;
}

static lm_rc take_argument(const struct command_table *table, const char *word,
	struct options *options, struct lm_err *err)
{
	if (!options->command)
		return options_find_command(table, word, &options->command, err);
	if (!options->command->argument)
		return lm_fail(err, LM_E_INVALID, 0, "unexpected argument '%s': '%s' takes none",
			word, options->command->name);
	if (options->command->many)
		return take_one_of_many(word, options, err);
	if (options->call.argument && !options->command->second)
		return lm_fail(err, LM_E_INVALID, 0, "unexpected argument '%s': '%s' takes one %s",
			word, options->command->name, options->command->argument);
	if (options->call.second)
		return lm_fail(err, LM_E_INVALID, 0,
			"unexpected argument '%s': '%s' takes at most two", word,
			options->command->name);
	*(options->call.argument ? &options->call.second : &options->call.argument) = word;
	return LM_OK;
}

/// The row of what getopt_long returned, or left in `optopt`; OPTIONS_N: none.
static size_t row_of(int code)
{
	if (code >= LONG_FIRST)
		return (size_t)(code - LONG_FIRST);
	for (size_t i = 0; i < OPTIONS_N; i++) {
		if (code && OPTIONS[i].letter == code)
			return i;
	}
	return OPTIONS_N;
}

/// getopt_long accepts "--js", too: an option of a later release would make it ambiguous.
static bool is_abbreviation(const char *word, const char *name)
{
	return lm_str_starts(lm_str(word), LM_STR("--")) && strcspn(word, "=") < strlen(name);
}

/// Takes what getopt_long returned for `word`.
static lm_rc options_take(const struct command_table *table, int code, const char *word,
	struct options *options, unsigned *flags, struct lm_err *err)
{
	size_t row = row_of(code == ':' || code == '?' ? optopt : code);

	if (code == 1)
		return take_argument(table, optarg, options, err);
	if (row == OPTIONS_N || is_abbreviation(word, OPTIONS[row].name))
		return fail_unknown(word, err);
	if (code == '?') // known, but with a value
		return lm_fail(err, LM_E_INVALID, 0, "%s takes no value", OPTIONS[row].name);
	const char *value = code == ':' || !optarg ? "" : optarg;
	if (code < LONG_FIRST && *value == '=') // "-n=5" is "-n5"
		value++;
	return take_option(row, value, options, flags, err);
}

/// What can only be checked once everything is parsed.
static lm_rc check(const struct options *options, unsigned flags, struct lm_err *err)
{
	const struct command *command = options->command;

	if (options->help || options->version)
		return LM_OK;
	if (!command)
		return lm_fail(err, LM_E_INVALID, 0, "no command given");
	for (size_t i = 0; i < OPTIONS_N; i++) {
		if (OPTIONS[i].flag & flags & ~command->options)
			return lm_fail(err, LM_E_INVALID, 0, "'%s' does not take %s", command->name,
				OPTIONS[i].name);
	}
	if (command->argument && command->argument[0] != '[' && !options->call.argument &&
		!(flags & OPTION_NOW))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' requires a %s", command->name,
			command->argument);
	return LM_OK;
}

lm_rc options_parse(const struct command_table *table, int argc, char *const *argv,
	const char *socket_path, struct options *ret, struct lm_err *err)
{
	struct option longs[OPTIONS_N + 1] = {0};
	char letters[2 * OPTIONS_N + 3] = "-:"; // arguments in their place, no messages
	size_t n = strlen(letters);
	unsigned flags = 0;
	int code;

	for (size_t i = 0; i < OPTIONS_N; i++) {
		longs[i] = (struct option){.name = OPTIONS[i].name + 2,
			.has_arg = OPTIONS[i].needs ? required_argument : no_argument,
			.val = LONG_FIRST + (int)i};
		if (OPTIONS[i].letter)
			letters[n++] = OPTIONS[i].letter;
		if (OPTIONS[i].letter && OPTIONS[i].needs)
			letters[n++] = ':';
	}
	*ret = (struct options){
		.call = {.socket_path = socket_path && *socket_path ? socket_path : NULL,
			.lines = -1}};
	optind = 0; // glibc: start over
	for (const char *word = argc > 1 ? argv[1] : NULL;
		(code = getopt_long(argc, argv, letters, longs, NULL)) != -1; word = argv[optind]) {
		lm_rc rc = options_take(table, code, word, ret, &flags, err);
		if (rc)
			return rc;
	}
	for (; optind < argc; optind++) { // behind "--"
		lm_rc rc = take_argument(table, argv[optind], ret, err);
		if (rc)
			return rc;
	}
	ret->call.json = flags & OPTION_JSON;
	ret->call.no_wait = flags & OPTION_NO_WAIT;
	ret->call.follow = flags & OPTION_FOLLOW;
	ret->call.dry_run = flags & OPTION_DRY_RUN;
	ret->call.force = flags & OPTION_FORCE;
	ret->call.yes = flags & OPTION_YES;
	ret->call.now = flags & OPTION_NOW;
	return check(ret, flags, err);
}

static void print_row(const char *name, const char *value, const char *help, FILE *to)
{
	char left[64];

	int n = snprintf(left, sizeof(left), "%s %s", name, value ? value : "");
	const char *wrap = n >= COLUMN ? "\n                  " : "";
	(void)fprintf(to, "  %-*s%s%s\n", COLUMN, left, wrap, help);
}

void options_print_usage(const struct command *command, FILE *to)
{
	if (!command) {
		(void)fputs("usage: lighterman COMMAND [--socket PATH]\n", to);
		return;
	}
	// A log that is followed never ends, so it cannot be one JSON document.
	unsigned either = command->options & OPTION_FOLLOW ? OPTION_JSON : 0;
	unsigned shown = command->options & ~either;

	(void)fprintf(to, "usage: lighterman %s", command->name);
	if (command->argument)
		(void)fprintf(to, " %s", command->argument);
	if (command->second)
		(void)fprintf(to, " [%s]%s", command->second, command->many ? "..." : "");
	for (size_t i = 0; i < OPTIONS_N; i++) {
		if (OPTIONS[i].flag & shown)
			(void)fprintf(to, " [%s%s%s%s]", OPTIONS[i].name,
				OPTIONS[i].value ? " " : "",
				OPTIONS[i].value ? OPTIONS[i].value : "",
				OPTIONS[i].flag == OPTION_FOLLOW ? " | --json" : "");
	}
	(void)fputc('\n', to);
}

static void print_command(const struct command *command, FILE *to)
{
	options_print_usage(command, to);
	(void)fprintf(to, "\n%s\n\n", command->details);
	for (size_t i = 0; i < OPTIONS_N; i++) {
		if (OPTIONS[i].help && (OPTIONS[i].flag & ~command->options) == 0)
			print_row(OPTIONS[i].name, OPTIONS[i].value, OPTIONS[i].help, to);
	}
}

void options_print_help(const struct command_table *table, const struct command *command, FILE *to)
{
	if (command) {
		print_command(command, to);
		return;
	}
	options_print_usage(NULL, to);
	(void)fputc('\n', to);
	for (size_t i = 0; i < table->n; i++)
		print_row(table->commands[i].name, table->commands[i].argument,
			table->commands[i].summary, to);
	(void)fputs(
		"\n"
		"  --socket PATH   control socket of lightermand; default: LIGHTERMAN_SOCKET,\n"
		"                  else control.sock in the host file's runtimeDirectory,\n"
		"                  else " SOCKET_PATH_DEFAULT "\n"
		"  --version       print the version\n"
		"\n"
		"Run `lighterman COMMAND --help` for details. Exit status: 0 success, 1 failure,\n"
		"2 invalid input, 3 cannot reach lightermand, 64 usage error.\n",
		to);
}
