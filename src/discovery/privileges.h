// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the process may do.

#include "base/error.h"

/// Becomes the user, with its groups, and keeps nothing of root but the right to bind ports below
/// 1024, if it has that; no program that it would start could get more. A process that is that user
/// already stays as it is. A PR_SET_PDEATHSIG stays in force. LM_E_NOT_FOUND: there is no such
/// user. LM_E_DENIED: we are not root. LM_E_CANCELLED: the parent has exited meanwhile.
lm_rc privileges_become(const char *user, struct lm_err *err);
