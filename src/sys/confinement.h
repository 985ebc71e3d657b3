// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What this program, and all that it will start, may ask of the kernel from now on. There is no
/// way back: no user, no setuid program and no file capability gives more.

#include "base/error.h"

#include <stdint.h>

/// A set of capabilities: CONFINEMENT_CAPABILITY(CAP_KILL) | … (linux/capability.h).
#define CONFINEMENT_CAPABILITY(capability) (UINT64_C(1) << (capability))

/// Drops all capabilities but those in `kept`, of which it keeps what it has: also as the bounds
/// of what a program that it starts as root gets. One that may not lower the bounds (CAP_SETPCAP,
/// which a service manager may have taken away) leaves them. LM_E_SYS.
lm_rc confinement_keep_capabilities(uint64_t kept, struct lm_err *err);

/// Forbids, with EPERM, system calls that a deployment has no use for and that an attacker would
/// have: mounts, namespaces, kernel modules, other processes' memory, the clock, a restart of the
/// device and others, of every ABI but the native one all; and sets no_new_privs, without which the
/// kernel does not allow it. What the program does otherwise goes on as before. LM_E_SYS: the
/// kernel has no such filters.
lm_rc confinement_forbid_calls(struct lm_err *err);
