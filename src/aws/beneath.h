// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Opening a file that must lie below a directory, whatever its name says.

#include "base/buf.h"
#include "base/error.h"

/// Opens the regular file `name`, relative to `directory`, for reading. No part of `name` may be
/// empty, "." or "..", and none may be a symbolic link (`directory` itself may).
/// LM_E_INVALID (such a name, or not a regular file), LM_E_DENIED (a link, or no right),
/// LM_E_NOT_FOUND (no such file in it), LM_E_NETWORK (`directory` does not exist or is empty, or
/// what it is on does not answer: a stick that is not mounted, a file server that is away),
/// LM_E_SYS.
lm_rc beneath_open(const char *directory, const char *name, int *ret_fd, struct lm_err *err);
/// Reads the rest of it, up to the ceiling of `out`. LM_E_NETWORK as above, else as lm_fd_read_all.
lm_rc beneath_read(int fd, const char *path, struct lm_buf *out, struct lm_err *err);
