// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Notices of the kernel that something of this device has changed, as descriptors that become
/// readable. What it is now is for the caller to look up.

#include "base/error.h"

/// An address of a network interface was added or removed. LM_E_SYS. The caller closes.
lm_rc notice_of_addresses(int *ret_fd, struct lm_err *err);
/// The wall clock was set. LM_E_SYS. The caller closes.
lm_rc notice_of_clock(int *ret_fd, struct lm_err *err);
/// Takes what made the descriptor of notice_of_addresses readable.
void notice_take_addresses(int fd);
/// The same for notice_of_clock.
void notice_take_clock(int fd);
