// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Images that deployments have brought to this device and no generation needs any more
/// (deploy/pulled_images.h): which of them can go, and their removal. One goes only if no container
/// of anybody's uses it, this task does not need it, and it has no names but those that we gave it.

#include "worker/context.h"

struct released_image {
	const char *id;   ///< Borrowed from the task,
	const char *name; ///< like the first name; "": none is known.
	char **tags;      ///< The names that it has now.
	size_t tags_n;
	uint64_t bytes; ///< Unpacked, with layers that other images share.
};

struct released_images {
	struct released_image *items;
	size_t n;
};

/// Those that can go. Ones that are gone already are reported to lightermand.
lm_rc released_images_find(
	const struct context *cx, struct released_images *ret, struct lm_err *err);
void released_images_finish(struct released_images *images);

/// The Engine does not have that image any more: lightermand records that.
void released_images_report_gone(const struct context *cx, const char *id);

/// Removes images, one after the other, as long as `goes_on` (NULL: all). Each is logged and
/// reported to lightermand; one that cannot be removed is warned of. LM_E_CANCELLED.
lm_rc released_images_remove(const struct context *cx, const struct released_images *images,
	bool (*goes_on)(void *ctx), void *ctx, struct lm_err *err);
