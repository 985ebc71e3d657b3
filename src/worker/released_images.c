// SPDX-License-Identifier: Apache-2.0
#include "worker/released_images.h"

#include "base/log.h"
#include "base/memory.h"
#include "docker/image_ref.h"
#include "worker/images.h"

#include <string.h>

void released_images_finish(struct released_images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		for (size_t k = 0; k < images->items[i].tags_n; k++)
			free(images->items[i].tags[k]);
		free(images->items[i].tags);
	}
	free(images->items);
	*images = (struct released_images){0};
}

void released_images_report_gone(const struct context *cx, const char *id)
{
	if (cx->task->kind == TASK_PLAN) // which changes nothing that is on record
		return;
	context_send(cx, json_pack("{s:s}", "removed", id));
}

static bool has_container(const struct engine_containers *containers, const char *id)
{
	for (size_t i = 0; i < containers->n; i++)
		if (strcmp(containers->items[i].image_id, id) == 0)
			return true;
	return false;
}

/// Whether we gave it all of its names.
static bool has_our_names(const struct task_released *released, const struct engine_image *found)
{
	for (size_t i = 0; i < found->tags_n; i++) {
		bool ours = false;

		for (size_t k = 0; k < released->names_n && !ours; k++)
			ours = image_ref_is_same(released->names[k], found->tags[i]);
		if (!ours)
			return false;
	}
	return true;
}

/// The images of this task's application, as they are now.
static lm_rc list_needed(
	const struct context *cx, struct engine_image_list *ret, struct lm_err *err)
{
	ret->ids = lm_xcalloc(cx->images.n + 1, sizeof(*ret->ids));
	for (size_t i = 0; i < cx->images.n; i++) {
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;
		lm_rc rc = images_find(cx, &cx->images.items[i], &found, &here, err);

		if (rc)
			return rc;
		if (found.id)
			ret->ids[ret->n++] = lm_take(found.id);
	}
	return LM_OK;
}

static lm_rc add_released(const struct context *cx, const struct task_released *released,
	struct released_images *to, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_rc rc = engine_inspect_image(&cx->engine, released->id, &cx->limit, &found, err);

	if (rc == LM_E_NOT_FOUND) {
		released_images_report_gone(cx, released->id);
		return LM_OK;
	}
	if (rc || !has_our_names(released, &found))
		return rc;
	to->items[to->n++] = (struct released_image){.id = released->id,
		.name = released->names_n > 0 ? released->names[0] : "",
		.tags = lm_take(found.tags),
		.tags_n = found.tags_n,
		.bytes = found.size};
	found.tags_n = 0;
	return LM_OK;
}

lm_rc released_images_find(
	const struct context *cx, struct released_images *ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	lm_auto(engine_image_list_finish) struct engine_image_list needed = {0};
	lm_auto(released_images_finish) struct released_images found = {
		.items = lm_xcalloc(cx->task->released_n + 1, sizeof(*found.items))};
	lm_rc rc = LM_OK;

	if (cx->task->released_n > 0)
		rc = engine_list_containers(&cx->engine, NULL, &cx->limit, &containers, err);
	if (!rc && cx->task->released_n > 0)
		rc = list_needed(cx, &needed, err);
	for (size_t i = 0; i < cx->task->released_n && !rc; i++) {
		const struct task_released *released = &cx->task->released[i];

		if (!has_container(&containers, released->id) &&
			!engine_image_list_has(&needed, released->id))
			rc = add_released(cx, released, &found, err);
	}
	if (rc)
		return rc;
	*ret = found;
	found = (struct released_images){0};
	return LM_OK;
}

/// With more than one name the engine removes it only by these.
static lm_rc remove_image(
	const struct context *cx, const struct released_image *image, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (image->tags_n < 2)
		return engine_remove_image(&cx->engine, image->id, &cx->limit, err);
	for (size_t i = 0; i < image->tags_n && !rc; i++)
		rc = engine_remove_image(&cx->engine, image->tags[i], &cx->limit, err);
	return rc;
}

lm_rc released_images_remove(const struct context *cx, const struct released_images *images,
	bool (*goes_on)(void *ctx), void *ctx, struct lm_err *err)
{
	for (size_t i = 0; i < images->n && (!goes_on || goes_on(ctx)); i++) {
		const struct released_image *image = &images->items[i];
		lm_rc rc = remove_image(cx, image, err);

		if (rc == LM_E_CANCELLED)
			return rc;
		if (rc) {
			lm_warn("%s, ignoring", err->msg);
			continue;
		}
		lm_info("removed image %.19s%s%s, which no deployment that is kept needs",
			image->id, *image->name ? ", " : "", image->name);
		released_images_report_gone(cx, image->id);
	}
	return LM_OK;
}
