// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "daemon/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

static const char HELP[] =
	"usage: lightermand [--config FILE] [--group FILE]\n"
	"\n"
	"Carries a Docker Compose application to this device and looks after it. Runs in the\n"
	"foreground until SIGTERM or Ctrl-C, then takes the application down.\n"
	"\n"
	"  --config FILE  the host file; default: /etc/lighterman/lighterman.json, if it is there\n"
	"  --group FILE   a group file to deploy; SIGHUP reads it again. Without it, what was\n"
	"                 deployed last is started again\n"
	"  --help, --version\n"
	"\n"
	"'lighterman' deploys, stops, starts and shows; see its --help.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"group", required_argument, NULL, 'g'},
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
		(void)fprintf(stderr, "lightermand: '%s' is not an option\n%s", argv[optind], HELP);
		return EXIT_USAGE;
	}
	return daemon_run(&run);
}
