// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The group file that a command hands to lightermand.

#include "base/buf.h"
#include "cli/command.h"

#include <stdbool.h>

/// Reads it ("-": standard input). What is in it is for lightermand to judge, but it must be JSON
/// to be sent. False if it cannot be handed over: that has been told then, as `lighterman validate`
/// tells it.
bool group_file_read(const struct call *call, struct lm_buf *text);
