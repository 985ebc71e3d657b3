// SPDX-License-Identifier: Apache-2.0
#include "cli/main.h"

#include "base/cleanup.h"
#include "cli/cmd_crashes.h"
#include "cli/cmd_deploy.h"
#include "cli/cmd_doctor.h"
#include "cli/cmd_logs.h"
#include "cli/cmd_plan.h"
#include "cli/cmd_status.h"
#include "cli/cmd_validate.h"
#include "cli/output.h"

#include <errno.h>

static int run_help(const struct call *call);

static const struct command COMMANDS[] = {
	{"validate", "FILE", OPTION_JSON, "check a group file",
		"Checks a group file (\"-\": standard input) and prints every fault on a line\n"
		"of its own. Needs no lightermand.",
		cmd_validate},
	{"deploy", "FILE", OPTION_NO_WAIT | OPTION_JSON, "deploy a group file",
		"Hands a group file (\"-\": standard input) to lightermand and shows the\n"
		"progress of the deployment until it has ended. Ctrl-C leaves it running.",
		cmd_deploy},
	{"plan", "FILE", OPTION_JSON, "what a deployment would do, without doing it",
		"Tells what a deployment of the group file (\"-\": standard input) would do: "
		"which\n"
		"images are pulled and how many bytes that is, which services are created,\n"
		"recreated, removed or left alone, and the disk that it needs. Changes nothing.",
		cmd_plan},
	{"status", NULL, OPTION_JSON, "what is deployed, what runs, what is under way",
		"Prints what is deployed, the job under way, each container with its restarts\n"
		"and uptime, how the last deployment ended, and the brokers. Names containers\n"
		"that end again and again.",
		cmd_status},
	{"crashes", NULL, OPTION_JSON, "the last crashes of containers, with their last lines",
		"Prints the last crashes of the application's containers, the latest first:\n"
		"when, which service, how it ended, after how long, how often it was restarted,\n"
		"and the last lines of its log.",
		cmd_crashes},
	{"logs", NULL, OPTION_FOLLOW | OPTION_LINES | OPTION_JSON, "the connector log",
		"Prints the last lines of the connector log. With --follow (-f) it goes on with\n"
		"each line that comes, until Ctrl-C.",
		cmd_logs},
	{"doctor", "[FILE]", OPTION_CONFIG | OPTION_JSON, "check that this device can deploy",
		"Checks on this device all that a deployment needs, by FILE (a group file) or,\n"
		"without it, by what is deployed: user, Docker Engine, docker-compose,\n"
		"destination, AWS credentials, compose file, secrets, registries, broker, clock,\n"
		"disks. Prints a line for each: ok, or what is wrong and how to mend it. Changes\n"
		"nothing. Goes by the host file of the lightermand that runs, if one does and\n"
		"--config names no other. Run it as the user that lightermand runs as\n"
		"(root, mostly) and with the same AWS_ variables.",
		cmd_doctor},
	{"metrics", NULL, OPTION_JSON, "what can be measured, for Prometheus",
		"Prints deployments, stages, containers, restarts, messages that wait, and\n"
		"broker connections in the text format of Prometheus.",
		cmd_metrics},
	{"stop", NULL, OPTION_JSON, "take the application down, and keep it down",
		"Takes the application down. It stays down, also when the device restarts,\n"
		"until `lighterman start` or the next deployment.",
		cmd_stop},
	{"start", NULL, OPTION_JSON, "bring the application up again",
		"Brings up again, after `lighterman stop`, what was deployed last.", cmd_start},
	{"help", "[COMMAND]", 0, "what a command does and takes",
		"Prints what a command does and takes; without COMMAND, what commands there\n"
		"are.",
		run_help},
};
const struct command_table MAIN_COMMANDS = {COMMANDS, LM_ARRAY_SIZE(COMMANDS)};

static int fail_usage(const struct command *command, const char *why, FILE *err)
{
	output_error(err, why);
	options_print_usage(command, err);
	if (!command)
		(void)fputs("`lighterman --help` names the commands\n", err);
	return EXIT_USAGE;
}

static int run_help(const struct call *call)
{
	const struct command *command = NULL;
	struct lm_err why = {0};

	if (call->argument && options_find_command(&MAIN_COMMANDS, call->argument, &command, &why))
		return fail_usage(NULL, why.msg, call->err);
	options_print_help(&MAIN_COMMANDS, command, call->out);
	return EXIT_DONE;
}

static int run(const struct options *options, FILE *out)
{
	if (options->help)
		options_print_help(&MAIN_COMMANDS, options->command, out);
	else if (options->version)
		(void)fputs("lighterman " LM_VERSION "\n", out);
	else
		return options->command->run(&options->call);
	return EXIT_DONE;
}

int main_run(int argc, char *const *argv, const char *socket_path, FILE *out, FILE *err)
{
	struct options options;
	struct lm_err why = {0};
	int sys = 0;

	if (options_parse(&MAIN_COMMANDS, argc, argv, socket_path, &options, &why))
		return fail_usage(options.command, why.msg, err);
	options.call.out = out;
	options.call.err = err;
	options.call.out_sys = &sys;
	int status = run(&options, out);
	// A full disk behind the output is a failure of whoever relies on that output.
	(void)output_note(&options.call, fflush(out) == 0);
	if (sys || ferror(out)) {
		(void)lm_fail(&why, LM_E_SYS, sys ? sys : EIO, "write the output: %m");
		output_error(err, why.msg);
		return status ? status : EXIT_FAILED;
	}
	return status;
}
