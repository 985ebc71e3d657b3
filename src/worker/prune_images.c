// SPDX-License-Identifier: Apache-2.0
#include "worker/prune_images.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/disk_check.h"
#include "worker/preflight.h"
#include "worker/released_images.h"

static void log_freed(const struct context *cx, uint64_t free_before)
{
	lm_auto(disk_space_finish) struct disk_space space = {0};
	struct lm_err ignored;

	if (disk_space_find(cx, &space, &ignored) == LM_OK && space.seen &&
		space.free_bytes > free_before)
		lm_info("freed %.1f MB in '%s' by removing images",
			(double)(space.free_bytes - free_before) / (1 << 20), space.directory);
}

static lm_rc prune_images(struct context *cx, struct lm_err *err)
{
	lm_auto(released_images_finish) struct released_images released = {0};
	lm_auto(disk_space_finish) struct disk_space space = {0};
	lm_rc rc = preflight_engine(cx, err);

	if (!rc)
		rc = released_images_find(cx, &released, err);
	if (!rc && released.n > 0)
		rc = disk_space_find(cx, &space, err);
	if (!rc && released.n > 0)
		rc = released_images_remove(cx, &released, NULL, NULL, err);
	if (!rc && space.seen)
		log_freed(cx, space.free_bytes);
	return rc;
}

void prune_images_run(struct context *cx, struct deploy_outcome *ret)
{
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = prune_images(cx, &ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
