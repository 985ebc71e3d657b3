// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The stage `admit`: whether there is disk space for a deployment, and whether its images can be
/// had.

#include "worker/context.h"
#include "worker/image_needs.h"

#include <stdint.h>

lm_rc disk_check_deployment(struct context *cx, enum deploy_pull mode, struct lm_err *err);

/// Where the engine keeps its images.
struct disk_space {
	char *directory;
	/// False if that cannot be seen from here: the engine is in a container, or we may not
	/// enter the directory; `sys` is the errno.
	bool seen;
	int sys;
	uint64_t free_bytes; ///< That users can still write there.
};

lm_rc disk_space_find(const struct context *cx, struct disk_space *ret, struct lm_err *err);
void disk_space_finish(struct disk_space *space);

/// What is to be free there. How much a compressed layer takes unpacked is not known before: it is
/// no less than its bytes, and estimated to be some times as much.
struct disk_need {
	uint64_t least, most; ///< Of the images that are pulled.
	uint64_t reserve;     ///< MinFreeDiskMB.
};

enum disk_verdict {
	DISK_FITS,
	DISK_MAY_FIT,
	/// It does not fit, or may not leave the reserve free.
	DISK_SHORT,
};

struct disk_need disk_need_of(const struct context *cx, const struct image_needs *needs);
enum disk_verdict disk_need_judge(const struct disk_need *need, uint64_t free_bytes);
