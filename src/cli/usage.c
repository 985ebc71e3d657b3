// SPDX-License-Identifier: Apache-2.0
#include "cli/usage.h"

#include "base/cleanup.h"
#include "cli/client.h"
#include "config/host_file.h"

enum { COLUMN = 16 };

static const struct {
	unsigned flag; ///< 0: every command takes it.
	const char *words, *summary;
} OPTIONS[] = {
	{OPTION_NO_WAIT, "--no-wait", "return once the deployment has begun"},
	{OPTION_FOLLOW, "--follow", "go on with each line that comes (-f)"},
	{OPTION_LINES, "--lines N",
		"so many of the last lines (-n), out of the newest 256 KiB; else 100"},
	{OPTION_CONFIG, "--config FILE",
		"the host file; else lightermand's, else " HOST_FILE_DEFAULT},
	{OPTION_JSON, "--json", "print one JSON document and nothing else"},
	{0, "--socket PATH", "lightermand's control socket"},
	{0, "--help", "print this"},
};

static void print_row(const char *left, const char *right, FILE *to)
{
	(void)fprintf(to, "  %-*s%s\n", COLUMN, left, right);
}

void usage_print_line(const struct command *command, FILE *to)
{
	if (!command) {
		(void)fputs("usage: lighterman COMMAND [--socket PATH]\n", to);
		return;
	}
	// What is followed has no end, and so is no document: one of them, or neither.
	unsigned either = command->options & OPTION_FOLLOW ? OPTION_JSON : 0;
	unsigned shown = command->options & ~either;

	(void)fprintf(to, "usage: lighterman %s", command->name);
	if (command->argument)
		(void)fprintf(to, " %s", command->argument);
	for (size_t i = 0; i < LM_ARRAY_SIZE(OPTIONS); i++) {
		if (OPTIONS[i].flag & shown)
			(void)fprintf(to, " [%s%s]", OPTIONS[i].words,
				OPTIONS[i].flag == OPTION_FOLLOW ? " | --json" : "");
	}
	(void)fputc('\n', to);
}

static void print_command(const struct command *command, FILE *to)
{
	usage_print_line(command, to);
	(void)fprintf(to, "\n%s\n\n", command->details);
	for (size_t i = 0; i < LM_ARRAY_SIZE(OPTIONS); i++) {
		if (OPTIONS[i].flag == 0 || (OPTIONS[i].flag & command->options))
			print_row(OPTIONS[i].words, OPTIONS[i].summary, to);
	}
}

void usage_print(const struct command *command, FILE *to)
{
	char words[64];

	if (command) {
		print_command(command, to);
		return;
	}
	usage_print_line(NULL, to);
	(void)fputc('\n', to);
	for (size_t i = 0; i < COMMANDS_N; i++) {
		const char *argument = COMMANDS[i].argument;
		(void)snprintf(
			words, sizeof(words), "%s %s", COMMANDS[i].name, argument ? argument : "");
		print_row(words, COMMANDS[i].summary, to);
	}
	(void)fputs(
		"\n"
		"  --socket PATH   lightermand's control socket; else LIGHTERMAN_SOCKET,\n"
		"                  else control.sock in the host file's runtimeDirectory,\n"
		"                  else " CLIENT_SOCKET_DEFAULT "\n"
		"  --version       print the version\n"
		"\n"
		"`lighterman COMMAND --help` tells more. The exit status is 0 if it is done, 1\n"
		"if it failed, 2 if the input is invalid, 3 if lightermand cannot be reached,\n"
		"64 if the words are wrong.\n",
		to);
}
