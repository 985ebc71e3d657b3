// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whether copies of volumes fit into a file system. Never logs.

#include "base/error.h"
#include "sys/tree.h"

#include <stdint.h>

/// What copies take.
struct volume_sum {
	uint64_t content; ///< Bytes that have to be copied one by one.
	uint64_t bytes;   ///< All that they take up.
	uint64_t entries; ///< Files, folders and others.
};

void volume_sum_add(struct volume_sum *sum, const struct tree_size *size);

/// Where they are to be. All is borrowed.
struct volume_room {
	int fd;
	const char *path;
	uint64_t reserve;    ///< Bytes that are to stay free.
	uint64_t removable;  ///< Bytes that are removed before.
	const char *what;    ///< What does not fit, in messages, …
	const char *instead; ///< … and what else can be done than to free space.
};

/// For whom it does not fit.
struct volume_need {
	uint64_t bytes;         ///< That are going to be taken up.
	char *lacking;          ///< Where there is no room; NULL: there is. Owned.
	uint64_t lacking_bytes; ///< So many have to be free there.
};

void volume_need_finish(struct volume_need *need);

/// LM_E_SYS with ENOSPC: there is no room (`ret->lacking`: until there is space).
lm_rc volume_room_check(const struct volume_room *room, const struct volume_sum *sum,
	struct volume_need *ret, struct lm_err *err);
