// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

struct terminal_style terminal_get_style(FILE *out)
{
	struct terminal_style style = {.columns = COLUMNS_DEFAULT, .rows = ROWS_DEFAULT};
	int fd = fileno(out);

	style.moving =
		fd >= 0 && isatty(fd) && is_set("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
	style.colour = style.moving && !is_set("NO_COLOR");
	style.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	terminal_measure(out, &style);
	return style;
}

void terminal_measure(FILE *out, struct terminal_style *style)
{
	struct winsize size = {0};

	if (!style->moving || ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return;
	// A serial line does not know: 0.
	style->columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	style->rows = size.ws_row ? size.ws_row : ROWS_DEFAULT;
}

lm_rc interrupt_init(struct interrupt *i, struct lm_err *err)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t k = 0; k < LM_ARRAY_SIZE(signals); k++) {
		struct sigaction action;
		// A blocked signal would be noticed even if it is to be ignored.
		if (sigaction(signals[k], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			(void)sigaddset(&set, signals[k]);
	}
	i->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	(void)sigprocmask(SIG_BLOCK, &set, &i->before);
	if (i->fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "cannot watch for signals: %m");
	return LM_OK;
}

void interrupt_finish(struct interrupt *i)
{
	struct signalfd_siginfo dropped;

	if (i->fd >= 0) {
		while (read(i->fd, &dropped, sizeof(dropped)) > 0)
			continue;
		(void)close(i->fd);
	}
	(void)sigprocmask(SIG_SETMASK, &i->before, NULL);
}
