// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A question to lightermand whose answer is one line.

#include "base/error.h"
#include "cli/command.h"
#include "sys/json.h"
#include "sys/wait.h"

/// Asks and reads to the last line of the answer (docs/formats.md), a new reference. The sentence
/// says what to do. `*ret_exit` is what the program ends with, on failure only. It waits no longer
/// than `limit` allows (LM_E_CANCELLED), and 30 s at most.
lm_rc ask_lightermand(const char *socket_path, const char *command, const struct wait_limit *limit,
	json_t **ret_last, int *ret_exit, struct lm_err *err);
/// The same for a command: a failure is told. Returns the exit status.
int ask_for(const struct call *call, const char *command, json_t **ret_last);
