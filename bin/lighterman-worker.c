// SPDX-License-Identifier: Apache-2.0
#include "aws/secrets_manager.h"
#include "base/secret.h"
#include "worker/worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

enum { EXIT_USAGE = 64 };

static const char usage[] =
	"usage: lighterman-worker [--help | --version]\n"
	"\n"
	"Runs one task of Lighterman and exits. lightermand starts it and sends the "
	"task on stdin;\n"
	"it is of no use on the command line.\n";

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKS_LEAKS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CHECKS_LEAKS
#endif

#ifdef CHECKS_LEAKS
/// The leak check of such a build reads the process from outside, as a debugger would. The secrets
/// are wiped by now.
static void allow_leak_check(void)
{
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
#else
static void allow_leak_check(void)
{
}
#endif

int main(int argc, char **argv)
{
	lm_secret_harden_process();
	// A program that is executed by descriptor is named after its number.
	(void)prctl(PR_SET_NAME, "lighterman-worker", 0, 0, 0);
	secret_json_harden();

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(usage, stdout) < 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("lighterman-worker " LM_VERSION) < 0;
	if (argc != 1) {
		(void)fputs(usage, stderr);
		return EXIT_USAGE;
	}
	int status = worker_run();

	allow_leak_check();
	return status;
}
