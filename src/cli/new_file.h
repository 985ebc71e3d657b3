// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Files that a command writes for a person: readable for all (0644), whole or not at all, and in
/// place of no other unless that was asked for.

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

/// LM_E_CONFLICT: there is something of that name in the directory `dir`, open as `dir_fd`; the
/// message names --force and --output. LM_E_DENIED, LM_E_SYS.
lm_rc new_file_check(int dir_fd, const char *dir, const char *name, struct lm_err *err);
/// Writes it; `force`: in place of one that is there. LM_E_CONFLICT, and as lm_file_replace.
lm_rc new_file_write(int dir_fd, const char *dir, const char *name, struct lm_str text, bool force,
	struct lm_err *err);
/// Gives what has that name, if there is something, the name with ".old" behind it, too. So it is
/// still there after new_file_write. LM_E_DENIED, LM_E_SYS.
lm_rc new_file_keep_old(int dir_fd, const char *dir, const char *name, struct lm_err *err);
