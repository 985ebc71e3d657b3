// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The protocol by which a service reports its state to its manager (sd_notify(3)): datagrams to
/// the socket in NOTIFY_SOCKET. Without such a manager everything here does nothing. Never logs.

#include "base/cleanup.h"
#include "base/error.h"

#include <stdint.h>

struct sd_notify;

/// Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child
/// uses them. Before there are threads. `*ret` is NULL if there is no manager, or
/// on an error: LM_E_INVALID (NOTIFY_SOCKET is no address that we know), LM_E_SYS.
lm_rc sd_notify_open(struct sd_notify **ret, struct lm_err *err);
/// Takes NULL.
void sd_notify_close(struct sd_notify *n);
LM_DEFINE_CLEANUP(struct sd_notify, sd_notify_close)

/// How long to wait for a manager that does not read, whose queue holds a few messages.
enum sd_notify_patience {
	SD_NOTIFY_AT_ONCE, ///< Not at all: for what is soon sent again.
	SD_NOTIFY_PATIENT, ///< A second.
};

/// Sends lines like "READY=1\nSTATUS=all is well". LM_E_TIMEOUT: the manager does not read.
/// LM_E_SYS: nobody is there any more. `n` NULL: LM_OK.
lm_rc sd_notify_send(const struct sd_notify *n, enum sd_notify_patience patience, const char *lines,
	struct lm_err *err);
/// The manager wants "WATCHDOG=1" at least this often; it is to be sent twice as often. 0: it does
/// not ask for that, or not us. `n` may be NULL.
uint64_t sd_notify_watchdog_ms(const struct sd_notify *n);
