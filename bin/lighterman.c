// SPDX-License-Identifier: Apache-2.0
/// The command line. Everything is in src/cli.

#include "cli/main.h"

#include <locale.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	(void)setlocale(LC_CTYPE, ""); // whether the terminal takes UTF-8
	return main_run(argc, argv, getenv("LIGHTERMAN_SOCKET"), stdout, stderr);
}
