// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A plan in the making: plan_job.c runs its stages, plan_look.c finds out what is there,
/// plan_report.c tells what comes of it.

#include "deploy/stages.h"
#include "worker/plan.h"
#include "worker/requirements.h"
#include "worker/work_priv.h"

struct planning {
	struct work *w;
	struct deploy_options options;
	bool offline;    ///< The local copy, and what is on this device, have to do.
	bool takes_down; ///< What runs is taken down first.

	struct engine_containers containers;
	struct compose_ties ties;
	struct compose_hashes hashes, old_hashes;
	struct plan_images images;
	struct plan_services services;
	struct problems problems;

	char *disk; ///< Where the engine keeps images, as the engine sees it.
	bool free_known;
	uint64_t free_bytes;
	char *disk_reason; ///< Why that is not known; NULL: it is.
};

// plan_look.c
/// What runs, and how what is wanted differs from it: before images are looked at.
lm_rc plan_look_at_services(struct planning *p, struct lm_err *err);
/// Which images there are, which are pulled, and of what size.
lm_rc plan_look_at_images(struct planning *p, struct lm_err *err);
lm_rc plan_look_at_disk(struct planning *p, struct lm_err *err);

// plan_report.c
/// Sends the plan, a line for each service and image, and one for the whole.
void plan_report(const struct planning *p);
