// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

struct progress_style terminal_style(FILE *out)
{
	struct progress_style style = {.columns = COLUMNS_DEFAULT, .rows = ROWS_DEFAULT};
	int fd = fileno(out);

	style.moving =
		fd >= 0 && isatty(fd) && is_set("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
	style.colour = style.moving && !is_set("NO_COLOR");
	style.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	terminal_measure(out, &style);
	return style;
}

void terminal_measure(FILE *out, struct progress_style *style)
{
	struct winsize size = {0};

	if (!style->moving || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return;
	// A serial line does not know: 0.
	style->columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	style->rows = size.ws_row ? size.ws_row : ROWS_DEFAULT;
}
