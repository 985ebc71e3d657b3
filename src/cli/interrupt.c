// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>

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
		return lm_fail(err, LM_E_SYS, errno, "watch for signals: %m");
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
