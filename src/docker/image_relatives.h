// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The images of the Docker Engine that share layers with one of them: the Engine keeps a layer,
/// together with all below it, once for all images that have it, and as long as one of them is
/// there. For programs that wait.

#include "docker/engine.h"

struct image_relative {
	char *id;
	char **names; ///< Its tags.
	size_t names_n;
	size_t layers; ///< How many it has,
	size_t shared; ///< and how many of the lowest are the same.
};

struct image_relatives {
	struct image_relative *items;
	size_t n;
};

/// All of them, the image itself too, those with the most layers first: an image that was built of
/// another one can only be removed before it. LM_E_NOT_FOUND: there is no image of that ID.
/// LM_E_TOO_LARGE: the Engine has more than LIMIT_LOCAL_IMAGES.
lm_rc image_relatives_find(const struct engine *e, const char *id, const struct wait_limit *limit,
	struct image_relatives *ret, struct lm_err *err);
void image_relatives_finish(struct image_relatives *relatives);
