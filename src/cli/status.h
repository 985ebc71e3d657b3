// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What lightermand says of itself.

#include "base/error.h"
#include "sys/json.h"

/// Asks for `command` ("status", "metrics"), without waiting longer than lightermand waits for the
/// Docker daemon: the last line of the answer (docs/formats.md), a new reference. The sentence says
/// what to do. `*ret_exit` is what the program ends with, on failure too.
lm_rc status_ask(const char *socket_path, const char *command, json_t **ret_last, int *ret_exit,
	struct lm_err *err);
