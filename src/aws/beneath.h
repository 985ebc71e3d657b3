// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Opening a file that must lie below a directory, whatever its name says.

#include "base/error.h"

/// Opens the regular file `name`, relative to `directory`, for reading. No part of `name` may be
/// empty, "." or "..", and none may be a symbolic link (`directory` itself may).
/// LM_E_INVALID (such a name, or not a regular file), LM_E_DENIED (a link, or no right),
/// LM_E_NOT_FOUND, LM_E_SYS.
lm_rc beneath_open(const char *directory, const char *name, int *ret_fd, struct lm_err *err);
