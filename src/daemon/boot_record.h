// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whether this start of the device followed an orderly stop: `boot.json` in the state directory
/// has the kernel's boot ID of the last start of lightermand, whether lightermand exited in order
/// since, and which application it left running then. After a power cut, a crash or a reset the
/// boot ID is another one, and it did not exit in order. Synced. Never logs.

#include "base/error.h"
#include "sys/damage.h"

#include <stdbool.h>

enum boot_kind {
	BOOT_FIRST,   ///< There is no record: the first start of all.
	BOOT_SAME,    ///< The device has run on since.
	BOOT_ORDERLY, ///< It was started anew, after lightermand had exited in order.
	BOOT_UNCLEAN, ///< It was started anew, and lightermand had not; or the record is damaged.
};

/// Compares the record with this boot. LM_E_SYS: the boot ID cannot be read. A record that cannot
/// be read is an unclean boot; one that is damaged is set aside. `*ret_left`: the generation that
/// was left running in this boot, if the last lightermand has exited; else 0.
lm_rc boot_record_read(const char *state_directory, struct damage *damage, enum boot_kind *ret,
	unsigned *ret_left, struct lm_err *err);
/// Records this boot. `orderly`: lightermand exits in order now, and leaves that generation
/// running; 0: none, or one that the next start is to start again.
lm_rc boot_record_write(
	const char *state_directory, bool orderly, unsigned left, struct lm_err *err);
/// The kernel's ID of this boot; the caller frees. LM_E_SYS.
lm_rc boot_record_read_id(char **ret, struct lm_err *err);
