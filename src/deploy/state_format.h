// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The file `format` of the state directory: the number of the format that all below it has, which
/// grows when a release before could not read what the new one writes. It is a record
/// (sys/record.h) in every format to come, or the number alone. Without it the format is 1.

#include "base/error.h"

#define STATE_FORMAT_NAME "format"
/// What to do about a newer one.
#define STATE_FORMAT_FIX                                                                           \
	"install that release again, or set another stateDirectory in the host file"
enum { STATE_FORMAT = 2 };

/// Whether this release may use the directory, which may not exist yet; changes nothing.
/// LM_E_CONFLICT: a newer release wrote it; the message does not say what to do. A file that is
/// damaged, or cannot be read now, says nothing.
lm_rc state_format_check(const char *state_directory, struct lm_err *err);
/// Writes our number, unless it is there. A damaged file makes place for it. As record_replace.
lm_rc state_format_mark(const char *state_directory, struct lm_err *err);
