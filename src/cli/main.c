// SPDX-License-Identifier: Apache-2.0
#include "cli/main.h"

#include "base/cleanup.h"
#include "cli/cmd_crashes.h"
#include "cli/cmd_deploy.h"
#include "cli/cmd_device.h"
#include "cli/cmd_doctor.h"
#include "cli/cmd_history.h"
#include "cli/cmd_import.h"
#include "cli/cmd_init.h"
#include "cli/cmd_logs.h"
#include "cli/cmd_plan.h"
#include "cli/cmd_status.h"
#include "cli/cmd_validate.h"
#include "cli/cmd_verify.h"
#include "cli/output.h"

#include <errno.h>

static int run_help(const struct call *call);

static const struct command COMMANDS[] = {
	{"validate", "FILE", OPTION_COMPOSE | OPTION_JSON, "check a group file",
		"Check a group file (\"-\": standard input) and print each validation error on "
		"its\n"
		"own line. Works without lightermand. Of a compose file, only whether it can be\n"
		"deployed without a group file is checked; `lighterman plan` checks the rest.",
		cmd_validate},
	{"deploy", "FILE", OPTION_COMPOSE | OPTION_NO_WAIT | OPTION_NOW | OPTION_JSON,
		"deploy a group file or a compose file",
		"Send a group file (\"-\": standard input) to lightermand and show the progress "
		"of\n"
		"the deployment until it finishes. Ctrl-C leaves the deployment running, or\n"
		"waiting for its ActivateAt or HoldFile.\n"
		"FILE can also be a compose file, its https:// address, or what docker compose\n"
		"publish has put into a registry (oci://REGISTRY/NAME:TAG): it is deployed as it\n"
		"is, succeeds once it is healthy, and is rolled back if it fails. Relative paths\n"
		"in it start from --destination, where a copy of the file is put.",
		cmd_deploy},
	{"plan", "FILE", OPTION_COMPOSE | OPTION_JSON, "show what a deployment would do",
		"Show what deploying the group file (\"-\": standard input) would do: the images "
		"to\n"
		"pull and their size, the services created, recreated, removed or left alone, and\n"
		"the disk space needed. Changes nothing.",
		cmd_plan},
	{"status", NULL, OPTION_JSON, "show deployment, containers and current task",
		"Show the deployment, the current task, each container with its restarts and\n"
		"uptime, the outcome of the last deployment, and the brokers. Lists containers in\n"
		"a crash loop or restart loop.",
		cmd_status},
	{"history", NULL, OPTION_JSON, "show the generations that are kept",
		"Show the generations (deployed definitions) that are kept, newest first: how the\n"
		"last deployment of each ended, which one is current, last good, on probation or\n"
		"quarantined and why, and which ones the application can be rolled back to.",
		cmd_history},
	{"rollback", "[GENERATION]", OPTION_NO_WAIT | OPTION_JSON,
		"go back to an earlier generation",
		"Go back to a generation that was deployed successfully before, from its own\n"
		"compose file and images, and show the progress until that finishes; without\n"
		"GENERATION, to the last good one before the current one. The one that is left is\n"
		"quarantined. Volumes keep their data. See `lighterman history`. Ctrl-C leaves\n"
		"the rollback running.",
		cmd_rollback},
	{"crashes", NULL, OPTION_JSON, "show recent container crashes",
		"Show the recent crashes of the application's containers, latest first: time,\n"
		"service, exit code, uptime, number of restarts, and the last lines of the log.",
		cmd_crashes},
	{"logs", NULL, OPTION_FOLLOW | OPTION_LINES | OPTION_JSON, "show the connector log",
		"Print the last lines of the connector log. With --follow (-f), keep printing new\n"
		"lines until Ctrl-C.",
		cmd_logs},
	{"doctor", "[FILE]", OPTION_COMPOSE | OPTION_CONFIG | OPTION_JSON,
		"check that this device can deploy",
		"Check everything on this device that a deployment of FILE (a group file) needs,\n"
		"or, without FILE, the current deployment: user, Docker Engine, docker-compose,\n"
		"destination, AWS credentials, compose file, secrets, registries, broker, clock,\n"
		"disks. Print one line per check: ok, or the problem and how to fix it. Changes\n"
		"nothing. Uses the host file of the running lightermand unless --config names\n"
		"another. Run it as the user that lightermand runs as (usually root) and with the\n"
		"same AWS_ variables.",
		cmd_doctor},
	{"metrics", NULL, OPTION_JSON, "print metrics for Prometheus",
		"Print deployments, stages, containers, restarts, waiting messages and broker\n"
		"connections in the text format of Prometheus.",
		cmd_metrics},
	{"stop", NULL, OPTION_JSON, "stop the application and keep it stopped",
		"Stop the application. It stays stopped, even when the device restarts, until\n"
		"`lighterman start` or the next deployment.",
		cmd_stop},
	{"start", NULL, OPTION_JSON, "start the application again",
		"Start the last deployment again after `lighterman stop`.", cmd_start},
	{"verify", NULL, OPTION_JSON, "check the images on this device for damage",
		"Read every image of the generations that are kept from the Docker Engine and\n"
		"compare its layers with the checksums in its configuration. Print one line per\n"
		"image: ok, damaged, missing, or unreadable, with the reason. The exit status is\n"
		"1 if one is not ok. Changes nothing. Any other command preempts it.\n"
		"`lighterman start` then replaces damaged images of the application, and those of\n"
		"earlier deployments that are kept.",
		cmd_verify},
	{"device", "COMMAND", OPTION_CERTIFICATE | OPTION_JSON, "manage client devices",
		"Manage the client devices, which connect to the local MQTT broker:\n"
		"  add NAME     make a key and a certificate for a device\n"
		"  list         list devices, their certificates and whether they are connected\n"
		"  remove NAME  revoke all certificates of a device and disconnect it\n"
		"Devices of the deployed group need no `add`: a deployment gives them\n"
		"certificates. With --csr, `add` signs the request of a device that keeps its own\n"
		"key, and prints the certificate (PEM). With --certificate, it accepts one that a\n"
		"CA of the host file's devices.ca issued. \"-\" is standard input.",
		cmd_device, .second = "NAME"},
	{"import", "ROOT", OPTION_OUTPUT | OPTION_DRY_RUN | OPTION_FORCE | OPTION_JSON,
		"take over a Greengrass V1 core",
		"Write a host file and a group file from ROOT, the root folder of a Greengrass V1\n"
		"core (usually /greengrass), and from each FILE: saved output of\n"
		"`aws greengrass get-...-definition-version`, in any order. Without the folder,\n"
		"only a group file. Print what was taken, what was not, and what to do about it.\n"
		"Copies no key and no secret, and replaces no file without --force. Works without\n"
		"lightermand.",
		cmd_import, .second = "FILE", .many = true},
	{"init", NULL, OPTION_OUTPUT | OPTION_FORCE | OPTION_YES,
		"write a host file for this device",
		"Find the Docker Engine, docker-compose, an MQTT broker, the applications' user\n"
		"and the AWS Region of this device, ask for what cannot be found, and write a\n"
		"host file with comments. Asks on a terminal only; --yes, or an input that is\n"
		"none, takes the defaults. Asks for no password. Replaces no file without\n"
		"--force, which keeps the old one as FILE.old. Works without lightermand.",
		cmd_init},
	{"help", "[COMMAND]", 0, "show help for a command",
		"Show what a command does and which options it takes; without COMMAND, list the\n"
		"commands.",
		run_help},
};
const struct command_table MAIN_COMMANDS = {COMMANDS, LM_ARRAY_SIZE(COMMANDS)};

static int fail_usage(const struct command *command, const char *why, FILE *err)
{
	output_error(err, why);
	options_print_usage(command, err);
	if (!command)
		(void)fputs("run `lighterman --help` for a list of commands\n", err);
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

static int call_command(const struct options *options, FILE *out)
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
	int status = call_command(&options, out);
	// A full disk behind the output is a failure of whoever relies on that output.
	(void)output_note(&options.call, fflush(out) == 0);
	if (sys || ferror(out)) {
		(void)lm_fail(&why, LM_E_SYS, sys ? sys : EIO, "cannot write the output: %m");
		output_error(err, why.msg);
		return status ? status : EXIT_FAILED;
	}
	return status;
}
