// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/plain.h"
#include "cli/usage.h"
#include "cli/validate.h"
#include "config/faults.h"
#include "sys/json.h"

#include <errno.h>
#include <string.h>

const struct command COMMANDS[] = {
	{"validate", "FILE", OPTION_JSON, "check a group file",
		"Checks a group file (\"-\": standard input) and prints every fault on a line\n"
		"of its own. Needs no lightermand.",
		command_validate},
	{"deploy", "FILE", OPTION_NO_WAIT | OPTION_JSON, "deploy a group file",
		"Hands a group file (\"-\": standard input) to lightermand and shows the\n"
		"progress of the deployment until it has ended. Ctrl-C leaves it running.",
		command_deploy},
	{"plan", "FILE", OPTION_JSON, "what a deployment would do, without doing it",
		"Tells what a deployment of the group file (\"-\": standard input) would do: "
		"which\n"
		"images are pulled and how many bytes that is, which services are created,\n"
		"recreated, removed or left alone, and the disk that it needs. Changes nothing.",
		command_plan},
	{"status", NULL, OPTION_JSON, "what is deployed, what runs, what is under way",
		"Prints what is deployed, the job under way, each container with its restarts\n"
		"and uptime, how the last deployment ended, and the brokers. Names containers\n"
		"that end again and again.",
		command_status},
	{"crashes", NULL, OPTION_JSON, "the last crashes of containers, with their last lines",
		"Prints the last crashes of the application's containers, the latest first:\n"
		"when, which service, how it ended, after how long, how often it was restarted,\n"
		"and the last lines of its log.",
		command_crashes},
	{"logs", NULL, OPTION_FOLLOW | OPTION_LINES | OPTION_JSON, "the connector log",
		"Prints the last lines of the connector log. With --follow (-f) it goes on with\n"
		"each line that comes, until Ctrl-C.",
		command_logs},
	{"doctor", "[FILE]", OPTION_CONFIG | OPTION_JSON, "check that this device can deploy",
		"Checks on this device all that a deployment needs, by FILE (a group file) or,\n"
		"without it, by what is deployed: user, Docker Engine, docker-compose,\n"
		"destination, AWS credentials, compose file, secrets, registries, broker, clock,\n"
		"disks. Prints a line for each: ok, or what is wrong and how to mend it. Changes\n"
		"nothing. Goes by the host file of the lightermand that runs, if one does and\n"
		"--config names no other. Run it as the user that lightermand runs as\n"
		"(root, mostly) and with the same AWS_ variables.",
		command_doctor},
	{"metrics", NULL, OPTION_JSON, "what can be measured, for Prometheus",
		"Prints deployments, stages, containers, restarts, messages that wait, and\n"
		"broker connections in the text format of Prometheus.",
		command_metrics},
	{"stop", NULL, OPTION_JSON, "take the application down, and keep it down",
		"Takes the application down. It stays down, also when the device restarts,\n"
		"until `lighterman start` or the next deployment.",
		command_stop},
	{"start", NULL, OPTION_JSON, "bring the application up again",
		"Brings up again, after `lighterman stop`, what was deployed last.", command_start},
	{"help", "[COMMAND]", 0, "what a command does and takes",
		"Prints what a command does and takes; without COMMAND, what commands there\n"
		"are.",
		command_help},
};
const size_t COMMANDS_N = LM_ARRAY_SIZE(COMMANDS);

lm_rc command_find(const char *name, const struct command **ret, struct lm_err *err)
{
	for (size_t i = 0; i < COMMANDS_N; i++) {
		if (strcmp(COMMANDS[i].name, name) == 0) {
			*ret = &COMMANDS[i];
			return LM_OK;
		}
	}
	const char *nearest = faults_nearest(name, COMMANDS, COMMANDS_N, sizeof(COMMANDS[0]));
	if (nearest)
		return lm_fail(err, LM_E_INVALID, 0, "there is no command '%s': did you mean '%s'?",
			name, nearest);
	return lm_fail(err, LM_E_INVALID, 0, "there is no command '%s'", name);
}

void command_complain(FILE *err, const char *sentence)
{
	lm_auto_free char *plain = plain_text(sentence);

	(void)fprintf(err, "lighterman: %s\n", plain);
}

bool command_note_write(const struct call *call, bool done)
{
	if (!done && *call->out_sys == 0)
		*call->out_sys = errno;
	return done;
}

void command_print(const struct call *call, struct lm_str text)
{
	(void)command_note_write(call, fwrite(text.p, 1, text.n, call->out) == text.n);
}

void command_print_json(const struct call *call, const json_t *document)
{
	(void)command_note_write(call, json_dumpf(document, call->out, JSON_INDENT(2)) == 0);
	(void)command_note_write(call, fputc('\n', call->out) != EOF);
}

int command_fail(const struct call *call, int status, const char *sentence)
{
	lm_auto_free char *plain = plain_text(sentence); // paths need not be UTF-8

	if (!call->json) {
		command_complain(call->err, sentence);
		return status;
	}
	lm_auto_json json_t *document = json_pack("{s:i, s:s}", "exit", status, "message", plain);
	command_print_json(call, document);
	return status;
}

int command_validate(const struct call *call)
{
	return validate_run(call->argument, call->json, call->out, call->err);
}

static int fail_usage(const struct command *command, const char *why, FILE *err)
{
	command_complain(err, why);
	usage_print_line(command, err);
	if (!command)
		(void)fputs("`lighterman --help` names the commands\n", err);
	return EXIT_USAGE;
}

int command_help(const struct call *call)
{
	const struct command *command = NULL;
	struct lm_err why = {0};

	if (call->argument && command_find(call->argument, &command, &why))
		return fail_usage(NULL, why.msg, call->err);
	usage_print(command, call->out);
	return EXIT_DONE;
}

static int run(const struct arguments *args, FILE *out)
{
	if (args->help)
		usage_print(args->command, out);
	else if (args->version)
		(void)fputs("lighterman " LM_VERSION "\n", out);
	else
		return args->command->run(&args->call);
	return EXIT_DONE;
}

int command_main(int argc, char *const *argv, const char *socket_path, FILE *out, FILE *err)
{
	struct arguments args;
	struct lm_err why = {0};
	int sys = 0;

	if (arguments_parse(argc, argv, socket_path, &args, &why))
		return fail_usage(args.command, why.msg, err);
	args.call.out = out;
	args.call.err = err;
	args.call.out_sys = &sys;
	int status = run(&args, out);
	// A full disk behind the output is a failure of whoever relies on that output.
	(void)command_note_write(&args.call, fflush(out) == 0);
	if (sys || ferror(out)) {
		(void)lm_fail(&why, LM_E_SYS, sys ? sys : EIO, "write the output: %m");
		command_complain(err, why.msg);
		return status ? status : EXIT_FAILED;
	}
	return status;
}
