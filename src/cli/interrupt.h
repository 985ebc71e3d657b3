// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SIGINT, SIGTERM and SIGHUP as a descriptor, while a command waits for lightermand.

#include "base/error.h"

#include <signal.h>

struct interrupt {
	int fd; ///< Readable once one of them has come.
	sigset_t before;
};

/// Those that are ignored (nohup) stay so.
lm_rc interrupt_init(struct interrupt *i, struct lm_err *err);
/// What has come is dropped, and signals act as before.
void interrupt_finish(struct interrupt *i);
