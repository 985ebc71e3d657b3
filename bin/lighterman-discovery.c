// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "discovery/discovery.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

static const char HELP[] =
	"usage: lighterman-discovery --folder DIR [--user NAME]\n"
	"\n"
	"Serves the AWS IoT Greengrass discovery endpoint of this device's group, which client\n"
	"devices ask for the group's broker and its CA. lightermand or systemd starts it. Runs in\n"
	"the foreground; on SIGHUP, reads its files again; on SIGTERM or Ctrl-C, exits.\n"
	"\n"
	"  --folder DIR  the folder of discovery.json, server.pem, server.key and client-ca.pem,\n"
	"                which lightermand writes\n"
	"  --user NAME   become this user, who must be able to read the files; default: do not\n"
	"                change the user\n"
	"  --help        show this help\n"
	"  --version     print the version\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"folder", required_argument, NULL, 'f'},
		{"user", required_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	struct discovery_options run = {0};

	lm_secret_harden_process();
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'f':
			run.folder = optarg;
			break;
		case 'u':
			run.user = optarg;
			break;
		case 'h':
			(void)fputs(HELP, stdout);
			return EXIT_SUCCESS;
		case 'v':
			(void)puts("lighterman-discovery " LM_VERSION);
			return EXIT_SUCCESS;
		default:
			(void)fputs(HELP, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc || !run.folder) {
		(void)fprintf(stderr, "lighterman-discovery: %s\n%s",
			run.folder ? "unexpected argument" : "--folder is missing", HELP);
		return EXIT_USAGE;
	}
	return discovery_run(&run);
}
