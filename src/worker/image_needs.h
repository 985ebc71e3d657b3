// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which images a deployment pulls, and how much it downloads and stores for that, by what the
/// registries have of them and what the engine has already. Pulls nothing.

#include "worker/context.h"
#include "worker/plan.h"

struct image_needs_options {
	enum deploy_pull mode;
	/// A mirror may have what the Docker Hub does not: that is not asked where there are some.
	bool skips_mirrored;
	/// Of an image that is current nothing else is asked, so that its own size stays unknown.
	bool is_brief;
	unsigned attempts;   ///< Of each request to a registry; 0: the default.
	unsigned timeout_ms; ///< For all registries together.
};

struct image_needs {
	struct plan_images images;
	uint64_t bytes;      ///< Of the layers that are downloaded,
	uint64_t bytes_disk; ///< and what these take at most while they are pulled; an estimate.
	size_t unknown;      ///< Images of unknown size.
	size_t missing;      ///< That a registry does not have and nobody can build here,
	struct lm_err missing_err; ///< the first of them; the others are in the log.
};

/// LM_E_CANCELLED, and errors of the engine; those of registries make a size unknown.
lm_rc image_needs_find(struct context *cx, const struct image_needs_options *options,
	struct image_needs *ret, struct lm_err *err);
void image_needs_finish(struct image_needs *needs);
