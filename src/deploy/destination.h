// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The directories `<stateDirectory>/compose/<name>/`: destinations of compose files that are
/// deployed without a group file. We make them, for the application's user; any other destination
/// is the operator's.

#include "base/error.h"
#include "config/host_file.h"
#include "sys/process.h"

#include <stdbool.h>
#include <stdint.h>

/// That of a user; `user` NULL: of the host file's default user. The caller frees.
char *destination_default(const char *state_directory, const uint32_t *uid)
	__attribute__((returns_nonnull));
/// Whether it is one of ours.
bool destination_is_ours(const char *state_directory, const char *destination);
/// Makes `destination` if it is one of ours and is missing, for `user` only. LM_E_SYS, LM_E_DENIED,
/// LM_E_NOT_FOUND (no state directory).
lm_rc destination_make(const struct host_settings *host, const char *destination,
	const struct process_user *user, struct lm_err *err);
