// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "daemon/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

static const char HELP[] =
	"usage: lightermand [--config FILE] [--group FILE] [--leave-while FILE]\n"
	"\n"
	"Deploys a Docker Compose application to this device and supervises it. Runs in the\n"
	"foreground; on SIGTERM or Ctrl-C, stops the application and exits.\n"
	"\n"
	"  --config FILE  host file; default: /etc/lighterman/lighterman.json, if it exists\n"
	"  --group FILE   deploy this group file, and again on SIGHUP; default: resume the\n"
	"                 last deployment\n"
	"  --leave-while FILE\n"
	"                 on SIGTERM or Ctrl-C, leave the application running while FILE exists;\n"
	"                 if it is missing at the start, stop the application and exit\n"
	"  --help         show this help\n"
	"  --version      print the version\n"
	"\n"
	"Control it with `lighterman`; see `lighterman --help`.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"group", required_argument, NULL, 'g'},
		{"leave-while", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	struct daemon_options run = {0};

	lm_secret_harden_process();
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'c':
			run.config = optarg;
			break;
		case 'g':
			run.group = optarg;
			break;
		case 'l':
			run.leave_while = optarg;
			break;
		case 'h':
			(void)fputs(HELP, stdout);
			return EXIT_SUCCESS;
		case 'v':
			(void)puts("lightermand " LM_VERSION);
			return EXIT_SUCCESS;
		default:
			(void)fputs(HELP, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(
			stderr, "lightermand: unexpected argument '%s'\n%s", argv[optind], HELP);
		return EXIT_USAGE;
	}
	return daemon_run(&run);
}
